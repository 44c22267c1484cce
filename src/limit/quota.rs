//! A rate allowance, kept so evenly that no window of the service's counts too many.
//!
//! A service that allows `L` requests a second may count them in fixed seconds, in any
//! second, or as a bucket of tokens. All of them are kept by requests that arrive evenly
//! spaced; what spoils that is a burst, and a way to the service that takes now longer,
//! now less. So permissions are spaced by `T = 1 / (SHARE x L)`, and lateness of at most
//! [`CATCH_UP`] is made up for. That is the generic cell rate algorithm (ITU-T I.371), by
//! governor, on our clock: a permission is given from `next - CATCH_UP` on, and moves `next` to
//! `max(next, now) + T`. In every window `w` it gives at most `1 + (w + CATCH_UP) / T`.
//! Of `w` = 1 s, and of a jitter `j` of the way, that stays below `L + 1` as long as
//! `(1 + CATCH_UP + j) x SHARE < 1`: 15 ms of jitter are harmless at every rate.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    RateLimiter,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

use crate::clock::Clock;

/// The part of the allowed rate that is used.
const SHARE: f64 = 0.98;

/// How much lateness is made up for. Without any, each wake-up that comes a little late
/// loses that time for good, and the rate in use stays below the one allowed.
const CATCH_UP: Duration = Duration::from_millis(5);

/// Cells of one request. A limiter makes up for whole cells only, and at most rates
/// [`CATCH_UP`] is less than a request.
const CELLS: NonZeroU32 = NonZeroU32::new(100).expect("a hundred is not zero");

/// Returns the most requests of one moment.
pub(super) fn burst(per_second: f64) -> u32 {
    burst_cells(per_second).get().div_ceil(CELLS.get())
}

fn burst_cells(per_second: f64) -> NonZeroU32 {
    let made_up_for = CATCH_UP.as_secs_f64() / period(per_second).as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let made_up_for = made_up_for.ceil().clamp(0.0, 1e8) as u32;
    CELLS.saturating_add(made_up_for)
}

/// Returns the time between two cells.
fn period(per_second: f64) -> Duration {
    let cells = SHARE * per_second.max(1e-6) * f64::from(CELLS.get());
    Duration::from_secs_f64(1.0 / cells).max(Duration::from_nanos(1))
}

#[derive(Debug)]
pub(super) struct Quota {
    limiter: RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Nanos>>,
    clock: Clock,
}

impl Quota {
    /// Allows `per_second` requests, the first one at once.
    pub(super) fn new(per_second: f64, clock: Clock) -> Self {
        let quota = governor::Quota::with_period(period(per_second))
            .expect("a period is never zero")
            .allow_burst(burst_cells(per_second));
        Self { limiter: RateLimiter::direct_with_clock(quota, clock), clock }
    }

    /// From now on allows `per_second`. The first request is one period away, for a rate
    /// that changes must not give anything away.
    pub(super) fn change(&mut self, per_second: f64) {
        *self = Self::new(per_second, self.clock);
        // A whole burst always fits into a fresh quota.
        let _taken = self.limiter.check_n(burst_cells(per_second));
    }

    /// Takes one request, or says when one is allowed.
    pub(super) fn take(&self) -> Result<(), Instant> {
        match self.limiter.check_n(CELLS) {
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(governor::clock::Clock::now(&self.clock));
                Err(self.clock.instant() + wait.max(Duration::from_nanos(1)))
            }
            // A burst is never smaller than a request.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::time::{advance, sleep_until};

    use super::*;

    fn quota(per_second: f64) -> Quota {
        Quota::new(per_second, Clock::starting_at(Timestamp::UNIX_EPOCH))
    }

    /// Takes what is allowed for so long, waking up late by `late` each time.
    async fn taken(
        per_second: f64,
        seconds: u64,
        late: impl Fn(usize) -> Duration,
    ) -> Vec<Duration> {
        let (start, quota) = (Instant::now(), quota(per_second));
        let mut taken = Vec::new();
        while start.elapsed() < Duration::from_secs(seconds) {
            match quota.take() {
                Ok(()) => taken.push(start.elapsed()),
                Err(at) => sleep_until(at + late(taken.len())).await,
            }
        }
        taken
    }

    /// Returns the most in any second.
    fn fullest_second(taken: &[Duration]) -> usize {
        let within = |from: &Duration| {
            let before = |bound: Duration| taken.partition_point(|at| *at < bound);
            before(*from + Duration::from_secs(1)) - before(*from)
        };
        taken.iter().map(within).max().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn uses_nearly_all_of_a_rate_and_never_more_in_any_second() {
        for (per_second, most) in [(1.0, 1), (5.0, 5), (20.0, 20), (200.0, 200)] {
            let delays = [0, 1, 4].map(Duration::from_millis);
            for delay in delays {
                let late_at_times = |number| delay * u32::from(number % 3 == 0);
                let taken = taken(per_second, 60, late_at_times).await;
                let part = f64::from(u32::try_from(taken.len()).unwrap()) / (60.0 * per_second);
                assert!((0.97..=1.0).contains(&part), "{part} of {per_second}, {delay:?} late");
                assert!(fullest_second(&taken) <= most, "{per_second}, {delay:?} late");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_not_made_up_for() {
        let quota = quota(20.0);
        advance(Duration::from_mins(1)).await;
        assert_eq!(quota.take(), Ok(()));
        advance(Duration::from_millis(45)).await;
        assert!(quota.take().is_err());
        advance(Duration::from_millis(2)).await;
        assert_eq!(quota.take(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_that_changes_gives_nothing_away() {
        let mut quota = quota(0.1);
        assert_eq!(quota.take(), Ok(()));
        advance(Duration::from_secs(30)).await;
        quota.change(20.0);
        assert!(quota.take().unwrap_err() > Instant::now() + Duration::from_millis(40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_below_one_a_second_works() {
        let taken = taken(0.1, 25, |_| Duration::ZERO).await;
        let whole: Vec<_> = taken.iter().map(Duration::as_secs).collect();
        assert_eq!(whole, [0, 10, 20]);
    }

    #[test]
    fn a_burst_is_what_can_be_made_up_for() {
        assert_eq!([0.1, 5.0, 20.0, 1_000.0].map(burst), [2, 2, 2, 6]);
    }
}
