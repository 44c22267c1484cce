//! `GET media`: serves results. Like the hosted service's object store it asks for no
//! key: the unguessable request id is the permission.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;

use super::{
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
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let result = shared.requests.result(&id);
    let result = result.ok_or_else(|| Refusal::not_found("There is no result of this name."))?;
    let presentation = Presentation {
        content_type: MEDIA_TYPE,
        // The content of an address never changes; whether it is still there does.
        cache_control: "private, max-age=3600, immutable",
        etag: Some(format!("\"{}\"", result.blake3.to_hex())),
    };
    file_reply(&result.path, &presentation, &headers).await
}
