//! `POST generate`: accepts a request, or says why not.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::{
    asked::{Asked, expect_json},
    body::read_body,
    connection::Switch,
    faults::Fault,
    refusal::Refusal,
    shared::{Shared, Submission},
    store::IdempotencyKey,
    worker::FAULT_PAUSE,
};
use crate::api::wire::{STATUS_PATH, Status, SubmitReply};

/// Handles a submit.
///
/// A client that goes away in the middle leaves either a whole request or none.
pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Switch>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = shared.accounts.authenticate(&headers)?;
    shared.accounts.admit(account)?;
    expect_json(&headers)?;
    let Asked { body, callback_url } =
        Asked::read(&headers, &read_body(body).await?, &shared.client)?;
    let idempotency = IdempotencyKey::of(&headers, &body)?;

    let faults = &shared.settings.faults;
    let number = shared.next_submit();
    if faults.hits(Fault::Throttled, number) {
        return Err(Refusal::too_many_requests("Too many requests, by request.", FAULT_PAUSE));
    }
    if faults.hits(Fault::Unavailable, number) {
        return Err(Refusal::unavailable());
    }
    if faults.hits(Fault::ServerError, number) {
        return Err(Refusal::internal());
    }
    if faults.hits(Fault::Reset, number) {
        connection.cut();
        return Err(Refusal::internal());
    }
    let submission = Submission { number, body, idempotency, callback_url };
    let id = shared.accept(account, submission).await?;
    tracing::debug!(request.id = %id, "accepted");
    if faults.hits(Fault::ReplyLost, number) {
        connection.cut();
    }
    if faults.hits(Fault::Malformed, number) {
        let json = [(CONTENT_TYPE, "application/json")];
        return Ok((StatusCode::ACCEPTED, json, r#"{"request_id":"#).into_response());
    }
    if faults.hits(Fault::SlowReply, number) {
        tokio::time::sleep(faults.slow_for).await;
    }
    let reply = SubmitReply {
        polling_url: Some(shared.url(&format!("{STATUS_PATH}{id}"))),
        request_id: Some(id),
        status: Some(Status::Queued.as_str().to_owned()),
        error: None,
    };
    Ok((StatusCode::ACCEPTED, Json(reply)).into_response())
}
