//! Answers with a file from disk, whole or in part, streamed.

use std::{io, path::Path};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        LAST_MODIFIED, RANGE,
    },
};
use jiff::Timestamp;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, SeekFrom},
};
use tokio_util::io::ReaderStream;

use super::{
    conditions::Validators,
    range::{Wanted, wanted},
    refusal::Refusal,
};
use crate::core::http_date;

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
    method: &Method,
    request: &HeaderMap,
) -> Result<Response, Refusal> {
    let failed = |error: io::Error| unreadable(&error);
    let Opened { mut file, total, last_modified } = open(path).await.map_err(failed)?;
    let validators = Validators { etag: presentation.etag.clone(), last_modified };
    if validators.known(request) {
        let reply = StatusCode::NOT_MODIFIED.into_response();
        return Ok(with_headers(reply, presentation, &validators));
    }
    // A part can only be had by GET; any other method ignores the header.
    let range = request.get(RANGE).filter(|_| method == Method::GET && validators.same(request));
    let range = range.and_then(|range| range.to_str().ok());
    let (status, start, length) = match range.map_or(Wanted::Whole, |range| wanted(range, total)) {
        Wanted::Whole => (StatusCode::OK, 0, total),
        Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Wanted::Unsatisfiable => {
            let mut response = Refusal::range_not_satisfiable().into_response();
            insert(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
            return Ok(response);
        }
    };
    file.seek(SeekFrom::Start(start)).await.map_err(failed)?;
    let body = Body::from_stream(ReaderStream::new(file.take(length)));
    let mut response = with_headers((status, body).into_response(), presentation, &validators);
    insert(&mut response, CONTENT_TYPE, presentation.content_type);
    insert(&mut response, CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = start + length - 1;
        insert(&mut response, CONTENT_RANGE, &format!("bytes {start}-{last}/{total}"));
    }
    Ok(response)
}

struct Opened {
    file: File,
    /// Size in bytes.
    total: u64,
    /// As HTTP writes it; `None` where the file system does not know.
    last_modified: Option<String>,
}

/// Opens a regular file. The kind is looked at first: opening a pipe would wait for its
/// other end.
async fn open(path: &Path) -> io::Result<Opened> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path).await?;
    let facts = file.metadata().await?;
    let modified = facts.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    let last_modified = modified.and_then(http_date::write);
    Ok(Opened { total: facts.len(), file, last_modified })
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

fn with_headers(
    mut response: Response,
    presentation: &Presentation,
    validators: &Validators,
) -> Response {
    insert(&mut response, CACHE_CONTROL, presentation.cache_control);
    insert(&mut response, ACCEPT_RANGES, "bytes");
    if let Some(etag) = &validators.etag {
        insert(&mut response, ETAG, etag);
    }
    if let Some(last_modified) = &validators.last_modified {
        insert(&mut response, LAST_MODIFIED, last_modified);
    }
    response
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    // Every value is made here, from digits and constants.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
