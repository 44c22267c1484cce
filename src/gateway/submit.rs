//! `POST generate`: accepts a request, or says why not.

use std::sync::Arc;

use axum::{
    Json,
    extract::{ConnectInfo, State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, Value};
use url::Url;

use super::{
    connection::Switch,
    faults::Fault,
    refusal::Refusal,
    shared::{Shared, Submission},
    store::IdempotencyKey,
    worker::FAULT_PAUSE,
};
use crate::{
    api::wire::{STATUS_PATH, Status, SubmitBody, SubmitReply},
    engine::MAX_SCALE,
};

/// Largest body of a submit in bytes. It holds one URL and a few words.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Longest `img` in bytes; what common servers and clients take.
const MAX_URL: usize = 8 << 10;

/// What a body that does not say gets, as the page has it.
const DEFAULT_SCALE: u8 = 2;
const DEFAULT_VERSION: &str = "v1.4";

/// Handles a submit.
///
/// A client that goes away in the middle leaves either a whole request or none.
pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Switch>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let account = shared.accounts.authenticate(&headers)?;
    shared.accounts.admit(account)?;
    let body = read(&headers, body)?;
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
    let submission = Submission { number, body, idempotency, callback_url: None };
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

/// Reads and checks a body.
fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<SubmitBody, Refusal> {
    if !is_json(headers) {
        return Err(Refusal::unsupported_media_type());
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::payload_too_large(MAX_BODY),
        _ => Refusal::bad_request("The body could not be read."),
    })?;
    let Ok(Value::Object(fields)) = serde_json::from_slice(&body) else {
        return Err(Refusal::bad_request("The body must be a JSON object."));
    };
    Ok(SubmitBody { img: img(&fields)?, scale: scale(&fields)?, version: version(&fields)? })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn img(fields: &Map<String, Value>) -> Result<String, Refusal> {
    let invalid = || Refusal::bad_request("'img' must be a valid HTTP or HTTPS URL.");
    let img = match fields.get("img") {
        None | Some(Value::Null) => return Err(Refusal::bad_request("'img' is required.")),
        Some(Value::String(img)) => img,
        Some(_) => return Err(invalid()),
    };
    let url = Url::parse(img).map_err(|_| invalid())?;
    if img.len() > MAX_URL || !matches!(url.scheme(), "http" | "https") {
        return Err(invalid());
    }
    Ok(img.clone())
}

fn scale(fields: &Map<String, Value>) -> Result<u8, Refusal> {
    let scale = match fields.get("scale") {
        None | Some(Value::Null) => return Ok(DEFAULT_SCALE),
        Some(scale) => scale.as_u64().and_then(|scale| u8::try_from(scale).ok()),
    };
    scale
        .filter(|scale| (1..=MAX_SCALE).contains(scale))
        .ok_or_else(|| Refusal::bad_request("'scale' must be an integer from 1 to 4."))
}

fn version(fields: &Map<String, Value>) -> Result<String, Refusal> {
    match fields.get("version") {
        None | Some(Value::Null) => Ok(DEFAULT_VERSION.to_owned()),
        Some(Value::String(version)) if !version.trim().is_empty() => Ok(version.clone()),
        Some(_) => Err(Refusal::bad_request("'version' must be a string such as \"v1.4\".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(body: &str) -> Result<SubmitBody, Refusal> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
        read(&headers, Ok(Bytes::from(body.to_owned())))
    }

    #[test]
    fn bodies_are_read_with_the_page_s_defaults() {
        for (body, scale, version) in [
            (r#"{"img":"http://h/a"}"#, 2, "v1.4"),
            (r#"{"img":"http://h/a","scale":4,"version":"v1.3","later":[1]}"#, 4, "v1.3"),
            (r#" {"img":"http://h/a","scale":null,"version":null} "#, 2, "v1.4"),
        ] {
            let img = "http://h/a".to_owned();
            let expected = SubmitBody { img, scale, version: version.to_owned() };
            assert_eq!(read_json(body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_not_documented_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            "{",
            "\"http://h/a\"",
            "{}",
            r#"{"img":null}"#,
            r#"{"img":""}"#,
            r#"{"img":5}"#,
            r#"{"img":"a.jpg"}"#,
            r#"{"img":"file:///etc/passwd"}"#,
            r#"{"img":"ftp://h/a"}"#,
            r#"{"img":"http://"}"#,
            r#"{"img":"http://h/a","scale":0}"#,
            r#"{"img":"http://h/a","scale":5}"#,
            r#"{"img":"http://h/a","scale":2.5}"#,
            r#"{"img":"http://h/a","scale":"2"}"#,
            r#"{"img":"http://h/a","scale":-1}"#,
            r#"{"img":"http://h/a","scale":258}"#,
            r#"{"img":"http://h/a","version":4}"#,
            r#"{"img":"http://h/a","version":" "}"#,
        ] {
            let refusal = read_json(body).unwrap_err();
            assert_eq!(refusal.into_response().status(), StatusCode::BAD_REQUEST, "{body}");
        }
        let long = format!(r#"{{"img":"http://h/{}"}}"#, "a".repeat(MAX_URL));
        assert!(read_json(&long).is_err());
    }

    #[test]
    fn only_json_is_read() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonx", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
