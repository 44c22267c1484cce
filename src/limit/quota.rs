//! A rate allowance, kept so evenly that no window of the service's counts too many.
//!
//! A service that allows `L` requests a second may count them in fixed seconds, in any
//! second, or as a bucket of tokens. All of them are kept by requests that arrive evenly
//! spaced; what spoils that is a burst, and a way to the service that takes now longer,
//! now less. So permissions are spaced by `T = 1 / (SHARE x L)`, and lateness of at most
//! [`CATCH_UP`] is made up for. That is the generic cell rate algorithm (ITU-T I.371): a
//! permission is given from `next - CATCH_UP` on, and moves `next` to
//! `max(next, now) + T`. In every window `w` it gives at most `1 + (w + CATCH_UP) / T`.
//! Of `w` = 1 s, and of a jitter `j` of the way, that stays below `L + 1` as long as
//! `(1 + CATCH_UP + j) x SHARE < 1`: 15 ms of jitter are harmless at every rate.

use std::time::Duration;

use tokio::time::Instant;

/// The part of the allowed rate that is used.
const SHARE: f64 = 0.98;

/// How much lateness is made up for. Without any, each wake-up that comes a little late
/// loses that time for good, and the rate in use stays below the one allowed.
const CATCH_UP: Duration = Duration::from_millis(5);

/// The shortest time between two permissions.
const SHORTEST: Duration = Duration::from_nanos(1);

/// Returns the most requests of one moment.
pub(super) fn burst(per_second: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let made_up_for = (per_second * CATCH_UP.as_secs_f64()).ceil().clamp(0.0, 1e6) as u32;
    made_up_for + 1
}

#[derive(Debug)]
pub(super) struct Quota {
    period: Duration,
    /// When the next permission would be given if none were ever asked for late.
    next: Instant,
}

impl Quota {
    /// Allows `per_second` requests, the first one at once.
    pub(super) fn new(per_second: f64, now: Instant) -> Self {
        Self { period: period(per_second), next: now }
    }

    /// From now on allows `per_second`. The first request is one period away, for a rate
    /// that changes must not give anything away.
    pub(super) fn change(&mut self, per_second: f64, now: Instant) {
        self.period = period(per_second);
        self.next = self.next.max(now) + self.period;
    }

    /// Takes one request, or says when one is allowed.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        match self.next.checked_sub(CATCH_UP).filter(|opens| *opens > now) {
            Some(opens) => Err(opens),
            None => {
                self.next = self.next.max(now) + self.period;
                Ok(())
            }
        }
    }
}

fn period(per_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / (SHARE * per_second.max(1e-6))).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is allowed for so long, waking up late by `late` each time.
    fn taken(per_second: f64, seconds: u64, late: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let start = Instant::now();
        let mut quota = Quota::new(per_second, start);
        let (mut now, mut taken) = (start, Vec::new());
        while now < start + Duration::from_secs(seconds) {
            match quota.take(now) {
                Ok(()) => taken.push(now - start),
                Err(at) => now = at + late(taken.len()),
            }
        }
        taken
    }

    /// Returns the most in any second.
    fn fullest_second(taken: &[Duration]) -> usize {
        let within = |from: &Duration| {
            taken.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(1)).count()
        };
        taken.iter().map(within).max().unwrap()
    }

    #[test]
    fn uses_nearly_all_of_a_rate_and_never_more_in_any_second() {
        for (per_second, most) in [(1.0, 1), (5.0, 5), (20.0, 20), (200.0, 200)] {
            let lates = [0, 1, 4].map(Duration::from_millis);
            for late in lates {
                let taken = taken(per_second, 60, |number| late * u32::from(number % 3 == 0));
                let part = f64::from(u32::try_from(taken.len()).unwrap()) / (60.0 * per_second);
                assert!((0.97..=1.0).contains(&part), "{part} of {per_second}, {late:?} late");
                assert!(fullest_second(&taken) <= most, "{per_second}, {late:?} late");
            }
        }
    }

    #[test]
    fn a_long_wait_is_not_made_up_for() {
        let start = Instant::now();
        let mut quota = Quota::new(20.0, start);
        let later = start + Duration::from_mins(1);
        assert_eq!(quota.take(later), Ok(()));
        assert!(quota.take(later + Duration::from_millis(45)).is_err());
        assert_eq!(quota.take(later + Duration::from_millis(47)), Ok(()));
    }

    #[test]
    fn a_rate_that_changes_gives_nothing_away() {
        let start = Instant::now();
        let mut quota = Quota::new(0.1, start);
        assert_eq!(quota.take(start), Ok(()));
        quota.change(20.0, start + Duration::from_secs(30));
        let opens = quota.take(start + Duration::from_secs(30)).unwrap_err();
        assert!(opens > start + Duration::from_millis(30_040), "{:?}", opens - start);
    }

    #[test]
    fn a_rate_below_one_a_second_works() {
        let taken = taken(0.1, 25, |_| Duration::ZERO);
        let whole: Vec<_> = taken.iter().map(Duration::as_secs).collect();
        assert_eq!(whole, [0, 10, 20]);
    }
}
