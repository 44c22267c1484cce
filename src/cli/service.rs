//! The service a run uses: the remote one, or a gateway inside this process.

use std::{path::Path, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{error::AppError, local::LocalGateway};
use crate::{
    api::{ApiSettings, HttpApi, StatusOutcome},
    config::Settings,
    run,
};

/// What the ledger calls the service of `--local`.
pub(super) const LOCAL_SERVICE: &str = "local";

/// Tries before the service counts as unusable at the start.
const PREFLIGHT_TRIES: u32 = 3;

/// The service a run uses.
pub(super) struct Service {
    pub(super) base_url: Url,
    pub(super) key: Option<SecretString>,
    /// How the ledger knows it.
    pub(super) name: String,
    pub(super) local: Option<LocalGateway>,
}

impl Service {
    /// With a key, the remote service; without one, a gateway of our own, which works below
    /// `state`. The caller holds the lock of that folder.
    pub(super) async fn start(
        settings: &Settings,
        key: Option<SecretString>,
        state: &Path,
    ) -> Result<Self, AppError> {
        if let Some(key) = key {
            let base_url = settings.base_url.clone();
            let name = base_url.to_string();
            return Ok(Self { base_url, key: Some(key), name, local: None });
        }
        let gateway = LocalGateway::start(settings, state).await?;
        Ok(Self {
            base_url: gateway.base_url.clone(),
            key: Some(gateway.key.clone()),
            name: LOCAL_SERVICE.to_owned(),
            local: Some(gateway),
        })
    }

    pub(super) async fn stop(self) {
        if let Some(gateway) = self.local {
            gateway.stop().await;
        }
    }
}

/// Returns a client of the service at `base_url`. Sends nothing.
pub(super) fn client(
    settings: &Settings,
    base_url: Url,
    key: Option<SecretString>,
) -> Result<HttpApi, AppError> {
    Ok(HttpApi::new(ApiSettings {
        base_url,
        key,
        connect_timeout: settings.connect_timeout,
        request_timeout: settings.request_timeout,
    })?)
}

/// Asks the service for something that costs nothing, before anything is spent. Returns
/// the pause that it asks for, if it does.
pub(super) async fn preflight(
    api: &HttpApi,
    service: &Service,
) -> Result<Option<Duration>, AppError> {
    let base = service.base_url.to_string();
    let mut last = None;
    for attempt in 0..PREFLIGHT_TRIES {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        match run::probe(api).await {
            StatusOutcome::Unavailable(failure) => last = Some(failure),
            StatusOutcome::Account(failure) => return Err(AppError::KeyRefused { base, failure }),
            StatusOutcome::Throttled { retry_after, .. } => return Ok(retry_after),
            _ => return Ok(None),
        }
    }
    match last {
        Some(failure) => Err(AppError::Service { base, failure }),
        None => Ok(None),
    }
}
