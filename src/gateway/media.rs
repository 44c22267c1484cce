//! `GET media`: serves results. Like the hosted service's object store it asks for no
//! key: the unguessable request id is the permission.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use http::{HeaderMap, Method, header::CONTENT_LENGTH};

use super::{
    faults::Fault,
    file_reply::{Presentation, file_reply},
    refusal::Refusal,
    shared::Shared,
};

/// MIME type of every result.
pub(super) const MEDIA_TYPE: &str = "image/png";

/// Path of the result of a request below the gateway's root.
pub(super) fn media_path(id: &str) -> String {
    format!("/media/{id}/output.png")
}

/// Serves a result.
pub(super) async fn media(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    shared.visits.download();
    let unknown = || Refusal::not_found("There is no result of this name.");
    // A name that is no text is one that was never given out.
    let Path(id) = id.map_err(|_| unknown())?;
    let result = shared.requests.result(&id).ok_or_else(unknown)?;
    if shared.strikes(Fault::MediaExpired, &id) {
        return Err(Refusal::expired());
    }
    if shared.strikes(Fault::MediaCut, &id) {
        return Ok(cut(result.bytes));
    }
    let presentation = Presentation {
        content_type: MEDIA_TYPE,
        // The content of an address never changes; whether it is still there does.
        cache_control: "private, max-age=3600, immutable",
        etag: Some(format!("\"{}\"", result.blake3.to_hex())),
    };
    file_reply(&result.path, &presentation, &method, &headers).await
}

/// Announces as many bytes as the result has, sends half of them, none of them right,
/// and closes the connection.
fn cut(bytes: u64) -> Response {
    let half = vec![0; usize::try_from(bytes / 2).unwrap_or_default()];
    let broken = std::io::Error::other("cut, by request");
    // In two steps: an error that is known at once would end the answer before its head.
    let end = futures::stream::once(async {
        tokio::task::yield_now().await;
        Err(broken)
    });
    let body = futures::stream::iter([Ok(half)]).chain(end);
    let length = [(CONTENT_LENGTH, bytes.to_string())];
    (length, Body::from_stream(body)).into_response()
}
