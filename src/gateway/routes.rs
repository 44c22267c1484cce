//! The addresses of a gateway.
//!
//! Every answer that is made here has the documented shape, also for a handler that
//! crashes. What is no HTTP request never comes here: the server library answers a request
//! line that cannot be read with 400, headers that are too large with 431 and an address
//! that is too long with 414, without a body, and closes the connection.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn, from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use futures::FutureExt as _;
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    local_files::{LOCAL_FILES_PATH, local_file},
    media::{media, media_path},
    openapi::openapi,
    pages::refuse_pages,
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

/// Builds the router; every error has the documented shape. `own` is the public URL.
pub(super) fn router(shared: Arc<Shared>, own: Url) -> Router {
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
    router = router
        .method_not_allowed_fallback(async || Refusal::method_not_allowed())
        .fallback(async || Refusal::not_found("There is nothing at this address."));
    if shared.settings.keys.is_empty() {
        router = router.layer(from_fn_with_state(Arc::new(own), refuse_pages));
    }
    router
        // `body` has a limit of its own, which answers in the documented shape.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(survive))
        .layer(map_response(harden))
        .with_state(shared)
}

/// Answers for a handler that crashes. Without an answer a client would have to hold its
/// request for in doubt for no reason that it could find.
async fn survive(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        // The panic itself was said where it happened; an address may hold a secret.
        tracing::error!("a handler crashed");
        Refusal::internal().into_response()
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::tests::assert_error;

    #[tokio::test]
    async fn a_handler_that_crashes_is_answered_for() {
        async fn crash() -> Response {
            panic!("as the test wants it");
        }
        let router = Router::new().route("/", get(crash)).layer(from_fn(survive));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(axum::serve(listener, router).into_future());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply = client.get(format!("http://{address}/")).send().await.unwrap();
        assert_error(reply, 500, "Internal Server Error").await;
        served.abort();
    }
}
