//! Opens, runs and ends a gateway.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    callback::call_back,
    connection::SwitchedListener,
    routes::router,
    serving,
    settings::GatewaySettings,
    shared::{Shared, now},
    stats::GatewayStats,
    store::{State, StateError, recover},
    worker::{sweep, work},
};
use crate::{
    engine::Engine,
    fetch::{ClientSettings, GuardedClient},
};

/// How long answers that are under way may take after the end was asked for. Long enough
/// for a download over loopback, short enough for an impatient operator.
const DRAIN: Duration = Duration::from_secs(5);

/// A gateway could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Strangers could reach it, and nothing would stop them.
    #[error(
        "`{0}` can be reached from other machines, so it needs keys: name their file with `--keys`, which `restore-batch gateway-key NAME --file FILE` makes, or listen on 127.0.0.1"
    )]
    KeysNeeded(SocketAddr),
    /// It would not know its own address.
    #[error(
        "`{0}` stands for every address of this machine; name the one that clients use with `--public-url`, such as `--public-url http://192.0.2.7:8787`"
    )]
    BaseUrlNeeded(SocketAddr),
    /// The base URL could not be given out, or would tell what nobody should know.
    #[error(
        "the public URL must be like `https://restore.example.org` or `https://example.org/restore`, without user name, password, `?` and `#`; correct `--public-url`"
    )]
    BaseUrl,
    /// The address is taken, or not this machine's.
    #[error(
        "`{address}` cannot be listened on; choose an address of this machine and a free port with `--listen`"
    )]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// What it must not forget cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// TLS cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// A gateway that listens, and works once it is [served](Self::serve).
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    base_url: Url,
    handle: GatewayHandle,
}

impl Gateway {
    /// Opens the address and the state. Connections wait until [`serve`](Self::serve) is
    /// called, and so do requests that were not ended before.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] when the settings would be unsafe, the address is taken, or the
    /// state cannot be used.
    pub async fn bind(
        settings: GatewaySettings,
        engine: Arc<dyn Engine>,
    ) -> Result<Self, GatewayError> {
        let listen = settings.listen;
        if settings.keys.is_empty() && !listen.ip().is_loopback() {
            return Err(GatewayError::KeysNeeded(listen));
        }
        let failed = |source| GatewayError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let base_url = base_url(&settings, address)?;
        let client = GuardedClient::new(&ClientSettings {
            allow_private: settings.allow_private,
            ..ClientSettings::default()
        })?;
        let (state, mut kept) = State::open(settings.state.as_deref()).await?;
        recover(&state, &mut kept, now()).await?;
        let root = base_url.as_str().trim_end_matches('/').to_owned();
        let shared = Shared::new(settings, root, engine, client, state, kept);
        let handle = GatewayHandle { shared: Arc::new(shared) };
        Ok(Self { listener, address, base_url, handle })
    }

    /// Returns where it listens, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the service root for clients.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// Returns a handle that says what the gateway is doing while it is served.
    #[must_use]
    pub fn handle(&self) -> GatewayHandle {
        self.handle.clone()
    }

    /// Serves until `shutdown` is cancelled. Then nothing more is accepted, work in
    /// progress is put back into the queue for the next start, and answers and callbacks
    /// under way get five seconds.
    pub async fn serve(self, shutdown: CancellationToken) {
        let shared = self.handle.shared;
        let stop = shared.stop.clone();
        // However this ends, also by being dropped, the workers stop.
        let _stop_workers = stop.clone().drop_guard();
        let listener = SwitchedListener::new(self.listener);
        let serving =
            serving::serve(listener, router(Arc::clone(&shared), self.base_url), stop.clone());
        let all = async {
            let working = work(Arc::clone(&shared));
            let calling = call_back(Arc::clone(&shared));
            let sweeping = sweep(Arc::clone(&shared));
            tokio::join!(serving, working, calling, sweeping);
        };
        let end = async {
            shutdown.cancelled().await;
            stop.cancel();
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            biased;
            () = all => {}
            () = end => {}
        }
        shared.state.close().await;
    }
}

fn base_url(settings: &GatewaySettings, address: SocketAddr) -> Result<Url, GatewayError> {
    if let Some(base_url) = &settings.base_url {
        let web = matches!(base_url.scheme(), "http" | "https") && base_url.has_host();
        let anybody = base_url.username().is_empty() && base_url.password().is_none();
        let plain = base_url.query().is_none() && base_url.fragment().is_none();
        if !(web && anybody && plain) {
            return Err(GatewayError::BaseUrl);
        }
        return Ok(base_url.clone());
    }
    let needed = || GatewayError::BaseUrlNeeded(address);
    if address.ip().is_unspecified() {
        return Err(needed());
    }
    Url::parse(&format!("http://{address}/")).map_err(|_| needed())
}

/// Says what a gateway is doing. Cheap to clone.
#[derive(Clone)]
pub struct GatewayHandle {
    pub(super) shared: Arc<Shared>,
}

impl GatewayHandle {
    /// Returns what has been done so far.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        self.shared.stats()
    }
}

impl std::fmt::Debug for GatewayHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GatewayHandle").field(&self.stats()).finish()
    }
}
