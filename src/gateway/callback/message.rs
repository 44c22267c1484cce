//! What a callback says, and how a receiver knows that it is ours.
//!
//! The body is the status reply. Accounts with a webhook secret get it signed by the
//! Standard Webhooks scheme, for which receivers in every language have a library.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

/// Returns the headers that sign `body`; none without a secret.
///
/// `id` names the message and is the same in every attempt; `now` is the attempt's time.
///
/// # Errors
///
/// When the secret is none; key files are checked for that when they are read.
pub(super) fn signature(
    secret: Option<&SecretString>,
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<HeaderMap, Unsigned> {
    let Some(secret) = secret else { return Ok(HeaderMap::new()) };
    let webhook = Webhook::new(secret.expose_secret()).map_err(|_| Unsigned)?;
    let signature = webhook.sign(id, now.as_second(), body).map_err(|_| Unsigned)?;
    let headers = [
        (HEADER_WEBHOOK_ID, id.to_owned()),
        (HEADER_WEBHOOK_TIMESTAMP, now.as_second().to_string()),
        (HEADER_WEBHOOK_SIGNATURE, signature),
    ];
    let header = |(name, value): (&'static str, String)| {
        let value = HeaderValue::try_from(value).map_err(|_| Unsigned)?;
        Ok((HeaderName::from_static(name), value))
    };
    headers.into_iter().map(header).collect()
}

/// A callback could not be signed, so it must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account's webhook secret cannot be used")]
pub(super) struct Unsigned;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_example_of_the_specification_comes_out() {
        // From the Standard Webhooks specification and its libraries' own tests.
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let secret = SecretString::from(SECRET);
        let headers = signature(Some(&secret), id, now, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers["webhook-signature"], expected);
    }

    #[test]
    fn a_receiver_s_library_accepts_it_and_nothing_that_was_changed() {
        let secret = SecretString::from(SECRET);
        let headers = signature(Some(&secret), "r1", Timestamp::now(), b"{}").unwrap();
        let receiver = Webhook::new(SECRET).unwrap();
        receiver.verify(b"{}", &headers).unwrap();
        assert!(receiver.verify(b"{ }", &headers).is_err());
        let other = Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert!(other.verify(b"{}", &headers).is_err());
    }

    #[test]
    fn without_a_secret_nothing_is_signed_and_a_bad_one_stops_it() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(signature(None, "r1", now, b"{}"), Ok(HeaderMap::new()));
        let bad = SecretString::from("whsec_!");
        assert_eq!(signature(Some(&bad), "r1", now, b"{}"), Err(Unsigned));
    }
}
