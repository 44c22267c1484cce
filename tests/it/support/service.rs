//! The service: the project's own gateway, or a scripted one.

use std::{num::NonZeroUsize, sync::Arc};

use restore_batch::{
    core::Micros,
    engine::{Engine, InstantEngine},
    gateway::{AccessKey, Gateway, GatewayHandle, GatewaySettings, GatewayStats},
    testing::scripted_server::{Reply, ScriptedServer},
};
use secrecy::SecretString;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::World;

/// The key that the service accepts and the command has.
pub(crate) const KEY: &str = "test-key-7Zq1-must-never-be-seen";

/// The route of submits.
pub(crate) const SUBMIT: &str = "POST /gfpgan/v1/gfpgan/generate";

/// The route that the program asks before it spends anything.
pub(crate) const PROBE: &str = "GET /v2/requests/status/restore-batch-probe";

/// A service on loopback; it ends when dropped.
pub(crate) struct Service {
    url: String,
    handle: Option<GatewayHandle>,
    _stop: DropGuard,
}

impl Service {
    /// Starts a gateway with an engine that takes no time.
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, Self::settings(), Arc::new(InstantEngine))
    }

    /// Returns the settings of a gateway that keeps count.
    pub(crate) fn settings() -> GatewaySettings {
        GatewaySettings {
            keys: vec![AccessKey::new("tester", &SecretString::from(KEY.to_owned()))],
            workers: NonZeroUsize::new(4).unwrap(),
            allow_private: true,
            record_submits: true,
            ..GatewaySettings::default()
        }
    }

    pub(crate) fn start_with(
        world: &World,
        settings: GatewaySettings,
        engine: Arc<dyn Engine>,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (url, handle) = world.block_on(async {
            let gateway = Gateway::bind(settings, engine).await.unwrap();
            let facts = (gateway.base_url().to_string(), gateway.handle());
            tokio::spawn(gateway.serve(stopped));
            facts
        });
        Self { url, handle: Some(handle), _stop: stop.drop_guard() }
    }

    /// Treats a scripted server as the service.
    pub(crate) fn scripted(server: &ScriptedServer) -> Self {
        Self { url: server.url("/"), handle: None, _stop: CancellationToken::new().drop_guard() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the gateway's own books.
    pub(crate) fn stats(&self) -> GatewayStats {
        self.handle.as_ref().expect("a scripted service keeps no books").stats()
    }

    /// Returns how many submits were accepted in all.
    pub(crate) fn accepted(&self) -> u64 {
        self.stats().accepted.values().sum()
    }

    /// Checks that nothing was accepted twice.
    #[track_caller]
    pub(crate) fn accepted_nothing_twice(&self) {
        let accepted = self.stats().accepted;
        assert!(accepted.values().all(|count| *count == 1), "{accepted:#?}");
    }

    /// Returns what the gateway has charged.
    pub(crate) fn charged(&self) -> Micros {
        self.stats().charged
    }

    /// Waits until the books say what the test wants.
    pub(crate) fn until(
        &self,
        world: &World,
        wanted: &str,
        enough: impl Fn(&GatewayStats) -> bool,
    ) {
        world.until(wanted, || {
            let stats = self.stats();
            if enough(&stats) { Ok(()) } else { Err(stats) }
        });
    }
}

/// Makes a scripted server accept every submit as the request `id`, and be done with it
/// at `media_url`.
pub(crate) fn scripted_request(server: &ScriptedServer, id: &str, media_url: &str) {
    let accepted = format!(r#"{{"request_id":"{id}","status":"QUEUED"}}"#);
    server.add(SUBMIT, Reply::json(202, &accepted));
    scripted_status(server, id, media_url);
}

/// Makes a scripted server say that the request `id` is done at `media_url`.
pub(crate) fn scripted_status(server: &ScriptedServer, id: &str, media_url: &str) {
    let status = format!("GET /v2/requests/status/{id}");
    let completed = format!(r#"{{"status":"COMPLETED","output":{{"media_url":["{media_url}"]}}}}"#);
    server.add(&status, Reply::json(200, &completed));
}
