//! The addresses of a gateway.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    middleware::map_response,
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};
use serde_json::{Value, json};

use super::{
    local_files::{LOCAL_FILES_PATH, local_file},
    media::{media, media_path},
    openapi::openapi,
    ready::ready,
    refusal::Refusal,
    shared::Shared,
    stats::{BookedRequest, GatewayStats},
    status::status,
    submit::submit,
};
use crate::api::wire::{STATUS_PATH, SUBMIT_PATH};

/// Every address of the public contract, as `openapi.json` describes it.
pub(super) fn public_routes(base_url: &str) -> Vec<(String, MethodRouter<Arc<Shared>>)> {
    let document = openapi(base_url);
    vec![
        (SUBMIT_PATH.to_owned(), post(submit)),
        (format!("{STATUS_PATH}{{request_id}}"), get(status)),
        (media_path("{request_id}"), get(media)),
        ("/healthz".to_owned(), get(health)),
        ("/readyz".to_owned(), get(ready)),
        ("/openapi.json".to_owned(), get(async || document)),
    ]
}

/// Builds the router; every error has the documented shape.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for (path, handler) in public_routes(&shared.base_url) {
        router = router.route(&path, handler);
    }
    if shared.settings.local_files.is_some() {
        router = router.route(&format!("{LOCAL_FILES_PATH}{{*file}}"), get(local_file));
    }
    if shared.settings.record_submits {
        router = router.merge(books());
    }
    router
        .method_not_allowed_fallback(async || Refusal::method_not_allowed())
        .fallback(async || Refusal::not_found("There is nothing at this address."))
        // `body` has a limit of its own, which answers in the documented shape.
        .layer(DefaultBodyLimit::disable())
        .layer(map_response(harden))
        .with_state(shared)
}

/// Says what holds for every answer: that its type is what it says, and that it is only
/// for now, unless it says otherwise.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
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

/// `GET healthz`: answers as long as the gateway does.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
