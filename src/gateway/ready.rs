//! `GET readyz`: whether a request that came now would be accepted, kept and worked on.
//! `GET healthz` only says that the process answers.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

use super::shared::Shared;

/// Least free space of the state folder in bytes: a result of 12 megapixels at scale 4 as
/// PNG takes up to some hundred megabytes.
const LEAST_FREE: u64 = 256 << 20;

/// How long what the disk was found to be holds: finding out costs a durable commit, and
/// anybody may ask.
const HOLDS_FOR: Duration = Duration::from_secs(2);

/// What was last found out.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, Disk)>>,
}

#[derive(Debug, Clone, Copy)]
struct Disk {
    writable: bool,
    roomy: bool,
}

impl Readiness {
    /// Looks at the disk, unless that was done just now.
    async fn disk(&self, shared: &Shared) -> Disk {
        // Held while looking, so that many who ask at once get one answer.
        let mut last = self.last.lock().await;
        if let Some((at, disk)) = *last
            && at.elapsed() < HOLDS_FOR
        {
            return disk;
        }
        let folder = shared.state.folder().to_owned();
        let roomy = spawn_blocking(move || has_room(&folder)).await.unwrap_or(true);
        let disk = Disk { writable: shared.state.store.probe().await.is_ok(), roomy };
        *last = Some((Instant::now(), disk));
        disk
    }

    /// Lets the next question be looked into.
    #[cfg(test)]
    pub(super) async fn forget(&self) {
        *self.last.lock().await = None;
    }
}

/// Handles a readiness question. A full queue is told, but passes, and is answered with
/// 429: whoever takes a gateway out of service for it only fills the others.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<Value>) {
    let disk = shared.readiness.disk(&shared).await;
    let checks = [
        ("store", disk.writable, "it cannot be written"),
        ("workers", shared.working.load(Ordering::Relaxed), "there is none"),
        ("disk", disk.roomy, "less than 256 MiB are free"),
        ("gateway", !shared.stop.is_cancelled(), "it is shutting down"),
    ];
    let ready = checks.iter().all(|(_, good, _)| *good);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let queue = ("queue", !shared.requests.is_full(), "it is full");
    let told = checks.into_iter().chain([queue]);
    let words =
        told.map(|(name, good, bad)| (name.to_owned(), Value::from(if good { "ok" } else { bad })));
    let checks: serde_json::Map<String, Value> = words.collect();
    let word = if ready { "ready" } else { "not ready" };
    (status, Json(json!({ "status": word, "checks": checks })))
}

/// Returns whether the disk of `folder` has room for results. One that does not tell is
/// trusted.
fn has_room(folder: &Path) -> bool {
    let facts = rustix::fs::statvfs(folder);
    facts.map_or(true, |facts| facts.f_bavail.saturating_mul(facts.f_frsize) >= LEAST_FREE)
}
