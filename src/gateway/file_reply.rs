//! Answers with a file from disk, whole or in part, streamed.

use std::{io, path::Path};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, IF_RANGE, RANGE,
    },
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, SeekFrom},
};
use tokio_util::io::ReaderStream;

use super::{
    range::{Wanted, wanted},
    refusal::Refusal,
};

/// How a file is presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Presentation {
    /// MIME type.
    pub(super) content_type: &'static str,
    /// What caches may do.
    pub(super) cache_control: &'static str,
    /// Names this content, quotes included.
    pub(super) etag: Option<String>,
}

/// Answers a GET or HEAD for the file at `path`.
///
/// # Errors
///
/// 404 when there is no such regular file, 500 when it cannot be read.
pub(super) async fn file_reply(
    path: &Path,
    presentation: &Presentation,
    request: &HeaderMap,
) -> Result<Response, Refusal> {
    let etag = presentation.etag.as_deref();
    if let (Some(known), Some(etag)) = (header(request, &IF_NONE_MATCH), etag)
        && known.split(',').any(|known| matches!(known.trim(), "*") || known.trim() == etag)
    {
        return Ok(with_headers(StatusCode::NOT_MODIFIED.into_response(), presentation));
    }
    let (mut file, total) = open(path).await.map_err(|error| unreadable(&error))?;
    let range = match (header(request, &RANGE), header(request, &IF_RANGE)) {
        (Some(range), None) => wanted(range, total),
        (Some(range), known) if known == etag => wanted(range, total),
        _ => Wanted::Whole,
    };
    let (status, start, length) = match range {
        Wanted::Whole => (StatusCode::OK, 0, total),
        Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Wanted::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            insert(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
            return Ok(response);
        }
    };
    file.seek(SeekFrom::Start(start)).await.map_err(|error| unreadable(&error))?;
    let body = Body::from_stream(ReaderStream::new(file.take(length)));
    let mut response = with_headers((status, body).into_response(), presentation);
    insert(&mut response, CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = start + length - 1;
        insert(&mut response, CONTENT_RANGE, &format!("bytes {start}-{last}/{total}"));
    }
    Ok(response)
}

/// Opens a regular file. The kind is looked at first: opening a pipe would wait for its
/// other end.
async fn open(path: &Path) -> io::Result<(File, u64)> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path).await?;
    let total = file.metadata().await?.len();
    Ok((file, total))
}

fn unreadable(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Refusal::not_found("There is no such file.")
        }
        _ => {
            tracing::error!(%error, "a file could not be served");
            Refusal::internal()
        }
    }
}

fn with_headers(mut response: Response, presentation: &Presentation) -> Response {
    insert(&mut response, CONTENT_TYPE, presentation.content_type);
    insert(&mut response, CACHE_CONTROL, presentation.cache_control);
    insert(&mut response, ACCEPT_RANGES, "bytes");
    if let Some(etag) = &presentation.etag {
        insert(&mut response, ETAG, etag);
    }
    response
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    // Every value is made here, from digits and constants.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
