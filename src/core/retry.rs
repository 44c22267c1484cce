//! When to try a step again: exponential back-off with stable jitter.

use std::time::Duration;

/// How often, and how far apart, one step of one item is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first one included.
    pub tries: u32,
    /// Wait before the second try; doubles with each further one.
    pub first_delay: Duration,
    /// Longest wait between two tries.
    pub max_delay: Duration,
}

/// What to do with an item whose submit has no known answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InDoubtPolicy {
    /// Keep it, report it, never send it again by itself.
    #[default]
    Hold,
    /// Send it again, within the spend cap and at most
    /// [`MOST_DOUBTFUL_SUBMITS`] times. May pay twice.
    Resubmit,
}

/// Most submits of one item under [`InDoubtPolicy::Resubmit`].
pub const MOST_DOUBTFUL_SUBMITS: u32 = 3;

/// What to do after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again after this long.
    RetryAfter(Duration),
    /// That was the last try.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after `tries` failed tries (1 after the first).
    ///
    /// The wait is `first_delay · 2^(tries-1)`, cut at `max_delay`, and then taken
    /// between its half and its whole by `jitter` in `0.0..1.0` ("equal jitter"),
    /// so that items which failed together do not come back together.
    #[must_use]
    pub fn decide(&self, tries: u32, jitter: f64) -> RetryDecision {
        if tries >= self.tries {
            return RetryDecision::GiveUp;
        }
        let doublings = tries.saturating_sub(1).min(31);
        let whole = self.first_delay.saturating_mul(1 << doublings).min(self.max_delay);
        RetryDecision::RetryAfter(whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
    }
}

/// Returns a fraction in `0.0..1.0` that depends only on its arguments.
///
/// A hash instead of a random number: the same run gives the same waits, whatever
/// order its tasks are scheduled in.
#[must_use]
pub fn jitter(seed: u64, item: i64, attempt: u32) -> f64 {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&item.to_le_bytes());
    bytes[16..].copy_from_slice(&attempt.to_le_bytes());
    let hash = blake3::hash(&bytes);
    let mut word = [0; 4];
    word.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(word)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            tries: 5,
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_mins(1),
        }
    }

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<_> = (1..=5).map(|tries| policy().decide(tries, 1.0)).collect();
        let secs = |s| RetryDecision::RetryAfter(Duration::from_secs(s));
        assert_eq!(waits, [secs(1), secs(2), secs(4), secs(8), RetryDecision::GiveUp]);
    }

    proptest! {
        #[test]
        fn waits_stay_within_bounds(tries in 1u32..1_000_000, item: i64, seed: u64) {
            let policy = RetryPolicy { tries: u32::MAX, ..policy() };
            let fraction = jitter(seed, item, tries);
            prop_assert!((0.0..1.0).contains(&fraction));
            let RetryDecision::RetryAfter(wait) = policy.decide(tries, fraction) else {
                return Err(TestCaseError::fail("gave up"));
            };
            prop_assert!(wait >= Duration::from_millis(500) && wait <= policy.max_delay);
        }
    }
}
