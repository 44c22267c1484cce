//! The route of callbacks.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::BytesMut;
use futures::StreamExt as _;
use http::{
    StatusCode, Uri,
    header::{CONNECTION, RETRY_AFTER},
};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    api::webhook::{LONGEST_CALLBACK, parse},
    core::{Callback, CallbackSecret},
};

/// Longest time for the body of one callback, which is less than a kilobyte.
const LONGEST_BODY_TIME: Duration = Duration::from_secs(10);

/// Seconds after which the service may call again when there is no room.
const CALL_AGAIN_AFTER: &str = "10";

/// Who understands callbacks, and where they go.
#[derive(Debug)]
struct Receiver {
    secret: CallbackSecret,
    callbacks: mpsc::Sender<Callback>,
}

/// Returns a router that hands genuine callbacks to `callbacks`.
///
/// Only the last segment of a path counts, so that it does not matter which prefix a
/// proxy removes on the way, nor where the router is mounted.
pub fn router(secret: CallbackSecret, callbacks: mpsc::Sender<Callback>) -> Router {
    let receiver = Arc::new(Receiver { secret, callbacks });
    Router::new().route("/{*path}", post(receive)).with_state(receiver)
}

async fn receive(State(receiver): State<Arc<Receiver>>, uri: Uri, body: Body) -> Response {
    // Read whoever sends it: an address that is not known is not answered any sooner.
    let status = match timeout(LONGEST_BODY_TIME, read(body)).await {
        Ok(Ok(body)) => receiver.take(&uri, &body),
        Ok(Err(refused)) => refused,
        Err(_) => StatusCode::REQUEST_TIMEOUT,
    };
    // One connection is one callback; see `connection` for what is allowed on it.
    let mut response = (status, [(CONNECTION, "close")]).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let again = http::HeaderValue::from_static(CALL_AGAIN_AFTER);
        response.headers_mut().insert(RETRY_AFTER, again);
    }
    response
}

async fn read(body: Body) -> Result<BytesMut, StatusCode> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
        if bytes.len() + chunk.len() > LONGEST_CALLBACK {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl Receiver {
    fn take(&self, uri: &Uri, body: &[u8]) -> StatusCode {
        // Asked for first, so that this answer too says nothing about the address.
        let Ok(place) = self.callbacks.try_reserve() else {
            return StatusCode::SERVICE_UNAVAILABLE;
        };
        let segment = uri.path().rsplit('/').next().unwrap_or_default();
        let Some((item, attempt)) = self.secret.read(segment) else {
            tracing::debug!("a callback to an address that was not given out");
            return StatusCode::OK;
        };
        tracing::debug!(item.id = %item, attempt, "the service has called back");
        let request_id = parse(body).and_then(|hint| hint.request_id);
        place.send(Callback { item, attempt, request_id });
        StatusCode::OK
    }
}
