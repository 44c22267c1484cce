//! The rate in force: the configured one, and after a 429 the one that the service takes.
//!
//! Nobody says what the service's limit is, and it may change at any time. It is found
//! like the window of a TCP connection by binary increase (Xu, Harfoush, Rhee, "Binary
//! Increase Congestion Control", INFOCOM 2004), between the fastest rate that has *held*
//! and the slowest that was *too fast*:
//!
//! - A 429 to a request that left at the rate now in force makes that rate too fast. After
//!   a step up the rate returns to the one that has held. If the rate that has held is
//!   itself refused, it may have been the way there that was uneven: a tenth less if it had
//!   held for a while, and half of it if that is refused at once. A 429 to a request that left earlier belongs
//!   to the overload that is known already.
//! - After each quiet [`STEP`] the rate has held. As long as it is well below what was too
//!   fast, it goes half the way up; 20/s that became 5/s is found in about ten seconds.
//! - Near what was too fast it rests for [`HOLD`], because each look further up costs a 429
//!   and its pause: 3 % of the time. Then it climbs, first by [`FIRST_LOOK`], which harms
//!   nobody, and each quiet step by twice as much; 5/s that became 20/s is reached in six
//!   steps.
//!
//! So at an unknown limit there is about one 429 every half minute, and at a known one,
//! which is the configured rate, none.

use std::time::Duration;

use tokio::time::Instant;

/// A rate without a 429 for this long has held. A service that counts by the second has
/// had three chances to refuse it.
const STEP: Duration = Duration::from_secs(3);

/// Requests that a rate has to have room for until it has held.
const PROOFS: f64 = 3.0;

/// Rest near a rate that was too fast before a look further up. With the climb after it,
/// a service that has become four times as fast is used in full within a minute.
const HOLD: Duration = Duration::from_secs(30);

/// The first step beyond what is known, as a part of the rate; each further one is twice
/// as large, at most [`LARGEST_LOOK`].
const FIRST_LOOK: f64 = 0.05;

/// The rate is never more than doubled.
const LARGEST_LOOK: f64 = 1.0;

/// The way up from a rate that has held ends this near to what was too fast…
const NEAR: f64 = 0.95;

/// … and here it is not worth a 429 any more.
const REST: f64 = 0.94;

/// What is left of a rate that had held for a while and is refused.
const LESS: f64 = 0.9;

/// The slowest the rate becomes, as a part of the configured one.
const FLOOR: f64 = 0.01;

#[derive(Debug)]
pub(super) struct AdaptiveRate {
    configured: f64,
    current: f64,
    slowest: f64,
    /// The fastest rate that is believed to hold…
    held: f64,
    /// … and whether it did for a whole step since it was last refused.
    proven: bool,
    /// The slowest rate that was refused lately.
    too_fast: Option<f64>,
    /// When the pause after that ends.
    refused: Option<Instant>,
    /// Since when the rate is what it is.
    changed: Option<Instant>,
    look: f64,
}

impl AdaptiveRate {
    pub(super) fn new(per_second: f64) -> Self {
        Self {
            configured: per_second,
            current: per_second,
            slowest: per_second,
            held: per_second,
            proven: true,
            too_fast: None,
            refused: None,
            changed: None,
            look: FIRST_LOOK,
        }
    }

    pub(super) fn per_second(&self) -> f64 {
        self.current
    }

    pub(super) fn configured(&self) -> f64 {
        self.configured
    }

    /// Returns the lowest rate there was.
    pub(super) fn slowest(&self) -> f64 {
        self.slowest
    }

    /// A request that left at `sent` was answered with a 429, and until `opens` nothing
    /// leaves. Returns true when that changes the rate.
    pub(super) fn decrease(&mut self, sent: Instant, opens: Instant) -> bool {
        if self.refused.is_some_and(|refused| sent < refused) {
            return false;
        }
        self.too_fast = Some(self.current);
        if self.current > self.held {
            self.current = self.held;
        } else {
            let rest = if self.proven { LESS } else { 0.5 };
            self.current = (self.held * rest).max(self.configured * FLOOR);
            self.held = self.current;
            self.proven = false;
        }
        self.slowest = self.slowest.min(self.current);
        self.look = FIRST_LOOK;
        self.refused = Some(opens);
        self.changed = Some(opens);
        true
    }

