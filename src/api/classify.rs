//! From a reply to its meaning. The only place that decides about money.
//!
//! The question for a submit is always the same: *is it certain that the service
//! accepted nothing?* Certain are: the request never left (no DNS, no connection, no
//! TLS), and the answers listed in [`submit`]. Everything else is in doubt, 500 and
//! 502 included: payment services call a 500 indeterminate, and so does this program.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;

use super::{
    contract::{StatusOutcome, SubmitOutcome},
    wire::{ErrorBody, Status, StatusReply, SubmitReply},
};
use crate::core::{Failure, FailureClass, FailureCode, RequestId, is_disturbing, without_queries};

/// Longest request id that is believed; the documented ones have 43 characters.
const LONGEST_ID: usize = 256;

/// Most pictures of one request. The documented model gives one; each more costs a
/// download of up to the size limit, and the ledger keeps every address.
const MOST_PICTURES: usize = 64;

/// Most characters of the service's own words that are repeated to people.
const LONGEST_QUOTE: usize = 200;

/// What happened to one request on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// It never left this machine.
    NotSent(String),
    /// It left, or may have left, and no whole answer came back.
    NoAnswer(String),
    /// An answer came back.
    Answer(Answer),
}

/// An HTTP answer with its whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The pause asked for by `Retry-After`, already clamped.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
    /// The key that was sent, so that it is hidden where the service repeats it.
    pub key: Option<HeaderValue>,
}

/// Returns what the exchange of a submit means.
#[must_use]
pub fn submit(exchange: &Exchange) -> SubmitOutcome {
    match exchange {
        Exchange::NotSent(why) => SubmitOutcome::NotSent(Failure::new(
            FailureClass::Transient,
            FailureCode::NotSent,
            why.clone(),
        )),
        Exchange::NoAnswer(why) => SubmitOutcome::InDoubt(in_doubt(why.clone())),
        Exchange::Answer(answer) => submit_answer(answer),
    }
}

fn submit_answer(answer: &Answer) -> SubmitOutcome {
    use FailureCode as Code;
    let refused = |class, code| {
        Failure::new(class, code, words(answer, "refused the request")).with_status(answer.status)
    };
    match answer.status {
        200..=299 => submit_success(answer),
        400 if names_a_missing_model(answer) => {
            SubmitOutcome::Account(refused(FailureClass::Account, Code::ModelUnavailable))
        }
        400 | 413 | 415 | 422 => {
            SubmitOutcome::Rejected(refused(FailureClass::Permanent, Code::Rejected))
        }
        401 | 403 => SubmitOutcome::Account(refused(FailureClass::Account, Code::KeyRefused)),
        402 => SubmitOutcome::Account(refused(FailureClass::Account, Code::InsufficientBalance)),
        // A redirect or a missing route is about the service's address, not about one
        // picture: the next item would meet the same.
        300..=399 | 404 | 405 => SubmitOutcome::Account(
            Failure::new(
                FailureClass::Account,
                Code::ModelUnavailable,
                format!("the service has no such endpoint: {}", words(answer, "no details")),
            )
            .with_status(answer.status),
        ),
        429 => SubmitOutcome::Throttled {
            failure: refused(FailureClass::Throttled, Code::Throttled),
            retry_after: answer.retry_after,
        },
        503 => SubmitOutcome::Unavailable {
            failure: refused(FailureClass::Transient, Code::Throttled),
            retry_after: answer.retry_after,
        },
        status => SubmitOutcome::InDoubt(
            in_doubt(words(answer, "gave an answer that does not say whether it was accepted"))
                .with_status(status),
        ),
    }
}

