//! Reads the `Retry-After` header in both of its forms (RFC 9110, section 10.2.3).

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Returns the pause that a server asks for; `None` when it asks for none that can be read.
///
/// A date is compared with the server's own `Date`, so that neither clock has to be
/// right. A date that has passed is a pause of zero.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let pause = date(headers, RETRY_AFTER)?.duration_since(date(headers, DATE)?);
    Some(Duration::try_from(pause).unwrap_or(Duration::ZERO))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(rfc2822::parse(text.trim()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers)
    }

    #[test]
    fn both_forms_are_read() {
        let noon = Some("Sun, 06 Nov 1994 12:00:00 GMT");
        for (value, date, expected) in [
            ("0", None, Some(0)),
            (" 120 ", None, Some(120)),
            ("Sun, 06 Nov 1994 12:01:30 GMT", noon, Some(90)),
            ("Sun, 06 Nov 1994 11:00:00 GMT", noon, Some(0)),
            ("Sun, 06 Nov 1994 12:01:30 GMT", None, None),
            ("soon", noon, None),
            ("-5", noon, None),
            ("", noon, None),
            ("99999999999999999999999", noon, None),
        ] {
            assert_eq!(
                pause(value, date),
                expected.map(Duration::from_secs),
                "{value}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
