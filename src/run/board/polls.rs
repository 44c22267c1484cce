//! When each request is polled, and what its polls have shown.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        step::{Signal, Step, StepReport},
        verdict::age,
    },
    Board, Mode, Running,
    last_polls::LastPolls,
    poll_line::{Due, PollLine},
};
use crate::core::{Endpoint, Item, ItemState, Observation, OpenRequest, ServiceTimes, poll_price};

/// Callbacks are supposed to come until some did not: one of twenty is lost…
const SUPPOSED_SILENT: f64 = 0.05;
/// … and that counts as much as so many requests.
const SUPPOSED: f64 = 4.0;

/// What is known of the polls of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// No poll before this time, not even when the service calls back.
    pub(super) soonest: Instant,
    /// The age at which a poll saw last that it was not done.
    pub(super) open_at: Duration,
    /// The service has said that it is done.
    pub(super) called: bool,
}

impl Asked {
    /// No poll of this run has seen it.
    pub(super) fn never(soonest: Instant) -> Self {
        Self { soonest, open_at: Duration::ZERO, called: false }
    }

    /// The service has called back about it.
    pub(super) fn called(self) -> Self {
        Self { called: true, ..self }
    }
}

/// The polls of a run.
#[derive(Debug, Default)]
pub(super) struct Polls {
    /// Those that are due.
    pub(super) line: PollLine,
    /// How long the service takes, as far as this run knows.
    times: ServiceTimes,
    last: LastPolls,
    /// Requests that were done: those of which the service had called, and the others.
    called: f64,
    silent: f64,
}

impl Polls {
    /// Returns the part of all requests about which the service does not call.
    fn silent(&self) -> f64 {
        (self.silent + SUPPOSED_SILENT * SUPPOSED) / (self.silent + self.called + SUPPOSED)
    }

    fn ended(&mut self, called: bool) {
        let count = if called { &mut self.called } else { &mut self.silent };
        *count += 1.0;
    }
}

impl Board {
    /// Begins with the times that earlier runs have measured. What lay at the service for
    /// longer than anyone waits for it was finished by a later run.
    pub(in crate::run) fn recall(&mut self, times: Vec<Duration>) {
        let deadline = self.rules.deadline;
        self.polls.times.recall(times.into_iter().filter(|time| *time <= deadline));
    }

    /// Returns when a request is polled next.
    pub(super) fn next_poll(&mut self, item: &Item, asked: Asked) -> Instant {
        let now = self.clock.instant();
        let soonest = asked.soonest.max(now);
        if asked.called {
            return soonest;
        }
        let alone = self.patience.is_none();
        let left = self.pacer.in_use(Endpoint::Submit);
        let last = alone && self.few_are_left() && self.submits_are_over();
        if last && !asked.open_at.is_zero() {
            return match left {
                0 | 1 => soonest,
                _ => self.polls.last.together(item.id, soonest, self.rules.cadence.interval, now),
            };
        }
        let age = item.submitted_at.map_or(self.rules.deadline, |_| age(item, self.clock.now()));
        let open = OpenRequest {
            open_at: asked.open_at,
            soonest: age + (soonest - now),
            expects_call: !alone,
        };
        let silent = if alone { 1.0 } else { self.polls.silent() };
        let price = poll_price(self.line_of_polls(), silent);
        let (cadence, times) = (self.rules.cadence, &self.polls.times);
        let mut at = cadence.next_poll(open, times, price);
        if last {
            at = cadence.last_first_poll(open, times, left, at);
        }
        now + at.saturating_sub(age)
    }

    /// Returns how long a poll that is due now will stand in line.
    fn line_of_polls(&self) -> Duration {
        let waiting = u32::try_from(self.polls.line.len()).unwrap_or(u32::MAX);
        Duration::from_secs_f64(f64::from(waiting) / self.pacer.per_second(Endpoint::Poll))
    }

    /// Returns true when nothing will be submitted any more, as far as one can know.
    fn submits_are_over(&self) -> bool {
        let unsubmitted = |running: &Running| matches!(running.step, Step::Stage | Step::Submit);
        match self.mode {
            Mode::Running => {
                self.supply.is_exhausted()
                    && self.lanes.stage.is_empty()
                    && self.lanes.submit.is_empty()
                    && !self.running.values().any(unsubmitted)
            }
            Mode::Halted { .. } | Mode::ManifestBroken | Mode::Draining => true,
        }
    }

    /// Returns true when all requests can be polled within two seconds: then the line of a
    /// beat is over long before the next one.
    fn few_are_left(&self) -> bool {
        let left = u32::try_from(self.pacer.in_use(Endpoint::Submit)).unwrap_or(u32::MAX);
        f64::from(left) <= 2.0 * self.pacer.per_second(Endpoint::Poll)
    }

    /// The poll of a request is due.
    pub(super) fn stand_in_line(&mut self, item: Item, asked: Asked) {
        let now = self.clock.instant();
        let age = age(&item, self.clock.now());
        let since = now.checked_sub(age).unwrap_or(now);
        let latest = now + 2 * self.line_of_polls() + self.rules.cadence.interval;
        let due = Due { item, asked, since, latest };
        self.polls.line.join(due, &self.polls.times, now);
    }

    /// Takes the request that is polled next.
    pub(super) fn next_in_line(&mut self) -> Option<(Item, Asked)> {
        let due = self.polls.line.next(&self.polls.times, self.clock.instant())?;
        Some((due.item, due.asked))
    }

    /// Learns from a poll that has ended. Returns what is known of the request's polls.
    pub(super) fn learn(&mut self, report: &StepReport, ran: Option<&Running>) -> Asked {
        let now = self.clock.instant();
        let soonest = now + self.rules.cadence.interval;
        let Some(ran) = ran.filter(|_| report.step == Step::Poll) else {
            return Asked::never(soonest);
        };
        let took = now.saturating_duration_since(ran.since);
        self.polls.last.answered(took);
        let age = age(&report.item, self.clock.now());
        let open_at = ran.asked.open_at;
        // While the answer was on its way, it may have become wrong.
        let meanwhile = ran.called.is_some();
        let called = ran.asked.called || meanwhile;
        match (report.item.state, &report.signal) {
            (ItemState::Ready, _) => {
                self.polls.ended(called);
                self.polls.times.learn(Observation { open_at, done_at: age, took: report.took });
                Asked::never(soonest)
            }
            (ItemState::Submitted, Signal::Sane) => {
                let seen_at = age.saturating_sub(took);
                self.polls.times.still_open(open_at, seen_at);
                Asked { soonest, open_at: seen_at, called: meanwhile }
            }
            _ => Asked { soonest, open_at, called },
        }
    }
}
