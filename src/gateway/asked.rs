//! Reads what a submit asks for, and refuses what is not documented.
//!
//! Stricter than JSON readers usually are in one point: a field that is there twice is
//! refused, because what it costs money to do must not depend on which of two values a
//! reader takes. Unknown fields are ignored, as the hosted service adds some over time.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;
use crate::{
    api::wire::{SubmitBody, WEBHOOK_HEADER},
    engine::MAX_SCALE,
    fetch::{GetErrorKind, GuardedClient},
};

/// Longest `img` in bytes; what common servers and clients take.
const MAX_URL: usize = 8 << 10;

/// Longest address of a callback in bytes.
const MAX_WEBHOOK_URL: usize = 2 << 10;

/// Longest `version` in characters. The page knows one, `v1.4`; whatever word a client
/// sends is taken, and the engine restores the same way.
const MAX_VERSION: usize = 64;

/// What a body that does not say gets, as the page has it.
const DEFAULT_SCALE: u8 = 2;
const DEFAULT_VERSION: &str = "v1.4";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The documented fields, defaults filled in.
    pub(super) body: SubmitBody,
    /// Where to call back.
    pub(super) callback_url: Option<String>,
}

/// The fields that are documented; whether they hold what they should comes later.
#[derive(Deserialize)]
struct Fields {
    img: Option<Value>,
    scale: Option<Value>,
    version: Option<Value>,
}

impl Asked {
    /// Reads headers and body. `client` says which addresses may be opened, as far as
    /// that is known without asking for a name.
    ///
    /// # Errors
    ///
    /// 400 with the field that is wrong.
    pub(super) fn read(
        headers: &HeaderMap,
        body: &[u8],
        client: &GuardedClient,
    ) -> Result<Self, Refusal> {
        let fields = fields(body)?;
        let body = SubmitBody {
            img: img(fields.img, client)?,
            scale: scale(fields.scale)?,
            version: version(fields.version)?,
        };
        Ok(Self { body, callback_url: callback_url(headers, client)? })
    }
}

/// Refuses a body that does not say that it is JSON, or that is compressed: 64 KiB need no
/// compression, and what it unpacks to would need a limit of its own.
///
/// # Errors
///
/// 415.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    let is_json = essence.trim().eq_ignore_ascii_case("application/json");
    let coding = headers.get(CONTENT_ENCODING).map_or(&b"identity"[..], |value| value.as_bytes());
    if is_json && coding.eq_ignore_ascii_case(b"identity") {
        Ok(())
    } else {
        Err(Refusal::unsupported_media_type())
    }
}

fn fields(body: &[u8]) -> Result<Fields, Refusal> {
    // A struct is read from an array, too.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let read = is_object.then(|| serde_json::from_slice(body));
    match read {
        Some(Ok(fields)) => Ok(fields),
        Some(Err(error)) if error.is_data() => {
            Err(Refusal::bad_request("The body must name 'img', 'scale' and 'version' only once."))
        }
        Some(Err(_)) | None => Err(Refusal::bad_request("The body must be a JSON object.")),
    }
}

fn img(img: Option<Value>, client: &GuardedClient) -> Result<String, Refusal> {
    match img {
        None | Some(Value::Null) => Err(Refusal::bad_request("'img' is required.")),
        Some(Value::String(img)) => {
            check_address("img", &img, MAX_URL, client)?;
            Ok(img)
        }
        Some(_) => Err(Refusal::bad_request("'img' must be a valid HTTP or HTTPS URL.")),
    }
}

fn scale(scale: Option<Value>) -> Result<u8, Refusal> {
    let Some(scale) = scale.filter(|scale| !scale.is_null()) else {
        return Ok(DEFAULT_SCALE);
    };
    // 2.0 is the integer 2 in JSON.
    let number = scale.as_f64();
    (1..=MAX_SCALE)
        .find(|allowed| number == Some(f64::from(*allowed)))
        .ok_or_else(|| Refusal::bad_request("'scale' must be an integer from 1 to 4."))
}

fn version(version: Option<Value>) -> Result<String, Refusal> {
    match version {
        None | Some(Value::Null) => Ok(DEFAULT_VERSION.to_owned()),
        Some(Value::String(version)) if is_version(&version) => Ok(version),
        Some(_) => {
            let message = "'version' must be a string such as \"v1.4\", of at most 64 characters.";
            Err(Refusal::bad_request(message))
        }
    }
}

fn is_version(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= MAX_VERSION
        && !text.contains(char::is_control)
}

fn callback_url(headers: &HeaderMap, client: &GuardedClient) -> Result<Option<String>, Refusal> {
    let mut given = headers.get_all(WEBHOOK_HEADER).iter();
    let Some(address) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(Refusal::bad_request("'X-Webhook-URL' must be there only once."));
    }
    let address = address.to_str().unwrap_or_default();
    check_address(WEBHOOK_HEADER, address, MAX_WEBHOOK_URL, client)?;
    Ok(Some(address.to_owned()))
}

fn check_address(
    name: &str,
    address: &str,
    longest: usize,
    client: &GuardedClient,
) -> Result<(), Refusal> {
    let why = if !is_web_address(address) {
        "must be a valid HTTP or HTTPS URL.".to_owned()
    } else if address.len() > longest {
        format!("must be a URL of at most {longest} bytes.")
    } else {
        match client.check_address(address) {
            Ok(()) => return Ok(()),
            Err(GetErrorKind::Blocked) => {
                "leads to a private or local address, and those are not opened.".to_owned()
            }
            Err(GetErrorKind::BadUrl(why)) => {
                format!("must be a valid HTTP or HTTPS URL: {why}.")
            }
            Err(_) => "must be a valid HTTP or HTTPS URL.".to_owned(),
        }
    };
    Err(Refusal::bad_request(format!("'{name}' {why}")))
}

/// What counts as a URL in a browser's address bar, such as `http:host`, is none here.
fn is_web_address(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins("http://") || begins("https://")
}

#[cfg(test)]
mod tests;