fn submit_success(answer: &Answer) -> SubmitOutcome {
    let doubt = |why: &str| SubmitOutcome::InDoubt(in_doubt(why).with_status(answer.status));
    let Some(reply) = object::<SubmitReply>(&answer.body) else {
        return doubt("the service's answer cannot be read");
    };
    if let Some(id) = reply.request_id.filter(|id| !id.trim().is_empty()) {
        let Some(request_id) = usable_name(id) else {
            return doubt("the service named the request in a way that cannot be used");
        };
        return SubmitOutcome::Accepted { request_id, polling_url: reply.polling_url };
    }
    match reply.status.as_deref().and_then(Status::parse) {
        // Seen in the wild: 200 with `{"status":"failed","error":"URL must be …"}`.
        Some(Status::Failed | Status::Error) => SubmitOutcome::Rejected(
            Failure::new(
                FailureClass::Permanent,
                FailureCode::Rejected,
                reply.error.map_or_else(|| "no reason given".to_owned(), |why| quote(answer, &why)),
            )
            .with_status(answer.status),
        ),
        _ => doubt("the service accepted the request without naming it"),
    }
}

/// Reads a body that is a JSON object. An array would be read as the fields in their
/// order, and its first element be taken for the name of a request. A byte order mark in
/// front, which some servers write, is no reason to lose a paid request (RFC 8259,
/// section 8.1).
fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_object = body.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(body).ok()).flatten()
}

/// Returns the name of a request if it can be stored and asked for.
pub(super) fn usable_name(id: String) -> Option<RequestId> {
    // In a path, dots alone would name a folder instead of a request.
    let only_dots = id.chars().all(|c| c == '.');
    let usable = id.len() <= LONGEST_ID && !only_dots && !id.chars().any(is_disturbing);
    usable.then_some(RequestId(id))
}

fn in_doubt(why: impl Into<String>) -> Failure {
    Failure::new(FailureClass::InDoubt, FailureCode::InDoubt, why)
}

fn names_a_missing_model(answer: &Answer) -> bool {
    let Some(body) = object::<ErrorBody>(&answer.body) else { return false };
    let message = body.message.to_ascii_lowercase();
    body.error.eq_ignore_ascii_case("model not found")
        || message.contains("not found or is disabled")
}

/// Returns what the exchange of a status request means.
#[must_use]
pub fn status(exchange: &Exchange, request_id: &RequestId) -> StatusOutcome {
    match exchange {
        Exchange::NotSent(why) | Exchange::NoAnswer(why) => {
            StatusOutcome::Unavailable(unavailable(why.clone()))
        }
        Exchange::Answer(answer) => status_answer(answer, request_id),
    }
}

fn status_answer(answer: &Answer, request_id: &RequestId) -> StatusOutcome {
    match answer.status {
        200..=299 => status_success(answer, request_id),
        401 | 403 => StatusOutcome::Account(
            Failure::new(
                FailureClass::Account,
                FailureCode::KeyRefused,
                words(answer, "refused the key"),
            )
            .with_status(answer.status),
        ),
        404 => StatusOutcome::Unknown(
            Failure::new(
                FailureClass::Permanent,
                FailureCode::UnknownRequest,
                format!("the service does not know request `{request_id}`"),
            )
            .with_status(404),
        ),
        status @ (429 | 503) => StatusOutcome::Throttled {
            failure: Failure::new(
                if status == 429 { FailureClass::Throttled } else { FailureClass::Transient },
                FailureCode::Throttled,
                words(answer, "asked for a pause"),
            )
            .with_status(answer.status),
            retry_after: answer.retry_after,
        },
        // The service answers and will not say more about this one: as good as unknown.
        // A timeout (408) says nothing about the request.
        status @ (400..=407 | 409..=499) => StatusOutcome::Unknown(
            Failure::new(
                FailureClass::Permanent,
                FailureCode::UnknownRequest,
                words(answer, "gave no status"),
            )
            .with_status(status),
        ),
        status => StatusOutcome::Unavailable(
            unavailable(words(answer, "gave no status")).with_status(status),
        ),
    }
}

