//! Whether and when a callback is tried again.

use std::time::Duration;

use crate::fetch::{GetErrorKind, Posted};

/// Pauses between the attempts, of which there is one more: a restart of the receiver is
/// bridged by the first ones, a night by the last. The Standard Webhooks specification
/// ("Deliverability and reliability") recommends growing pauses over about a day.
pub(in crate::gateway) const PAUSES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(12),
];

/// Part of a pause by which it can be longer, so that callbacks that failed together do
/// not all come back together.
const SPREAD: f64 = 0.2;

/// The status that asks for no more callbacks (Standard Webhooks, same section).
const GONE: u16 = 410;

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It was received.
    Delivered,
    /// Try again.
    Again {
        /// How much later.
        pause: Duration,
        /// Why it was not received; reads on after the receiver's name.
        why: String,
    },
    /// Never again, and why; reads on after the receiver's name.
    GiveUp(String),
}

/// Judges an attempt. `tries` counts it and those before it; there is one more than there
/// are `pauses`. `jitter` is in `0.0..1.0`.
pub(super) fn judge(
    outcome: &Result<Posted, GetErrorKind>,
    tries: u32,
    pauses: &[Duration],
    jitter: f64,
) -> Verdict {
    let (why, asked) = match outcome {
        Ok(Posted { status: 200..=299, .. }) => return Verdict::Delivered,
        Ok(Posted { status: GONE, .. }) => {
            return Verdict::GiveUp("wants no more callbacks".to_owned());
        }
        // No time makes these better.
        Err(error @ (GetErrorKind::Blocked | GetErrorKind::BadUrl(_))) => {
            return Verdict::GiveUp(error.to_string());
        }
        Ok(posted) => (format!("answered with HTTP status {}", posted.status), posted.retry_after),
        Err(error) => (error.to_string(), None),
    };
    let pause = usize::try_from(tries).ok().and_then(|tries| pauses.get(tries.checked_sub(1)?));
    match pause {
        Some(pause) => {
            let spread = pause.mul_f64(1.0 + SPREAD * jitter.clamp(0.0, 1.0));
            // The request and its result are kept as long, so that nobody may ask for years.
            let longest = pauses.iter().max().copied().unwrap_or_default();
            let asked = asked.unwrap_or_default().min(longest);
            Verdict::Again { pause: spread.max(asked), why }
        }
        None => Verdict::GiveUp(format!("{why}, {tries} times")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16) -> Posted {
        Posted { status, retry_after: None }
    }

    fn pause(outcome: &Result<Posted, GetErrorKind>, tries: u32, jitter: f64) -> Option<Duration> {
        match judge(outcome, tries, &PAUSES, jitter) {
            Verdict::Again { pause, .. } => Some(pause),
            Verdict::Delivered | Verdict::GiveUp(_) => None,
        }
    }

    #[test]
    fn only_a_2xx_is_a_receipt_and_only_410_ends_it() {
        for status in 100..=599 {
            let verdict = judge(&Ok(answered(status)), 1, &PAUSES, 0.0);
            match status {
                200..=299 => assert_eq!(verdict, Verdict::Delivered, "{status}"),
                410 => assert!(matches!(verdict, Verdict::GiveUp(_)), "{status}"),
                _ => {
                    let why = format!("answered with HTTP status {status}");
                    assert_eq!(verdict, Verdict::Again { pause: PAUSES[0], why });
                }
            }
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut before = Duration::ZERO;
        let mut tries = 1;
        while let Some(pause) = pause(&Ok(answered(500)), tries, 0.0) {
            // Spread never reaches the next one.
            assert!(pause > before.mul_f64(1.0 + SPREAD), "{tries}");
            (before, tries) = (pause, tries + 1);
        }
        assert_eq!(tries, 9);
        let expected = Verdict::GiveUp("answered with HTTP status 500, 9 times".to_owned());
        assert_eq!(judge(&Ok(answered(500)), tries, &PAUSES, 0.0), expected);
        let timed_out = Verdict::GiveUp("took too long, 40 times".to_owned());
        assert_eq!(judge(&Err(GetErrorKind::TimedOut), 40, &PAUSES, 0.5), timed_out);
    }

    #[test]
    fn what_must_not_be_opened_is_not_tried_again() {
        for error in [GetErrorKind::Blocked, GetErrorKind::BadUrl("why")] {
            assert!(matches!(judge(&Err(error), 1, &PAUSES, 0.0), Verdict::GiveUp(_)));
        }
        assert_eq!(pause(&Err(GetErrorKind::TimedOut), 1, 0.0), Some(PAUSES[0]));
    }

    #[test]
    fn a_longer_pause_that_is_asked_for_is_kept_within_reason() {
        let busy = |seconds| {
            let posted = Posted { status: 503, retry_after: Some(Duration::from_secs(seconds)) };
            pause(&Ok(posted), 1, 0.0)
        };
        assert_eq!(busy(60), Some(Duration::from_mins(1)));
        assert_eq!(busy(1), Some(PAUSES[0]));
        assert_eq!(busy(u64::MAX), PAUSES.last().copied());
    }

    proptest! {
        #[test]
        fn jitter_only_makes_longer_and_by_a_part(tries in 1_u32..9, jitter in 0.0..1.0_f64) {
            let whole = pause(&Ok(answered(500)), tries, 0.0).unwrap();
            let spread = pause(&Ok(answered(500)), tries, jitter).unwrap();
            prop_assert!(whole <= spread && spread <= whole.mul_f64(1.0 + SPREAD));
        }
    }
}
