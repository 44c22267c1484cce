//! The addresses of a gateway.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    routing::{get, post},
};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    faults::Fault,
    local_files::{LOCAL_FILES_PATH, local_file},
    media::{MEDIA_TYPE, media, media_path},
    ready::ready,
    refusal::Refusal,
    shared::Shared,
    stats::{BookedRequest, GatewayStats},
    submit::{MAX_BODY, submit},
};
use crate::api::wire::{Output, STATUS_PATH, SUBMIT_PATH, Status, StatusReply};

/// Builds the router; every error has the documented shape.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let books = if shared.settings.record_submits { books() } else { Router::new() };
    Router::new()
        .route(SUBMIT_PATH, post(submit))
        .route(&format!("{STATUS_PATH}{{id}}"), get(status))
        .route(&media_path("{id}"), get(media))
        .route(&format!("{LOCAL_FILES_PATH}{{*file}}"), get(local_file))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .merge(books)
        .method_not_allowed_fallback(async || Refusal::method_not_allowed())
        .fallback(async || Refusal::not_found("There is nothing at this address."))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// What a test in another process asks for; only with the test switch.
fn books() -> Router<Arc<Shared>> {
    Router::new().route("/faults/stats", get(stats)).route("/faults/books", get(booked))
}

/// `GET faults/stats`: how much was done.
async fn stats(State(shared): State<Arc<Shared>>) -> Json<GatewayStats> {
    Json(shared.stats())
}

/// `GET faults/books`: every accepted request.
async fn booked(State(shared): State<Arc<Shared>>) -> Json<Vec<BookedRequest>> {
    Json(shared.requests.booked())
}

/// `GET status`: where a request stands.
async fn status(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<StatusReply>, Refusal> {
    let account = shared.accounts.authenticate(&headers)?;
    shared.visits.poll();
    let unknown = || Refusal::not_found("There is no request of this name.");
    let seen = shared.requests.look_up(&id, account).ok_or_else(unknown)?;
    if shared.strikes(Fault::EarlyUnknown, &id) {
        return Err(unknown());
    }
    let completed = seen.status == Status::Completed;
    let there = completed && !shared.strikes(Fault::LateMedia, &id);
    let output = there.then(|| Output {
        media_url: vec![shared.url(&media_path(&id))],
        media_type: Some(MEDIA_TYPE.to_owned()),
    });
    Ok(Json(StatusReply {
        request_id: id,
        status: seen.status.as_str().to_owned(),
        // What ran, which is not GFPGAN.
        model_id: Some(shared.engine.name().to_owned()),
        error: seen.error,
        output,
        created_at: Some(rfc3339(seen.created_at)),
        updated_at: Some(rfc3339(seen.updated_at)),
        completed_at: seen.completed_at.map(rfc3339),
    }))
}

/// `GET healthz`: answers as long as the gateway does.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Writes a time as the service does, with milliseconds.
fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}
