//! The service's JSON, for both sides: the client reads what the gateway writes.
//!
//! Reading is lenient, as the service has been seen to vary: unknown fields are
//! ignored, status words may be in any case, `media_url` may be one string. A field of
//! an unexpected type counts as absent and never makes the rest unreadable: an
//! acceptance that cannot be read is a request paid for and lost.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Header that carries the API key.
pub const KEY_HEADER: &str = "Ocp-Apim-Subscription-Key";

/// Header with which a client asks for a callback instead of polling.
pub const WEBHOOK_HEADER: &str = "X-Webhook-URL";

/// Path of the submit endpoint below the service root.
pub const SUBMIT_PATH: &str = "/gfpgan/v1/gfpgan/generate";

/// Path of the status endpoint below the service root; the request id follows.
pub const STATUS_PATH: &str = "/v2/requests/status/";

/// Body of a submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitBody {
    /// Public URL of the picture.
    pub img: String,
    /// Upscale factor, 1 to 4.
    #[serde(default = "default_scale")]
    pub scale: u8,
    /// Model version.
    #[serde(default = "default_version")]
    pub version: String,
}

fn default_scale() -> u8 {
    2
}

fn default_version() -> String {
    "v1.4".to_owned()
}

/// Answer to a submit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitReply {
    /// The service's name for the request.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// A status word.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Where to ask for the status.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub polling_url: Option<String>,
    /// Why the request was rejected, in a reply that is otherwise a success.
    #[serde(default, deserialize_with = "text_or_json", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answer to a status request, and body of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// The service's name for the request.
    #[serde(default, deserialize_with = "text_or_empty")]
    pub request_id: String,
    /// A status word; see [`Status::parse`].
    #[serde(default, deserialize_with = "text_or_empty")]
    pub status: String,
    /// The model that processed the request.
    #[serde(default, deserialize_with = "text")]
    pub model_id: Option<String>,
    /// Why it failed, if it did.
    #[serde(default, deserialize_with = "text_or_json")]
    pub error: Option<String>,
    /// The result, once there is one.
    #[serde(default, deserialize_with = "output")]
    pub output: Option<Output>,
    /// RFC 3339.
    #[serde(default, deserialize_with = "text")]
    pub created_at: Option<String>,
    /// RFC 3339.
    #[serde(default, deserialize_with = "text")]
    pub updated_at: Option<String>,
    /// RFC 3339.
    #[serde(default, deserialize_with = "text")]
    pub completed_at: Option<String>,
    /// What a self-hosted gateway's engine did: its models, the noise it found, its steps
    /// and seconds. The hosted service does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
}

/// The result of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Addresses of the pictures.
    #[serde(default, deserialize_with = "one_or_many")]
    pub media_url: Vec<String>,
    /// MIME type of the pictures.
    #[serde(default, deserialize_with = "text")]
    pub media_type: Option<String>,
}

/// Body of an error answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Short name, such as `Insufficient Balance`.
    #[serde(default, deserialize_with = "text_or_empty")]
    pub error: String,
    /// A sentence for people.
    #[serde(default, deserialize_with = "text_or_empty")]
    pub message: String,
}

/// The documented status words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Accepted, waiting.
    Queued,
    /// Being worked on.
    Processing,
    /// Done; `output` has the result.
    Completed,
    /// Failed; `error` says why. Charged, as far as anyone knows.
    Failed,
    /// System error; not charged.
    Error,
}

impl Status {
    /// Reads a status word in any case; `None` for a word that is not documented.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Queued, Self::Processing, Self::Completed, Self::Failed, Self::Error]
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(word.trim()))
    }

    /// Returns the word as the service writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Error => "ERROR",
        }
    }
}

/// A string, or a number as its digits; anything else is absent.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn text_or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(text(from)?.unwrap_or_default())
}

/// For explanations: anything but a string is shown as it is.
fn text_or_json<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

fn output<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Output>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let string = |value| match value {
        Value::String(url) => Some(url),
        _ => None,
    };
    Ok(match Value::deserialize(from)? {
        Value::Array(urls) => urls.into_iter().filter_map(string).collect(),
        one => string(one).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_url_may_be_a_list_a_string_or_nothing() {
        for (json, expected) in [
            (r#"{"media_url":["a","b"]}"#, vec!["a", "b"]),
            (r#"{"media_url":"a"}"#, vec!["a"]),
            (r#"{"media_url":[]}"#, vec![]),
            (r#"{"media_url":null}"#, vec![]),
            (r#"{"media_url":["a",null,{"url":"b"},"c"]}"#, vec!["a", "c"]),
            (r#"{"media_url":{"url":"a"}}"#, vec![]),
            (r#"{"later":1}"#, vec![]),
        ] {
            let output: Output = serde_json::from_str(json).unwrap();
            assert_eq!(output.media_url, expected, "{json}");
        }
    }

    #[test]
    fn the_page_s_example_reads() {
        let reply: StatusReply = serde_json::from_str(
            r#"{"request_id":"gfpgan_019d","status":"COMPLETED","model_id":"gfpgan","error":null,
                "output":{"media_url":["https://pub.r2.dev/v1/gfpgan_019d/output.png"],"media_type":"image/png"},
                "created_at":"2026-03-31T10:00:00.000Z","updated_at":"2026-03-31T10:00:15.000Z",
                "completed_at":"2026-03-31T10:00:15.000Z","surprise":[1]}"#,
        )
        .unwrap();
        assert_eq!(Status::parse(&reply.status), Some(Status::Completed));
        assert_eq!(reply.output.unwrap().media_url.len(), 1);
    }

    #[test]
    fn a_field_of_another_type_does_not_hide_the_rest() {
        let accepted: SubmitReply = serde_json::from_str(
            r#"{"request_id":"r1","status":7,"polling_url":{},"error":{"code":1}}"#,
        )
        .unwrap();
        assert_eq!(accepted.request_id.as_deref(), Some("r1"));
        assert_eq!(accepted.polling_url, None);
        assert_eq!(accepted.error.as_deref(), Some(r#"{"code":1}"#));

        let failed: StatusReply = serde_json::from_str(
            r#"{"request_id":null,"status":"FAILED","model_id":[],"error":{"reason":"no face"},
                "output":"none","created_at":1774951200,"completed_at":{}}"#,
        )
        .unwrap();
        assert_eq!(Status::parse(&failed.status), Some(Status::Failed));
        assert_eq!(failed.error.as_deref(), Some(r#"{"reason":"no face"}"#));
        assert_eq!(failed.output, None);

        let refused: ErrorBody =
            serde_json::from_str(r#"{"error":"Model not found","message":null}"#).unwrap();
        assert_eq!(refused.error, "Model not found");
    }

    #[test]
    fn words_are_read_in_any_case_and_unknown_ones_are_said_to_be() {
        assert_eq!(Status::parse("queued"), Some(Status::Queued));
        assert_eq!(Status::parse(" Completed "), Some(Status::Completed));
        assert_eq!(Status::parse("STARTING"), None);
    }
}