fn status_success(answer: &Answer, request_id: &RequestId) -> StatusOutcome {
    let unreadable =
        |why: &str| StatusOutcome::Unavailable(unavailable(why).with_status(answer.status));
    let Some(reply) = object::<StatusReply>(&answer.body) else {
        return unreadable("the service's answer cannot be read");
    };
    if !reply.request_id.is_empty() && reply.request_id != request_id.0 {
        return unreadable("the service answered about another request");
    }
    let because = |code, fallback: &str| {
        let message =
            reply.error.as_deref().map_or_else(|| fallback.to_owned(), |said| quote(answer, said));
        Failure::new(FailureClass::Permanent, code, message).with_status(answer.status)
    };
    match Status::parse(&reply.status) {
        Some(Status::Completed) => {
            let urls = reply.output.map(|output| output.media_url).unwrap_or_default();
            let media: Vec<_> = urls.into_iter().filter(|url| !url.trim().is_empty()).collect();
            if media.is_empty() {
                return StatusOutcome::NoMedia(
                    Failure::new(
                        FailureClass::Transient,
                        FailureCode::NoMedia,
                        "the service says COMPLETED and names no picture",
                    )
                    .with_status(answer.status),
                );
            }
            if media.len() > MOST_PICTURES {
                return StatusOutcome::Failed(too_many(media.len()).with_status(answer.status));
            }
            let took = took(reply.created_at.as_deref(), reply.completed_at.as_deref());
            StatusOutcome::Completed { media, took }
        }
        Some(Status::Failed) => {
            StatusOutcome::Failed(because(FailureCode::ServiceFailed, "no reason given"))
        }
        Some(Status::Error) => {
            StatusOutcome::Error(because(FailureCode::ServiceError, "no reason given"))
        }
        Some(Status::Queued | Status::Processing) | None => {
            StatusOutcome::Waiting { word: quote(answer, &reply.status) }
        }
    }
}

/// Returns the time between two moments of the service's clock; nothing when one of them
/// is missing or cannot be read, or when they are in the wrong order.
fn took(created: Option<&str>, completed: Option<&str>) -> Option<Duration> {
    let moment = |text: Option<&str>| text?.parse::<Timestamp>().ok();
    moment(completed)?.duration_since(moment(created)?).try_into().ok()
}

fn too_many(pictures: usize) -> Failure {
    Failure::new(
        FailureClass::Permanent,
        FailureCode::MediaInvalid,
        format!("the service names {pictures} pictures for one; at most {MOST_PICTURES} are taken"),
    )
}

fn unavailable(why: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Transient, FailureCode::StatusUnavailable, why)
}

/// Returns the service's own words about a failure, cut and made harmless.
fn words(answer: &Answer, fallback: &str) -> String {
    let said = object::<ErrorBody>(&answer.body).and_then(|body| {
        [body.message, body.error].into_iter().find(|text| !text.trim().is_empty())
    });
    match said {
        Some(text) => quote(answer, &text),
        None => format!("the service {fallback} (HTTP {})", answer.status),
    }
}

