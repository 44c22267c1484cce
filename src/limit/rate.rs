//! The rate in force: the configured one, less after a 429, recovering in steps.
//!
//! Additive increase, multiplicative decrease, as in TCP congestion control: a 429
//! halves the rate, at most once per [`DECREASE_PAUSE`] because the replies to
//! requests already on the wire belong to the same overload; each quiet
//! [`INCREASE_STEP`] adds a tenth of the configured rate until it is reached again.

use std::time::Duration;

use tokio::time::Instant;

/// Further 429s within this time after a decrease change nothing.
const DECREASE_PAUSE: Duration = Duration::from_secs(1);

/// A tenth of the configured rate comes back after each such time without a 429, so
/// full speed is back within a minute of the worst slow-down.
const INCREASE_STEP: Duration = Duration::from_secs(5);

/// The slowest the rate becomes, as a part of the configured one.
const FLOOR: f64 = 0.01;

#[derive(Debug)]
pub(super) struct AdaptiveRate {
    configured: f64,
    current: f64,
    slowest: f64,
    changed: Option<Instant>,
}

impl AdaptiveRate {
    pub(super) fn new(per_second: f64) -> Self {
        Self { configured: per_second, current: per_second, slowest: per_second, changed: None }
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

    /// A 429 arrived. Returns true when that changes the rate.
    pub(super) fn decrease(&mut self, now: Instant) -> bool {
        let too_soon = self.changed.is_some_and(|at| now.duration_since(at) < DECREASE_PAUSE);
        if too_soon && self.current < self.configured {
            return false;
        }
        self.current = (self.current / 2.0).max(self.configured * FLOOR);
        self.slowest = self.slowest.min(self.current);
        self.changed = Some(now);
        true
    }

    /// Takes back what quiet time has earned. Returns true when that changes the rate.
    pub(super) fn recover(&mut self, now: Instant) -> bool {
        let Some(changed) = self.changed else { return false };
        let quiet = now.duration_since(changed);
        if quiet < INCREASE_STEP {
            return false;
        }
        let steps = (quiet.as_secs_f64() / INCREASE_STEP.as_secs_f64()).floor();
        self.current = (self.current + steps * self.configured / 10.0).min(self.configured);
        self.changed = (self.current < self.configured).then_some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn halves_once_per_burst_of_429s_and_recovers_in_steps() {
        let mut rate = AdaptiveRate::new(20.0);
        assert!(rate.decrease(Instant::now()));
        assert!(!rate.decrease(Instant::now()));
        assert!((rate.per_second() - 10.0).abs() < 1e-9);
        tokio::time::advance(DECREASE_PAUSE).await;
        rate.decrease(Instant::now());
        assert!((rate.per_second() - 5.0).abs() < 1e-9);

        tokio::time::advance(INCREASE_STEP).await;
        rate.recover(Instant::now());
        assert!((rate.per_second() - 7.0).abs() < 1e-9);
        tokio::time::advance(Duration::from_mins(1)).await;
        rate.recover(Instant::now());
        assert!((rate.per_second() - 20.0).abs() < 1e-9);
        assert!(!rate.recover(Instant::now()));
        assert!((rate.slowest() - 5.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn never_stops_altogether() {
        let mut rate = AdaptiveRate::new(20.0);
        for _ in 0..100 {
            rate.decrease(Instant::now());
            tokio::time::advance(DECREASE_PAUSE).await;
        }
        assert!((rate.per_second() - 0.2).abs() < 1e-9);
    }
}
