//! Stops submitting while the service does not answer sanely.
//!
//! A service that is down must not cost items their money or their attempts. After the
//! first submit that could not be sent, or [`DOUBTS`] answers in a row that leave a
//! submit in doubt, submitting stops. A probe that costs nothing (a status request)
//! asks until an answer comes; then one single submit goes first, and only when that
//! one is answered do the others follow. Each time the single submit fails, the wait
//! doubles, so that an outage of any length leaves a handful of items in doubt.

use std::time::Duration;

use tokio::time::Instant;

use crate::core::Failure;

/// Answers in doubt in a row after which submitting stops.
const DOUBTS: u32 = 3;

/// First wait before a probe, doubled with every probe or single submit that fails.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Longest wait between two probes.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Submits flow.
    Closed,
    /// No submits; a probe is due at this time.
    Open { probe_at: Instant },
    /// No submits; a probe is on the wire.
    Probing,
    /// The probe was answered: one submit at a time.
    HalfOpen,
}

/// Watches the service's sanity; pure, driven with `now`.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    doubts: u32,
    level: u32,
    /// Since when no submit was answered, and the last failure.
    submits_fail: Option<(Instant, Failure)>,
    /// Since when no poll was answered, and the last failure.
    polls_fail: Option<(Instant, Failure)>,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { state: State::Closed, doubts: 0, level: 0, submits_fail: None, polls_fail: None }
    }

    /// Returns true when a submit may leave while `on_wire` others are unanswered.
    pub(super) fn allows_submit(&self, on_wire: usize) -> bool {
        match self.state {
            State::Closed => true,
            State::HalfOpen => on_wire == 0,
            State::Open { .. } | State::Probing => false,
        }
    }

    /// Returns when the next probe is due.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { probe_at } => Some(probe_at),
            _ => None,
        }
    }

    /// The probe that was due has left.
    pub(super) fn probing(&mut self) {
        self.state = State::Probing;
    }

    /// The probe was answered (or not).
    pub(super) fn probed(&mut self, sane: Result<(), Failure>, now: Instant) {
        match sane {
            Ok(()) => self.state = State::HalfOpen,
            Err(failure) => self.open(failure, None, now),
        }
    }

    /// A submit was answered in a way that says what happened to it. Returns how long
    /// the outage lasted that this ends.
    pub(super) fn sane(&mut self, now: Instant) -> Option<Duration> {
        self.doubts = 0;
        // An answer to a submit from before the outage proves nothing about now.
        if matches!(self.state, State::Open { .. } | State::Probing) {
            return None;
        }
        self.state = State::Closed;
        self.level = 0;
        self.submits_fail.take().map(|(since, _)| now.duration_since(since))
    }

    /// A submit was left in doubt. Returns true when this stops submitting.
    pub(super) fn doubtful(&mut self, failure: Failure, now: Instant) -> bool {
        self.doubts += 1;
        let trips = match self.state {
            State::Closed => self.doubts >= DOUBTS,
            State::HalfOpen => true,
            State::Open { .. } | State::Probing => false,
        };
        if trips {
            self.open(failure, None, now);
        }
        trips
    }

    /// A submit could not be sent or was refused for now. Returns true when this stops
    /// submitting.
    pub(super) fn down(&mut self, failure: Failure, pause: Option<Duration>, now: Instant) -> bool {
        let trips = matches!(self.state, State::Closed | State::HalfOpen);
        if trips {
            self.open(failure, pause, now);
        }
        trips
    }

    /// A poll was answered, or could not be: an outage is one even when nothing is
    /// left to submit.
    pub(super) fn polled(&mut self, answered: Result<(), Failure>, now: Instant) {
        match answered {
            Ok(()) => self.polls_fail = None,
            Err(failure) => {
                let since = self.polls_fail.as_ref().map_or(now, |(since, _)| *since);
                self.polls_fail = Some((since, failure));
            }
        }
    }

    /// Returns since when the service has given no sane answer, and the last failure.
    /// Submits count only while some are `wanted`.
    pub(super) fn outage(&self, wanted: bool) -> Option<(Instant, &Failure)> {
        let submits = self.submits_fail.as_ref().filter(|_| wanted);
        let both = [submits, self.polls_fail.as_ref()].into_iter().flatten();
        both.min_by_key(|(since, _)| *since).map(|(since, failure)| (*since, failure))
    }

    fn open(&mut self, failure: Failure, pause: Option<Duration>, now: Instant) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.level.min(16)).min(LONGEST_WAIT);
        self.level += 1;
        self.state = State::Open { probe_at: now + wait.max(pause.unwrap_or_default()) };
        let since = self.submits_fail.as_ref().map_or(now, |(since, _)| *since);
        self.submits_fail = Some((since, failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{FailureClass, FailureCode};

    fn failure() -> Failure {
        Failure::new(FailureClass::InDoubt, FailureCode::InDoubt, "test")
    }

    fn open_after_doubts(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        assert!(!breaker.doubtful(failure(), now));
        assert!(!breaker.doubtful(failure(), now));
        assert!(breaker.doubtful(failure(), now));
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_doubts_in_a_row_stop_submitting_until_probe_and_single_submit_pass() {
        let now = Instant::now();
        let mut breaker = open_after_doubts(now);
        assert!(!breaker.allows_submit(0));
        assert_eq!(breaker.probe_at(), Some(now + FIRST_WAIT));
        breaker.probing();
        breaker.probed(Ok(()), now);
        assert!(breaker.allows_submit(0));
        assert!(!breaker.allows_submit(1), "one at a time");
        let later = now + Duration::from_secs(9);
        assert_eq!(breaker.sane(later), Some(Duration::from_secs(9)));
        assert!(breaker.allows_submit(100));
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_single_submit_doubles_the_wait() {
        let now = Instant::now();
        let mut breaker = open_after_doubts(now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push((breaker.probe_at().unwrap() - now).as_secs());
            breaker.probing();
            breaker.probed(Ok(()), now);
            assert!(breaker.doubtful(failure(), now));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 120, 120]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_answered_submit_in_between_forgets_the_doubts() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..10 {
            assert!(!breaker.doubtful(failure(), now));
            assert!(!breaker.doubtful(failure(), now));
            breaker.sane(now);
        }
        assert!(breaker.allows_submit(5));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_does_not_end_an_outage() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        assert!(breaker.down(failure(), Some(Duration::from_secs(60)), now));
        assert_eq!(breaker.probe_at(), Some(now + Duration::from_secs(60)));
        assert_eq!(breaker.sane(now), None);
        assert!(!breaker.allows_submit(0));
        assert_eq!(breaker.outage(true).unwrap().0, now);
        assert!(breaker.outage(false).is_none(), "nothing to submit, nothing missed");
    }

    #[tokio::test(start_paused = true)]
    async fn answered_polls_end_an_outage_of_polls_whatever_submits_do() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        breaker.doubtful(failure(), now);
        breaker.polled(Err(failure()), now);
        assert_eq!(breaker.outage(false).unwrap().0, now);
        breaker.polled(Ok(()), now);
        assert!(breaker.outage(true).is_none());
    }
}
