//! The way from the service back to a run: opened when `webhook_url` is set.

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::error::AppError;
use crate::{
    config::Settings,
    core::{CallbackAddresses, CallbackSecret},
    run::Webhooks,
    webhook::{WebhookServer, router},
};

/// Callbacks that wait for the run; when there are more, the service is told to call
/// again.
const QUEUE: usize = 1_024;

/// Returns the public root of callbacks.
///
/// # Errors
///
/// [`AppError::LocalWebhooks`] with `--local`.
pub(super) fn webhook_root(settings: &Settings, local: bool) -> Result<Option<&Url>, AppError> {
    match &settings.webhook_url {
        Some(_) if local => Err(AppError::LocalWebhooks),
        root => Ok(root.as_ref()),
    }
}

/// Opens the address on which callbacks are received.
pub(super) async fn listen(settings: &Settings) -> Result<WebhookServer, AppError> {
    let address = settings.webhook_listen;
    WebhookServer::bind(address).await.map_err(|source| AppError::WebhookListen { address, source })
}

/// A receiver of callbacks at work; stops when dropped.
pub(super) struct WebhookReceiver {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl WebhookReceiver {
    /// Starts it, and returns what the run needs of it.
    pub(super) async fn start(
        settings: &Settings,
        root: &Url,
        secret: CallbackSecret,
    ) -> Result<(Self, Webhooks), AppError> {
        let server = listen(settings).await?;
        let address = server.local_addr();
        tracing::info!(%address, %root, "callbacks are received");
        let (sender, callbacks) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let serving = server.serve(router(secret, sender), stop.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "callbacks are no longer received; polls go on");
            }
        });
        let addresses = CallbackAddresses::new(root.clone(), secret);
        let webhooks = Webhooks { addresses, callbacks, patience: settings.webhook_patience };
        Ok((Self { stop, task }, webhooks))
    }

    /// Stops it and waits for its end, which takes a second at most.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        // A panic in it was logged and changes nothing any more.
        let _ = (&mut self.task).await;
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
