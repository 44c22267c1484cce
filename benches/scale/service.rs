//! The service that the measured program talks to. It remembers no request: the time at which
//! one was accepted is in its id.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing,
};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use super::Result;

/// Accepts everything, and completes it after a time or never.
pub(crate) struct Service {
    pub(crate) base_url: String,
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

struct Heard {
    began: Instant,
    base_url: String,
    /// How long a request is queued; `None` means for ever.
    held: Option<Duration>,
    picture: Vec<u8>,
    /// Since `began`, in microseconds; 0 before.
    first_call: AtomicU64,
    submits: AtomicU64,
    polls: AtomicU64,
    downloads: AtomicU64,
}

impl Service {
    pub(crate) async fn start(held: Option<Duration>) -> Result<Self> {
        let mut picture = std::io::Cursor::new(Vec::new());
        image::DynamicImage::new_rgb8(64, 64).write_to(&mut picture, image::ImageFormat::Png)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let heard = Arc::new(Heard {
            began: Instant::now(),
            base_url: base_url.clone(),
            held,
            picture: picture.into_inner(),
            first_call: AtomicU64::new(0),
            submits: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            downloads: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/gfpgan/v1/gfpgan/generate", routing::post(accept))
            .route("/v2/requests/status/{id}", routing::get(status))
            .route("/media/{id}", routing::get(picture_of))
            .with_state(heard.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { base_url, heard, task })
    }

    /// When the first request about a picture came: a submit, or a poll of an earlier one.
    pub(crate) fn first_call(&self) -> Option<Instant> {
        let micros = Some(self.heard.first_call.load(Ordering::Relaxed)).filter(|at| *at > 0)?;
        Some(self.heard.began + Duration::from_micros(micros))
    }

    /// Waits for a first call anew.
    pub(crate) fn listen_anew(&self) {
        self.heard.first_call.store(0, Ordering::Relaxed);
    }

    /// Submits, polls and downloads so far.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let Heard { submits, polls, downloads, .. } = &*self.heard;
        [submits, polls, downloads].map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

impl Heard {
    fn call(&self) {
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Only the first finds the place empty.
        let _ = self.first_call.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }
}

async fn accept(State(heard): State<Arc<Heard>>) -> (StatusCode, String) {
    heard.call();
    let number = heard.submits.fetch_add(1, Ordering::Relaxed);
    let at = heard.began.elapsed().as_millis();
    (StatusCode::ACCEPTED, format!(r#"{{"request_id":"gfpgan_{at}_{number}","status":"QUEUED"}}"#))
}

async fn status(State(heard): State<Arc<Heard>>, Path(id): Path<String>) -> (StatusCode, String) {
    // The probe before a run is no poll of a picture.
    let Some((_, times)) = id.split_once('_') else {
        return (StatusCode::NOT_FOUND, String::new());
    };
    heard.call();
    heard.polls.fetch_add(1, Ordering::Relaxed);
    let at = times.split('_').next().and_then(|at| at.parse().ok()).map(Duration::from_millis);
    let age = heard.began.elapsed().saturating_sub(at.unwrap_or_default());
    let reply = if heard.held.is_some_and(|held| age >= held) {
        let url = format!("{}/media/{id}.png", heard.base_url);
        format!(r#"{{"status":"COMPLETED","output":{{"media_url":["{url}"]}}}}"#)
    } else {
        r#"{"status":"QUEUED"}"#.to_owned()
    };
    (StatusCode::OK, reply)
}

async fn picture_of(State(heard): State<Arc<Heard>>) -> Vec<u8> {
    heard.downloads.fetch_add(1, Ordering::Relaxed);
    heard.picture.clone()
}