/// Cuts a text from outside and removes what is secret, and what could disturb a terminal
/// or a CSV reader. The cut comes last: half a secret would not be recognised.
fn quote(answer: &Answer, text: &str) -> String {
    let key = answer.key.as_ref().and_then(|key| key.to_str().ok()).filter(|key| !key.is_empty());
    let text = key.map_or_else(|| text.to_owned(), |key| text.replace(key, "[key]"));
    let text = without_queries(&text);
    let plain = |c: char| if is_disturbing(c) { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    let mut short: String = text.trim().chars().take(LONGEST_QUOTE).collect();
    if text.trim().chars().nth(LONGEST_QUOTE).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(status: u16, body: &str) -> Exchange {
        Exchange::Answer(Answer {
            status,
            retry_after: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
            key: Some(HeaderValue::from_static("s3cret-key")),
        })
    }

    /// A word for the outcome and its code, to compare whole tables at once.
    fn submit_word(exchange: &Exchange) -> String {
        match submit(exchange) {
            SubmitOutcome::Accepted { request_id, .. } => format!("accepted {request_id}"),
            SubmitOutcome::NotSent(f) => format!("not sent {}", f.code),
            SubmitOutcome::Unavailable { failure, .. } => format!("unavailable {}", failure.code),
            SubmitOutcome::Throttled { failure, .. } => format!("throttled {}", failure.code),
            SubmitOutcome::Rejected(f) => format!("rejected {}", f.code),
            SubmitOutcome::Account(f) => format!("account {}", f.code),
            SubmitOutcome::InDoubt(f) => format!("in doubt {}", f.code),
        }
    }

    #[test]
    fn submit_table() {
        let model =
            r#"{"error":"Model not found","message":"Model 'gfpgan' not found or is disabled"}"#;
        let failed = r#"{"status":"failed","error":"URL must be a valid HTTP or HTTPS URL"}"#;
        for (exchange, expected) in [
            (Exchange::NotSent("dns".into()), "not sent not-sent"),
            (Exchange::NoAnswer("timeout".into()), "in doubt in-doubt"),
            (answer(202, r#"{"request_id":"r1","status":"QUEUED"}"#), "accepted r1"),
            (answer(200, r#"{"request_id":"r1","status":"odd"}"#), "accepted r1"),
            (answer(200, failed), "rejected rejected"),
            (answer(202, r#"{"status":"QUEUED"}"#), "in doubt in-doubt"),
            (answer(202, r#"{"request_id":" "}"#), "in doubt in-doubt"),
            (answer(202, r#"{"request_id":"a\nb"}"#), "in doubt in-doubt"),
            (answer(202, r#"{"request_id":".."}"#), "in doubt in-doubt"),
            (answer(202, "{\"request_id\":\"a\u{202e}b\"}"), "in doubt in-doubt"),
            (answer(202, r#"{"request_id":17,"error":{}}"#), "accepted 17"),
            (answer(202, "<html>"), "in doubt in-doubt"),
            (answer(202, r#"["r1","QUEUED"]"#), "in doubt in-doubt"),
            (answer(200, r#"[null,"failed"]"#), "in doubt in-doubt"),
            (answer(202, ""), "in doubt in-doubt"),
            (answer(204, ""), "in doubt in-doubt"),
            (answer(302, ""), "account model-unavailable"),
            (answer(400, r#"{"error":"Bad","message":"no"}"#), "rejected rejected"),
            (answer(400, model), "account model-unavailable"),
            (
                answer(400, r#"{"error":"Model not found","message":{}}"#),
                "account model-unavailable",
            ),
            (answer(401, ""), "account key-refused"),
            (answer(402, ""), "account insufficient-balance"),
            (answer(403, ""), "account key-refused"),
            (answer(404, ""), "account model-unavailable"),
            (answer(405, ""), "account model-unavailable"),
            (answer(408, ""), "in doubt in-doubt"),
            (answer(413, ""), "rejected rejected"),
            (answer(415, ""), "rejected rejected"),
            (answer(418, ""), "in doubt in-doubt"),
            (answer(422, ""), "rejected rejected"),
            (answer(429, ""), "throttled throttled"),
            (answer(500, ""), "in doubt in-doubt"),
            (answer(502, ""), "in doubt in-doubt"),
            (answer(503, ""), "unavailable throttled"),
            (answer(504, ""), "in doubt in-doubt"),
            (answer(599, ""), "in doubt in-doubt"),
        ] {
            assert_eq!(submit_word(&exchange), expected, "{exchange:?}");
        }
    }

    fn status_word(exchange: &Exchange) -> String {
        match status(exchange, &RequestId("r1".into())) {
            StatusOutcome::Waiting { word } => format!("waiting {word}"),
            StatusOutcome::Completed { media, .. } => format!("completed {}", media.join(" ")),
            StatusOutcome::NoMedia(f) => format!("no media {}", f.code),
            StatusOutcome::Failed(f) => format!("failed {}", f.message),
            StatusOutcome::Error(f) => format!("error {}", f.message),
            StatusOutcome::Unknown(f) => format!("unknown {}", f.code),
            StatusOutcome::Throttled { failure, .. } => format!("throttled {}", failure.code),
            StatusOutcome::Account(f) => format!("account {}", f.code),
            StatusOutcome::Unavailable(f) => format!("unavailable {}", f.code),
        }
    }

    #[test]
    fn status_table() {
        for (exchange, expected) in [
            (Exchange::NotSent("dns".into()), "unavailable status-unavailable"),
            (Exchange::NoAnswer("cut".into()), "unavailable status-unavailable"),
            (answer(200, r#"{"request_id":"r1","status":"QUEUED"}"#), "waiting QUEUED"),
            (answer(200, r#"{"status":"processing"}"#), "waiting processing"),
            (answer(200, r#"{"status":"STARTING"}"#), "waiting STARTING"),
            (answer(200, r#"{"status":"completed","output":{"media_url":"u"}}"#), "completed u"),
            (
                answer(200, r#"{"status":"COMPLETED","output":{"media_url":["a","","b"]}}"#),
                "completed a b",
            ),
            (answer(200, r#"{"status":"COMPLETED","output":null}"#), "no media no-media"),
            (
                answer(200, r#"{"status":"COMPLETED","output":{"media_url":[]}}"#),
                "no media no-media",
            ),
            (answer(200, r#"{"status":"FAILED","error":"no face"}"#), "failed no face"),
            (answer(200, r#"{"status":"ERROR","error":null}"#), "error no reason given"),
            (
                answer(200, r#"{"request_id":"r2","status":"FAILED"}"#),
                "unavailable status-unavailable",
            ),
            (answer(200, "<html>"), "unavailable status-unavailable"),
            (answer(401, ""), "account key-refused"),
            (answer(403, ""), "account key-refused"),
            (answer(404, ""), "unknown unknown-request"),
            (answer(429, ""), "throttled throttled"),
            (answer(503, ""), "throttled throttled"),
            (answer(400, ""), "unknown unknown-request"),
            (answer(402, ""), "unknown unknown-request"),
            (answer(408, ""), "unavailable status-unavailable"),
            (answer(410, ""), "unknown unknown-request"),
            (answer(422, r#"{"message":"malformed id"}"#), "unknown unknown-request"),
            (answer(500, ""), "unavailable status-unavailable"),
            (answer(302, ""), "unavailable status-unavailable"),
        ] {
            assert_eq!(status_word(&exchange), expected, "{exchange:?}");
        }
    }

    #[test]
    fn strange_json_is_read_or_refused_whole() {
        let deep = format!(r#"{{"request_id":"r1","x":{}1}}"#, "[".repeat(100_000));
        let flat = format!(r#"{{"request_id":"r1","x":[{}0]}}"#, "0,".repeat(100_000));
        for (body, submitted, asked) in [
            (
                &b"\xef\xbb\xbf{\"request_id\":\"r1\",\"status\":\"QUEUED\"}"[..],
                "accepted r1",
                "waiting QUEUED",
            ),
            (
                b"{\"request_id\":\"r1\",\"status\":\"\xff\"}",
                "in doubt in-doubt",
                "unavailable status-unavailable",
            ),
            (
                b"{\"request_id\":\"r1\",\"request_id\":\"r2\"}",
                "in doubt in-doubt",
                "unavailable status-unavailable",
            ),
            (b"{\"request_id\":1e999}", "in doubt in-doubt", "unavailable status-unavailable"),
            (b"{\"request_id\":\"r1\"}}", "in doubt in-doubt", "unavailable status-unavailable"),
            (b"[\"r1\"]", "in doubt in-doubt", "unavailable status-unavailable"),
            (b"\"r1\"", "in doubt in-doubt", "unavailable status-unavailable"),
            (deep.as_bytes(), "in doubt in-doubt", "unavailable status-unavailable"),
            (flat.as_bytes(), "accepted r1", "waiting "),
        ] {
            let Exchange::Answer(plain) = answer(202, "") else { panic!("an answer") };
            let exchange = Exchange::Answer(Answer { body: Bytes::copy_from_slice(body), ..plain });
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            assert_eq!(submit_word(&exchange), submitted, "{shown}");
            assert_eq!(status_word(&exchange), asked, "{shown}");
        }
    }

    #[test]
    fn a_reply_that_names_too_many_pictures_is_a_failure_that_may_be_asked_again() {
        let named = |count: usize| {
            let urls = vec![r#""https://h.org/a.png""#; count].join(",");
            answer(200, &format!(r#"{{"status":"COMPLETED","output":{{"media_url":[{urls}]}}}}"#))
        };
        let id = RequestId("r1".into());
        let StatusOutcome::Completed { media, .. } = status(&named(MOST_PICTURES), &id) else {
            panic!("refused what is allowed")
        };
        assert_eq!(media.len(), MOST_PICTURES);
        let StatusOutcome::Failed(failure) = status(&named(9_000), &id) else {
            panic!("believed 9000 pictures")
        };
        assert_eq!(
            failure.to_string(),
            "media-invalid: the service names 9000 pictures for one; at most 64 are taken"
        );
        assert!(failure.code.leaves_a_request());
    }

    #[test]
    fn words_of_the_service_are_cut_and_harmless() {
        let long = format!(r#"{{"message":"\u001b[31m\u202e{}"}}"#, "x".repeat(5_000));
        let SubmitOutcome::Rejected(failure) = submit(&answer(400, &long)) else {
            panic!("a 400 is a rejection")
        };
        assert!(failure.message.chars().count() <= LONGEST_QUOTE + 1);
        assert!(!failure.message.chars().any(is_disturbing));
        assert_eq!(failure.http_status, Some(400));
    }

    #[test]
    fn words_of_the_service_hold_no_secret() {
        let said = r#"{"message":"Bad key s3cret-key for https://x.org/a.png?sig=S1: 403",
                       "status":"FAILED","error":"s3cret\u002dkey https://x.org/?sig=S1"}"#;
        let SubmitOutcome::Rejected(refused) = submit(&answer(400, said)) else { panic!("400") };
        assert_eq!(refused.message, "Bad key [key] for https://x.org/a.png: 403");
        let StatusOutcome::Failed(failed) = status(&answer(200, said), &RequestId("r1".into()))
        else {
            panic!("FAILED")
        };
        assert_eq!(failed.message, "[key] https://x.org/");
        // Not even in part, where the cut goes through them.
        for padding in LONGEST_QUOTE - 20..LONGEST_QUOTE {
            let long = format!(r#"{{"message":"{} s3cret-key"}}"#, "x".repeat(padding));
            let SubmitOutcome::Rejected(cut) = submit(&answer(400, &long)) else { panic!("400") };
            assert!(!cut.message.contains("s3cr"), "{}", cut.message);
        }
    }

    proptest! {
        /// Only an answer that names the request is an acceptance, and only a listed
        /// status is certainly none; anything else stays in doubt.
        #[test]
        fn nothing_unlisted_is_called_free(status in 100u16..600, body: String) {
            let listed = matches!(status, 300..=405 | 413 | 415 | 422 | 429 | 503);
            let free = !matches!(
                submit(&answer(status, &body)),
                SubmitOutcome::InDoubt(_) | SubmitOutcome::Accepted { .. }
            );
            prop_assert!(!free || listed || (200..300).contains(&status));
        }
    }
}
