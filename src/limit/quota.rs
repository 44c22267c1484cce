//! A rate allowance (governor's GCRA) on our clock.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    RateLimiter,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::clock::Clock;

/// How much lateness may be made up for: a tenth of a second's worth of requests.
///
/// With a burst of one, each wake-up that comes a little late loses that time for
/// good, and the rate in use stays below the one allowed.
const CATCH_UP: f64 = 0.1;

/// Most requests of one burst.
pub(super) fn burst(per_second: f64) -> NonZeroU32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let requests = (per_second * CATCH_UP).ceil().clamp(1.0, 1_000.0) as u32;
    NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN)
}

#[derive(Debug)]
pub(super) struct Quota {
    limiter: RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<governor::nanos::Nanos>>,
    clock: Clock,
}

impl Quota {
    /// Allows `per_second` requests, with a full burst at the start.
    pub(super) fn new(per_second: f64, clock: Clock) -> Self {
        let period = Duration::from_secs_f64(1.0 / per_second.max(1e-6));
        let quota = governor::Quota::with_period(period.max(Duration::from_nanos(1)))
            .unwrap_or(governor::Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst(per_second));
        Self { limiter: RateLimiter::direct_with_clock(quota, clock), clock }
    }

    /// The same with nothing in hand: a rate that changes must not give away a burst.
    pub(super) fn empty(per_second: f64, clock: Clock) -> Self {
        let quota = Self::new(per_second, clock);
        // A whole burst always fits into a fresh quota.
        let _taken = quota.limiter.check_n(burst(per_second));
        quota
    }

    /// Takes one request, or says how long until one is allowed.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|not_until| {
            not_until.wait_time_from(self.clock.now_for_quota()).max(Duration::from_nanos(1))
        })
    }
}

impl Clock {
    fn now_for_quota(&self) -> governor::nanos::Nanos {
        governor::clock::Clock::now(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn allows_the_rate_and_no_more() {
        let quota = Quota::new(20.0, Clock::starting_at(Timestamp::UNIX_EPOCH));
        let start = tokio::time::Instant::now();
        let mut allowed = 0;
        while start.elapsed() < Duration::from_mins(1) {
            match quota.take() {
                Ok(()) => allowed += 1,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
        // tokio's timer has a resolution of one millisecond.
        assert!((1_190..=1_202).contains(&allowed), "{allowed}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_quota_gives_nothing_at_once() {
        let quota = Quota::empty(20.0, Clock::starting_at(Timestamp::UNIX_EPOCH));
        assert!(quota.take().is_err());
        tokio::time::advance(Duration::from_millis(51)).await;
        assert!(quota.take().is_ok());
        assert!(quota.take().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_below_one_a_second_works() {
        let quota = Quota::new(0.1, Clock::starting_at(Timestamp::UNIX_EPOCH));
        assert!(quota.take().is_ok());
        let wait = quota.take().unwrap_err();
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
    }
}
