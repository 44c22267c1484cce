//! `GET readyz`: whether a request that came now would be accepted, kept and worked on.
//! `GET healthz` only says that the process answers.

use std::sync::{Arc, atomic::Ordering};

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};

use super::shared::Shared;

/// Least free space of the state folder in bytes: a result of 12 megapixels at scale 4 as
/// PNG takes up to some hundred megabytes.
const LEAST_FREE: u64 = 256 << 20;

/// Handles a readiness question.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<Value>) {
    let checks = [
        ("store", shared.state.store.probe().await.is_ok(), "it cannot be written"),
        ("workers", shared.working.load(Ordering::Relaxed), "there is none"),
        ("queue", !shared.requests.is_full(), "it is full"),
        ("disk", has_room(&shared), "less than 256 MiB are free"),
        ("gateway", !shared.stop.is_cancelled(), "it is shutting down"),
    ];
    let ready = checks.iter().all(|(_, good, _)| *good);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let words = checks
        .map(|(name, good, bad)| (name.to_owned(), Value::from(if good { "ok" } else { bad })));
    let checks: serde_json::Map<String, Value> = words.into_iter().collect();
    let word = if ready { "ready" } else { "not ready" };
    (status, Json(json!({ "status": word, "checks": checks })))
}

/// Returns whether the state folder's disk has room for results. One that does not tell is
/// trusted.
fn has_room(shared: &Shared) -> bool {
    let facts = rustix::fs::statvfs(shared.state.folder());
    facts.map_or(true, |facts| facts.f_bavail.saturating_mul(facts.f_frsize) >= LEAST_FREE)
}
