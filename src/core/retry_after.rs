//! `Retry-After`, in both its forms (RFC 9110, section 10.2.3).

use std::time::Duration;

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use super::http_date;

/// The longest pause that is taken seriously; a service that asks for more is asked
/// again after this long.
pub const LONGEST: Duration = Duration::from_hours(1);

/// Reads a `Retry-After` value: seconds, or an HTTP date.
///
/// A date is compared with the server's own `Date` where there is one, so that a
/// difference between the clocks does not matter, and with `now` otherwise. The
/// result is at most [`LONGEST`]; a date in the past is zero; anything unreadable is
/// `None`.
#[must_use]
pub fn parse(value: &str, server_date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let date = http_date::read(value)?;
    let reference = server_date.and_then(http_date::read).unwrap_or(now);
    let pause = Duration::try_from(date.duration_since(reference)).unwrap_or(Duration::ZERO);
    Some(pause.min(LONGEST))
}

/// Returns the whole second in which a pause that begins now has ended for certain.
///
/// Submits that are refused together name the same end a few milliseconds apart; in whole
/// seconds it is one.
#[must_use]
pub fn end(pause: Duration, now: Timestamp) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    let end = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
    let whole = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    end.round(whole).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn both_forms_and_skewed_clocks() {
        let now = at("1994-11-06T08:49:30Z");
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let secs = |s| Some(Duration::from_secs(s));
        assert_eq!(parse("120", None, now), secs(120));
        assert_eq!(parse(date, None, now), secs(7));
        assert_eq!(
            parse(date, Some("Sun, 06 Nov 1994 08:49:36 GMT"), at("2001-01-01T00:00:00Z")),
            secs(1)
        );
        assert_eq!(parse(date, None, at("2001-01-01T00:00:00Z")), secs(0));
    }

    #[test]
    fn hostile_values_are_cut_or_ignored() {
        let now = at("1994-11-06T08:49:30Z");
        assert_eq!(parse("99999999999999999999999", None, now), Some(LONGEST));
        assert_eq!(parse("Thu, 06 Nov 9000 08:49:37 GMT", None, now), Some(LONGEST));
        for nonsense in ["", "-1", "1.5", "soon", "GMT", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse(nonsense, None, now), None, "{nonsense}");
        }
    }

    #[test]
    fn a_pause_ends_with_a_whole_second_and_never_early() {
        let now = at("1994-11-06T08:49:30.001Z");
        let end_of = |pause| end(pause, now);
        assert_eq!(end_of(Duration::from_secs(7)), at("1994-11-06T08:49:38Z"));
        assert_eq!(end_of(Duration::from_millis(6_999)), at("1994-11-06T08:49:37Z"));
        assert_eq!(end_of(Duration::MAX), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn never_panics_and_never_exceeds_the_longest(value: String, date: Option<String>) {
            if let Some(pause) = parse(&value, date.as_deref(), Timestamp::UNIX_EPOCH) {
                prop_assert!(pause <= LONGEST);
            }
        }
    }
}
