//! `--local`: the gateway inside this process, on loopback, with a key of its own.

use std::{path::Path, sync::Arc};

use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{error::AppError, models::local_engine};
use crate::{
    config::Settings,
    core::Micros,
    engine::DecodeLimits,
    gateway::{AccessKey, Gateway, GatewaySettings, LocalFiles},
    stage::LocalPublisher,
};

/// A gateway that lives and dies with this process.
pub(super) struct LocalGateway {
    pub(super) base_url: Url,
    pub(super) key: SecretString,
    files: LocalFiles,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl LocalGateway {
    /// Starts it on a free port.
    pub(super) async fn start(settings: &Settings) -> Result<Self, AppError> {
        let key = SecretString::from(random_word());
        let files = LocalFiles::new(blake3::hash(random_word().as_bytes()).into());
        let decode = DecodeLimits { max_pixels: settings.max_pixels, ..DecodeLimits::default() };
        let gateway = Gateway::bind(
            GatewaySettings {
                keys: vec![AccessKey::new("local", &key)],
                price: Micros::ZERO,
                allow_private: true,
                decode,
                local_files: Some(files.clone()),
                ..GatewaySettings::default()
            },
            Arc::new(local_engine(settings)?),
        )
        .await?;
        let base_url = gateway.base_url().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = gateway.serve(stopped).await {
                tracing::error!(%error, "the local gateway stopped");
            }
        });
        Ok(Self { base_url, key, files, stop, task })
    }

    /// Returns what gives this machine's files a URL on the gateway.
    pub(super) fn publisher(&self) -> LocalPublisher {
        let (base, files) = (self.base_url.clone(), self.files.clone());
        LocalPublisher::new(move |path: &Path| files.url_for(&base, path))
    }

    /// Stops it and waits for its end.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A panic in it was logged and changes nothing any more.
        let _ = self.task.await;
    }
}

/// 122 random bits, for a key that only this process knows.
fn random_word() -> String {
    Uuid::new_v4().simple().to_string()
}
