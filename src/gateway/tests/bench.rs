//! A running gateway, a client for it, and engines that do as they are told.

use std::{io::Cursor, path::PathBuf, sync::Arc, time::Duration};

use image::{DynamicImage, ImageFormat};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    api::wire::{KEY_HEADER, STATUS_PATH, SUBMIT_PATH},
    engine::{Engine, EngineError, EngineReport, InstantEngine, Watch, output_size},
    gateway::{AccessKey, Gateway, GatewayHandle, GatewaySettings, LocalFiles},
};

/// The key of the bench's own client.
pub(super) const KEY: &str = "bench-key";

/// Makes the entry of a plain key.
pub(super) fn access_key(name: &str, key: &str) -> AccessKey {
    AccessKey::new(name, &SecretString::from(key.to_owned()))
}

/// Settings with one key and local sources allowed, and pauses that a test can wait for.
pub(super) fn settings() -> GatewaySettings {
    GatewaySettings {
        keys: vec![access_key("bench", KEY)],
        allow_private: true,
        source_pauses: vec![Duration::from_millis(2); 2],
        local_files: Some(LocalFiles::new([7; 32])),
        ..GatewaySettings::default()
    }
}

/// Returns the bytes of a picture of 6x4 pixels.
pub(super) fn png() -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(6, 4).write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A served gateway and a client.
pub(super) struct Bench {
    pub(super) base: String,
    pub(super) handle: GatewayHandle,
    pub(super) shutdown: CancellationToken,
    pub(super) served: JoinHandle<()>,
    client: Client,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn start(settings: GatewaySettings) -> Self {
        Self::with_engine(settings, Arc::new(InstantEngine)).await
    }

    pub(super) async fn with_engine(settings: GatewaySettings, engine: Arc<dyn Engine>) -> Self {
        let gateway = Gateway::bind(settings, engine).await.unwrap();
        let shutdown = CancellationToken::new();
        Self {
            base: gateway.base_url().as_str().trim_end_matches('/').to_owned(),
            handle: gateway.handle(),
            served: tokio::spawn(gateway.serve(shutdown.clone())),
            shutdown,
            client: Client::builder().no_proxy().build().unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Ends the gateway in good order.
    pub(super) async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.served).await.unwrap();
    }

    /// Writes a picture of 6x4 pixels and returns where.
    pub(super) fn picture(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, png()).unwrap();
        path
    }

    /// Returns the address of a picture that the gateway itself serves.
    pub(super) fn img(&self) -> String {
        let base = self.base.parse().unwrap();
        LocalFiles::new([7; 32]).url_for(&base, &self.picture("a b.png")).to_string()
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).header(KEY_HEADER, KEY)
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).header(KEY_HEADER, KEY)
    }

    pub(super) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    /// Submits `img` at scale 2.
    pub(super) async fn submit(&self, img: &str) -> Response {
        let body = json!({ "img": img, "scale": 2, "version": "v1.4" });
        self.post(SUBMIT_PATH).json(&body).send().await.unwrap()
    }

    /// Submits the bench's own picture and returns the request's name.
    pub(super) async fn accepted(&self) -> String {
        let reply = self.submit(&self.img()).await;
        assert_eq!(reply.status(), 202);
        let reply: Value = reply.json().await.unwrap();
        reply["request_id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn status(&self, id: &str) -> Value {
        let reply = self.get(&format!("{STATUS_PATH}{id}")).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        reply.json().await.unwrap()
    }

    /// Polls until the request's state is one of `wanted`.
    pub(super) async fn until(&self, id: &str, wanted: &[&str]) -> Value {
        loop {
            let status = self.status(id).await;
            if wanted.contains(&status["status"].as_str().unwrap()) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Polls until the request has ended.
    pub(super) async fn ended(&self, id: &str) -> Value {
        self.until(id, &["COMPLETED", "FAILED", "ERROR"]).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Checks status and shape of an error answer.
pub(in crate::gateway) async fn assert_error(reply: Response, status: u16, error: &str) {
    assert_eq!(reply.status(), status);
    assert_eq!(reply.headers()["content-type"], "application/json");
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["error"], error);
    assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
}

/// Crashes on every picture whose result has at most so many pixels, and refuses larger ones.
#[derive(Debug)]
pub(super) struct CrashingEngine {
    pub(super) limit: u64,
}

impl Default for CrashingEngine {
    fn default() -> Self {
        Self { limit: u64::MAX }
    }
}

impl Engine for CrashingEngine {
    fn name(&self) -> &'static str {
        "crashing"
    }

    fn check(&self, size: (u32, u32), scale: u8) -> Result<(), EngineError> {
        output_size(size, scale, self.limit).map(drop)
    }

    fn restore(
        &self,
        _: &DynamicImage,
        _: u8,
        _: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        panic!("as the test wants it");
    }
}
