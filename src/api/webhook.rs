//! Reads what the service calls back with.
//!
//! The body has the shape of a status reply. Its sender is not known, so nothing of it
//! is believed but the request's name, and that only as far as the status endpoint
//! confirms it. Called by the receiver ([`webhook`](crate::webhook)).

use serde_json::{Map, Value};

use super::classify::usable_name;
use crate::core::RequestId;

/// Most bytes of a callback that are read; real ones have less than one kilobyte.
pub const LONGEST_CALLBACK: usize = 64 << 10;

/// What a callback hints at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The service's name for the request, if it is one that can be used.
    pub request_id: Option<RequestId>,
}

/// Returns what the body of a callback hints at; `None` for a body that is no JSON
/// object, or longer than [`LONGEST_CALLBACK`].
///
/// Lenient, as the service has been seen to vary: whatever the other fields hold, the
/// name stays readable.
#[must_use]
pub fn parse(body: &[u8]) -> Option<Hint> {
    if body.len() > LONGEST_CALLBACK {
        return None;
    }
    let reply: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let named = match reply.get("request_id") {
        Some(Value::String(id)) if !id.trim().is_empty() => Some(id.clone()),
        // As a submit's answer is read.
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    Some(Hint { request_id: named.and_then(usable_name) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Option<Hint> {
        parse(body.as_bytes())
    }

    const NAMELESS: Option<Hint> = Some(Hint { request_id: None });

    #[test]
    fn the_name_is_found_whatever_stands_around_it() {
        for body in [
            r#"{"request_id":"r1","status":"COMPLETED","output":{"media_url":["https://x/a"]}}"#,
            r#"{"request_id":"r1","status":"completed","output":{"media_url":"https://x/a"}}"#,
            r#"{"request_id":"r1","status":7,"output":[],"error":{"code":1},"more":null}"#,
            r#"{"status":"odd","status":"twice","request_id":"r1"}"#,
        ] {
            let hint = Hint { request_id: Some(RequestId("r1".into())) };
            assert_eq!(read(body), Some(hint), "{body}");
        }
        let number = Hint { request_id: Some(RequestId("17".into())) };
        assert_eq!(read(r#"{"request_id":17}"#), Some(number));
    }

    #[test]
    fn names_that_cannot_be_used_are_none() {
        let long = "x".repeat(257);
        for id in ["", "  ", ".", "..", "a\\nb", "\\u0000", long.as_str()] {
            let body = format!(r#"{{"request_id":"{id}","status":"COMPLETED"}}"#);
            assert_eq!(read(&body), NAMELESS, "{id}");
        }
        assert_eq!(read(r#"{"request_id":["r1"]}"#), NAMELESS);
        assert_eq!(read("{}"), NAMELESS);
    }

    #[test]
    fn what_is_no_reply_is_nothing() {
        let long = format!(r#"{{"request_id":"r1","more":"{}"}}"#, "x".repeat(LONGEST_CALLBACK));
        for body in ["", "null", "7", "[1]", "{", r#"{"request_id":"r1""#, "\u{feff}{}", &long] {
            assert_eq!(read(body), None, "{}", &body[..body.len().min(40)]);
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body: Vec<u8>) {
            if let Some(Hint { request_id: Some(id) }) = parse(&body) {
                prop_assert!(!id.0.trim().is_empty() && id.0.len() <= 256);
            }
        }
    }
}
