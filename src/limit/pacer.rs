//! One lane for each endpoint; permission is gate, slot and quota together.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    gate::Gate,
    quota::{self, Quota},
    rate::AdaptiveRate,
    slots::Slots,
};
use crate::{
    clock::Clock,
    core::{Endpoint, Pace},
};

/// Pause after a 429 that names none: a second is what most services count by, and the
/// rate falls too.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// What one endpoint may carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneLimits {
    /// Requests per second.
    pub per_second: f64,
    /// Requests at once.
    pub at_once: usize,
}

/// The answer to "may I call now?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Yes; a slot is taken until [`Pacer::finished`].
    Go,
    /// No, and asking before this time is useless.
    NotBefore(Instant),
    /// No, until a slot is given back.
    Full,
}

/// Gives permission to submit, poll and fetch.
#[derive(Debug)]
pub struct Pacer {
    submit: Lane,
    poll: Lane,
    fetch: Lane,
}

impl Pacer {
    /// Creates the three lanes.
    #[must_use]
    pub fn new(submit: LaneLimits, poll: LaneLimits, fetch: LaneLimits, clock: Clock) -> Self {
        let lane = |limits| Lane::new(limits, clock);
        Self { submit: lane(submit), poll: lane(poll), fetch: lane(fetch) }
    }

    /// Takes gate, slot and quota together, or nothing.
    pub fn try_start(&mut self, endpoint: Endpoint) -> Grant {
        self.lane(endpoint).try_start()
    }

    /// Gives a slot back.
    pub fn finished(&mut self, endpoint: Endpoint) {
        self.lane(endpoint).slots.give_back();
    }

    /// Counts a call that an earlier process started and that is still in flight.
    pub fn adopt(&mut self, endpoint: Endpoint) {
        self.lane(endpoint).slots.take();
    }

    /// Closes the gate after a 429 to a request that left at `sent`, and slows the lane
    /// down. Returns for how long the gate is closed.
    pub fn throttled(
        &mut self,
        endpoint: Endpoint,
        retry_after: Option<Duration>,
        sent: Instant,
    ) -> Duration {
        self.lane(endpoint).throttled(retry_after, sent)
    }

    /// Returns what the pace of a lane has come to.
    pub fn pace(&mut self, endpoint: Endpoint) -> Pace {
        self.lane(endpoint).pace()
    }

    /// Closes the gate without slowing down: the service was briefly unavailable.
    pub fn pause(&mut self, endpoint: Endpoint, pause: Duration) {
        let opens = Instant::now() + pause;
        self.lane(endpoint).gate.close_until(opens);
    }

    /// Returns how many slots of a lane are taken.
    #[must_use]
    pub fn in_use(&self, endpoint: Endpoint) -> usize {
        match endpoint {
            Endpoint::Submit => self.submit.slots.taken(),
            Endpoint::Poll => self.poll.slots.taken(),
            Endpoint::Fetch => self.fetch.slots.taken(),
        }
    }

    /// Returns the rate that a lane has now, in requests per second.
    #[must_use]
    pub fn per_second(&self, endpoint: Endpoint) -> f64 {
        match endpoint {
            Endpoint::Submit => self.submit.rate.per_second(),
            Endpoint::Poll => self.poll.rate.per_second(),
            Endpoint::Fetch => self.fetch.rate.per_second(),
        }
    }

    /// Returns the most requests a lane may start at one moment: the burst of I3.
    #[must_use]
    pub fn burst(per_second: f64) -> u32 {
        quota::burst(per_second)
    }

    fn lane(&mut self, endpoint: Endpoint) -> &mut Lane {
        match endpoint {
            Endpoint::Submit => &mut self.submit,
            Endpoint::Poll => &mut self.poll,
            Endpoint::Fetch => &mut self.fetch,
        }
    }
}

#[derive(Debug)]
struct Lane {
    quota: Quota,
    rate: AdaptiveRate,
    gate: Gate,
    slots: Slots,
    pauses: u64,
    clock: Clock,
}

impl Lane {
    fn new(limits: LaneLimits, clock: Clock) -> Self {
        Self {
            quota: Quota::new(limits.per_second, clock),
            rate: AdaptiveRate::new(limits.per_second),
            gate: Gate::default(),
            slots: Slots::new(limits.at_once),
            pauses: 0,
            clock,
        }
    }

