//! The answers that are not what was asked for, in the documented shape.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::api::wire::ErrorBody;

/// What a 401 must say (RFC 9110, section 11.6.1): how to authenticate. No registered
/// scheme fits a key in a header of its own.
const CHALLENGE: &str = "ApiKey realm=\"restore-batch\", header=\"Ocp-Apim-Subscription-Key\"";

/// An error answer: `{"error": …, "message": …}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    /// Short name, such as `Insufficient Balance`.
    error: &'static str,
    /// A sentence for people.
    message: String,
    /// When to come back.
    retry_after: Option<Duration>,
    /// The connection is of no more use.
    closes: bool,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), retry_after: None, closes: false }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad Request", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "The subscription key is missing or invalid.";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// Word for word as the hosted service documents it.
    pub(super) fn insufficient_balance() -> Self {
        let message = "Your wallet does not have enough balance.";
        Self::new(StatusCode::PAYMENT_REQUIRED, "Insufficient Balance", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "This address does not support the method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", message)
    }

    /// Not 408, which may also come from a proxy that has passed the request on: a client
    /// that pays would have to hold its request for in doubt.
    pub(super) fn slow_body() -> Self {
        let refusal = Self::bad_request("The body took too long to arrive.");
        Self { closes: true, ..refusal }
    }

    pub(super) fn payload_too_large(limit: usize) -> Self {
        let message = format!("The body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", message)
    }

    pub(super) fn unsupported_media_type() -> Self {
        let message = "The body must be sent as Content-Type: application/json, not compressed.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", message)
    }

    pub(super) fn range_not_satisfiable() -> Self {
        let message = "The range lies beyond the end.";
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "Range Not Satisfiable", message)
    }

    pub(super) fn too_many_requests(message: &str, retry_after: Duration) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", message);
        Self { retry_after: Some(retry_after), ..refusal }
    }

    pub(super) fn internal() -> Self {
        let message = "Something went wrong on the server.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", message)
    }

    /// A passing outage, for tests.
    pub(super) fn unavailable() -> Self {
        let message = "The service is unavailable, by request.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", message)
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// A link that no longer works, for tests.
    pub(super) fn expired() -> Self {
        Self::forbidden("The link has expired, by request.")
    }

    /// An `Idempotency-Key` that is taken, with the status that the IETF draft names.
    pub(super) fn unprocessable(message: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Content", message)
    }

    /// Nothing can be kept now, so nothing is accepted.
    pub(super) fn not_kept() -> Self {
        let message = "The gateway cannot keep requests now; nothing was accepted.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", message)
    }

    pub(super) fn shutting_down() -> Self {
        let message = "The gateway is shutting down.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: self.error.to_owned(), message: self.message };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(CHALLENGE);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self.closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(pause) = self.retry_after {
            // Whole seconds, rounded up: a client that comes back exactly then is served.
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
