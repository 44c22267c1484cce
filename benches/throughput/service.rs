//! The services that the benchmarks talk to.

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use axum::{Router, http::StatusCode, routing};
use restore_batch::{
    engine::InstantEngine,
    gateway::{AccessKey, Gateway, GatewaySettings, LocalFiles},
};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::Result;

/// The project's gateway with the engine that does nothing.
pub(super) struct Instant {
    base_url: String,
    pub(super) sources: Vec<String>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Instant {
    /// Serves `pictures` small pictures from `folder` and restores them at once.
    pub(super) async fn start(folder: &Path, pictures: usize) -> Result<Self> {
        let files = LocalFiles::new([7; 32]);
        let settings = GatewaySettings {
            keys: vec![AccessKey::new("bench", &SecretString::from("bench"))],
            workers: NonZeroUsize::new(8).ok_or("eight is not zero")?,
            allow_private: true,
            local_files: Some(files.clone()),
            ..GatewaySettings::default()
        };
        let gateway = Gateway::bind(settings, Arc::new(InstantEngine)).await?;
        let base_url = gateway.base_url().clone();
        let source = folder.join("photo.png");
        image::DynamicImage::new_rgb8(64, 64).save(&source)?;
        // One file; the query makes each address a picture of its own.
        let address = files.url_for(&base_url, &source);
        let sources = (0..pictures).map(|number| format!("{address}?{number}")).collect();
        let stop = CancellationToken::new();
        let task = tokio::spawn(gateway.serve(stop.clone()));
        Ok(Self { base_url: base_url.to_string(), sources, stop, task })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(super) fn manifest(&self) -> String {
        format!("img\n{}\n", self.sources.join("\n"))
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// A service that accepts everything and finishes nothing.
pub(super) async fn stalled() -> Result<(String, JoinHandle<()>)> {
    async fn accept() -> (StatusCode, String) {
        let id = uuid::Uuid::now_v7();
        (StatusCode::ACCEPTED, format!(r#"{{"request_id":"{id}","status":"QUEUED"}}"#))
    }
    async fn queued() -> &'static str {
        r#"{"status":"QUEUED"}"#
    }
    let router = Router::new()
        .route("/gfpgan/v1/gfpgan/generate", routing::post(accept))
        .route("/v2/requests/status/{id}", routing::get(queued));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}