    fn try_start(&mut self) -> Grant {
        let now = self.clock.instant();
        if let Some(opens) = self.gate.opens_after(now) {
            return Grant::NotBefore(opens);
        }
        if !self.slots.free() {
            return Grant::Full;
        }
        self.recover(now);
        match self.quota.take() {
            Ok(()) => {
                self.slots.take();
                Grant::Go
            }
            Err(at) => Grant::NotBefore(at),
        }
    }

    fn recover(&mut self, now: Instant) {
        if self.rate.recover(now) {
            self.quota.change(self.rate.per_second());
        }
    }

    fn pace(&mut self) -> Pace {
        self.recover(self.clock.instant());
        Pace {
            allowed: self.rate.configured(),
            slowest: self.rate.slowest(),
            now: self.rate.per_second(),
            pauses: self.pauses,
        }
    }

    fn throttled(&mut self, retry_after: Option<Duration>, sent: Instant) -> Duration {
        let now = self.clock.instant();
        let pause = retry_after.unwrap_or(DEFAULT_PAUSE);
        self.gate.close_until(now + pause);
        self.pauses += 1;
        if self.rate.decrease(sent, now + pause) {
            self.quota.change(self.rate.per_second());
        }
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::invariant::rate_holds;
    use jiff::Timestamp;

    fn pacer(per_second: f64, at_once: usize) -> Pacer {
        let limits = LaneLimits { per_second, at_once };
        Pacer::new(limits, limits, limits, Clock::starting_at(Timestamp::UNIX_EPOCH))
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_takes_no_quota() {
        let mut pacer = pacer(1.0, 1);
        assert_eq!(pacer.try_start(Endpoint::Submit), Grant::Go);
        tokio::time::advance(Duration::from_secs(2)).await;
        for _ in 0..3 {
            assert_eq!(pacer.try_start(Endpoint::Submit), Grant::Full);
        }
        pacer.finished(Endpoint::Submit);
        assert_eq!(pacer.try_start(Endpoint::Submit), Grant::Go);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_takes_neither_slot_nor_quota() {
        let mut pacer = pacer(10.0, 1);
        let pause = pacer.throttled(Endpoint::Poll, Some(Duration::from_secs(30)), Instant::now());
        assert_eq!(pause, Duration::from_secs(30));
        let slowed = Pace { allowed: 10.0, slowest: 9.0, now: 9.0, pauses: 1 };
        assert_eq!(pacer.pace(Endpoint::Poll), slowed);
        assert_eq!(pacer.pace(Endpoint::Submit), Pace::steady(10.0));
        let opens = Instant::now() + pause;
        assert_eq!(pacer.try_start(Endpoint::Poll), Grant::NotBefore(opens));
        assert_eq!(pacer.in_use(Endpoint::Poll), 0);
        assert_eq!(pacer.try_start(Endpoint::Submit), Grant::Go, "gates are separate");
        tokio::time::advance(pause).await;
        // A pause proves nothing about the rate; the time after it does.
        assert_eq!(pacer.try_start(Endpoint::Poll), Grant::Go);
        assert_eq!(pacer.pace(Endpoint::Poll), slowed);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(pacer.pace(Endpoint::Poll), Pace { now: 10.0, ..slowed });
        assert_eq!(pacer.try_start(Endpoint::Poll), Grant::Full, "the one slot is taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_pause_does_not_open_a_gate_early() {
        let mut pacer = pacer(10.0, 1);
        pacer.throttled(Endpoint::Submit, Some(Duration::from_mins(1)), Instant::now());
        pacer.throttled(Endpoint::Submit, Some(Duration::from_secs(1)), Instant::now());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(matches!(pacer.try_start(Endpoint::Submit), Grant::NotBefore(_)));
    }

    /// I3: in every window, calls ≤ burst + rate × window.
    #[tokio::test(start_paused = true)]
    async fn no_window_exceeds_burst_plus_rate() {
        let mut pacer = pacer(20.0, usize::MAX);
        let start = Instant::now();
        let mut calls = Vec::new();
        while start.elapsed() < Duration::from_secs(30) {
            match pacer.try_start(Endpoint::Submit) {
                Grant::Go => {
                    calls.push(start.elapsed());
                    if calls.len() == 100 {
                        let (pause, sent) = (Duration::from_secs(1), Instant::now());
                        pacer.throttled(Endpoint::Submit, Some(pause), sent);
                    }
                }
                Grant::NotBefore(at) => tokio::time::sleep_until(at).await,
                Grant::Full => unreachable!("there are slots"),
            }
        }
        assert!(calls.len() > 300, "{} calls", calls.len());
        rate_holds(&calls, f64::from(Pacer::burst(20.0)), 20.0).unwrap();
    }
}
