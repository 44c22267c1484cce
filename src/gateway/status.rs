//! `GET status`: where a request stands, in the words of the service.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::HeaderMap;
use jiff::Timestamp;

use super::{
    faults::Fault,
    media::{MEDIA_TYPE, media_path},
    refusal::Refusal,
    requests::Snapshot,
    shared::Shared,
};
use crate::api::wire::{Output, Status, StatusReply};

/// Handles a status request.
pub(super) async fn status(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<StatusReply>, Refusal> {
    let account = shared.accounts.authenticate(&headers)?;
    shared.visits.poll();
    let unknown = || Refusal::not_found("There is no request of this name.");
    // A name that is no text is one that was never given out.
    let Path(id) = id.map_err(|_| unknown())?;
    let seen = shared.requests.look_up(&id, account).ok_or_else(unknown)?;
    if shared.strikes(Fault::EarlyUnknown, &id) {
        return Err(unknown());
    }
    let late = seen.status == Status::Completed && shared.strikes(Fault::LateMedia, &id);
    let mut reply = status_reply(&shared, &id, seen);
    if late {
        reply.output = None;
    }
    Ok(Json(reply))
}

/// Returns what is told of a request, by polls and callbacks alike.
pub(super) fn status_reply(shared: &Shared, id: &str, seen: Snapshot) -> StatusReply {
    let output = (seen.status == Status::Completed).then(|| Output {
        media_url: vec![shared.url(&media_path(id))],
        media_type: Some(MEDIA_TYPE.to_owned()),
    });
    // A clock that was set back must not let a request end before it began.
    let updated_at = seen.updated_at.max(seen.created_at);
    StatusReply {
        request_id: id.to_owned(),
        status: seen.status.as_str().to_owned(),
        // What ran, which is not GFPGAN.
        model_id: Some(shared.engine.name().to_owned()),
        error: seen.error,
        output,
        created_at: Some(rfc3339(seen.created_at)),
        updated_at: Some(rfc3339(updated_at)),
        completed_at: seen.completed_at.map(|time| rfc3339(time.max(updated_at))),
        report: seen.report,
    }
}

/// Writes a time as the service does, with milliseconds.
fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}