    /// Takes what quiet time has earned. Returns true when that changes the rate.
    pub(super) fn recover(&mut self, now: Instant) -> bool {
        let before = self.current;
        while let Some(quiet) =
            self.changed.map(|changed| changed + self.step()).filter(|at| *at <= now)
        {
            self.held = self.held.max(self.current);
            self.proven = true;
            let rests_until = self.rests_until().unwrap_or(quiet).max(quiet);
            if rests_until > now {
                break;
            }
            self.changed = (self.held < self.configured).then_some(rests_until);
            self.current = self.next_rate();
        }
        self.current > before
    }

    /// Returns how long a rate has to go without a 429 until it has held.
    fn step(&self) -> Duration {
        STEP.max(Duration::from_secs_f64(PROOFS / self.current.max(1e-6)))
    }

    /// Returns until when the rate rests near one that was too fast.
    fn rests_until(&self) -> Option<Instant> {
        let near = self.current >= self.too_fast? * REST;
        self.refused.filter(|_| near).map(|refused| refused + HOLD)
    }

    /// Returns the rate after one that has held.
    fn next_rate(&mut self) -> f64 {
        if let Some(too_fast) = self.too_fast.filter(|too_fast| self.current < too_fast * REST) {
            return f64::midpoint(self.current, too_fast).min(too_fast * NEAR);
        }
        self.too_fast = None;
        let next = (self.current * (1.0 + self.look)).min(self.configured);
        self.look = (self.look * 2.0).min(LARGEST_LOOK);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rate, refused at once whenever it is above the service's limit.
    struct Road {
        rate: AdaptiveRate,
        now: Instant,
        refusals: usize,
    }

    impl Road {
        fn new() -> Self {
            Self { rate: AdaptiveRate::new(20.0), now: Instant::now(), refusals: 0 }
        }

        /// Returns the mean rate over `seconds` at a service with this limit.
        fn drive(&mut self, limit: f64, seconds: u32) -> f64 {
            let mut sum = 0.0;
            for _ in 0..10 * seconds {
                self.now += Duration::from_millis(100);
                self.rate.recover(self.now);
                if self.rate.per_second() > limit {
                    self.refusals += usize::from(
                        self.rate.decrease(self.now, self.now + Duration::from_secs(1)),
                    );
                } else {
                    sum += self.rate.per_second();
                }
            }
            sum / f64::from(10 * seconds)
        }
    }

    #[test]
    fn a_rate_that_is_never_refused_stays() {
        let mut road = Road::new();
        assert!((road.drive(20.0, 3_600) - 20.0).abs() < 1e-9);
        assert_eq!(road.refusals, 0);
    }

    #[test]
    fn a_limit_that_falls_is_found_and_hardly_ever_tried_again() {
        for limit in [0.7, 3.0, 5.0, 6.5, 13.0, 19.0] {
            let mut road = Road::new();
            road.drive(limit, 60);
            assert!(road.refusals <= 16, "{} refusals to find {limit}", road.refusals);
            road.refusals = 0;
            let used = road.drive(limit, 600) / limit;
            assert!(used > 0.93, "{used} of {limit}");
            assert!(road.refusals <= 21, "{} refusals at {limit}", road.refusals);
        }
    }

    #[test]
    fn a_limit_that_rises_is_used_within_a_minute() {
        for limit in [3.0, 5.0, 10.0] {
            let mut road = Road::new();
            road.drive(limit, 120);
            road.drive(20.0, 60);
            let used = road.drive(20.0, 1);
            assert!(used > 18.0, "{used} after {limit}");
        }
    }

    #[test]
    fn answers_to_what_left_before_the_decrease_change_nothing() {
        let mut rate = AdaptiveRate::new(20.0);
        let now = Instant::now();
        let opens = now + Duration::from_secs(1);
        assert!(rate.decrease(now, opens));
        assert!(!rate.decrease(now + Duration::from_millis(5), opens));
        assert!((rate.per_second() - 18.0).abs() < 1e-9);
        assert!(rate.decrease(opens, opens));
        assert!((rate.per_second() - 9.0).abs() < 1e-9);
        assert!((rate.slowest() - 9.0).abs() < 1e-9);
    }

    #[test]
    fn never_stops_altogether_and_comes_back_by_itself() {
        let mut road = Road::new();
        road.drive(0.0, 300);
        assert!((road.rate.per_second() - 0.2).abs() < 1e-9);
        road.now += Duration::from_mins(3);
        assert!(road.rate.recover(road.now));
        assert!((road.rate.per_second() - 20.0).abs() < 1e-9);
        assert!(!road.rate.recover(road.now + Duration::from_hours(1)));
    }
}
