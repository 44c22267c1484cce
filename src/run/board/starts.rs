//! What may start now: gate, slot, quota, breaker and budget decide.

use tokio::time::Instant;

use super::{
    super::step::{Action, Step},
    Board, Mode, Running,
    polls::Asked,
};
use crate::{
    core::{Endpoint, HaltCause, Item, Micros},
    limit::Grant,
};

/// Local pictures being staged at once.
pub(super) const STAGING: usize = 4;

/// Ready items that may wait for their download before submitting pauses; at least the
/// number of requests in flight.
const READY_BACKLOG: usize = 64;

/// Returns how many results may lie at the service before they are fetched, when
/// `in_flight` requests may be there at once.
#[must_use]
pub fn most_unfetched(in_flight: usize) -> usize {
    in_flight.saturating_add(READY_BACKLOG.max(in_flight))
}

impl Board {
    /// Starts everything that may start now. Returns when to look again if nothing
    /// else happens.
    pub(in crate::run) fn start(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        self.keep_pauses(actions);
        let mut wake = self.watch_outage(actions);
        let mut sooner = |at: Option<Instant>| wake = [wake, at].into_iter().flatten().min();
        sooner(self.ask_for_overdue(actions));
        sooner(self.start_fetches(actions));
        sooner(self.start_polls(actions));
        actions.extend(self.want_owed());
        if self.mode == Mode::Running {
            sooner(self.start_submits(actions));
            self.start_staging(actions);
            let hand = self.lanes.submit.len() + self.lanes.stage.len();
            actions.extend(self.supply.want(hand));
        }
        sooner(self.patience_ends().filter(|_| self.has_nothing_to_do()));
        wake
    }

    fn start_fetches(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        while !self.lanes.fetch.is_empty() {
            match self.pacer.try_start(Endpoint::Fetch) {
                Grant::Go => self.launch(Step::Fetch, Micros::ZERO, actions),
                Grant::NotBefore(at) => return Some(at),
                Grant::Full => return None,
            }
        }
        None
    }

    fn start_polls(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        while !self.polls.line.is_empty() {
            match self.pacer.try_start(Endpoint::Poll) {
                Grant::Go => self.launch(Step::Poll, Micros::ZERO, actions),
                Grant::NotBefore(at) => return Some(at),
                Grant::Full => return None,
            }
        }
        None
    }

    fn start_submits(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        while let Some(first) = self.lanes.submit.front() {
            // A ledger write, after which it may need no submit.
            if self.is_being_named(first) {
                return None;
            }
            // First: during an outage nobody probes for submits that the cap forbids.
            if !self.budget.allows(self.rules.price) {
                self.spend_cap_reached();
                return None;
            }
            let backlog = READY_BACKLOG.max(self.rules.submit.at_once);
            let now = self.clock.instant();
            let (ready, at_service) = (self.ready, self.pacer.in_use(Endpoint::Submit));
            if !self.breaker.allows_for_fetches(ready, at_service, now) {
                return self.breaker.trial_due(ready, at_service);
            }
            let allowed = self.breaker.allows_submit(self.oldest_submit(), now);
            if !allowed || ready >= backlog {
                return None;
            }
            match self.pacer.try_start(Endpoint::Submit) {
                Grant::Go => {
                    self.budget.reserve(self.rules.price);
                    self.breaker.trying(now);
                    self.launch(Step::Submit, self.rules.price, actions);
                }
                Grant::NotBefore(at) => return Some(at),
                Grant::Full => return None,
            }
        }
        None
    }

    /// Money that is only reserved may come back: the cap is final when nothing is
    /// at the service any more.
    fn spend_cap_reached(&mut self) {
        if self.pacer.in_use(Endpoint::Submit) > 0 {
            return;
        }
        if let Some(cap) = self.budget.cap() {
            let committed = self.budget.committed();
            self.halt(HaltCause::SpendCap { committed, cap }, true);
        }
    }

    fn start_staging(&mut self, actions: &mut Vec<Action>) {
        let staging = self.running.values().filter(|running| running.step == Step::Stage).count();
        // No more than the submit lane will soon use: a staged URL may not live long.
        let room = STAGING.saturating_sub(staging);
        for _ in 0..room.min(self.lanes.stage.len()) {
            if self.lanes.submit.len() < 2 * STAGING {
                self.launch(Step::Stage, Micros::ZERO, actions);
            }
        }
    }

    fn launch(&mut self, step: Step, may_commit: Micros, actions: &mut Vec<Action>) {
        let Some((mut item, asked)) = self.take(step) else { return };
        if step == Step::Fetch && self.breaker.fetches_fail() && self.holds_back_submits() {
            // The outage is bounded by its own limit: until then no picture is given up,
            // and one more try follows this one.
            item.tries = item.tries.min(self.rules.fetch_retry.tries.saturating_sub(2));
        }
        let set_aside = item.committed() + may_commit;
        let running = Running {
            step,
            set_aside,
            since: self.clock.instant(),
            asked,
            attempt: item.attempts() + u32::from(step == Step::Submit),
            called: None,
        };
        self.running.insert(item.id, running);
        actions.push(Action::Start(step, Box::new(item)));
    }

    /// Takes the next item for a step, with what its polls have shown so far.
    fn take(&mut self, step: Step) -> Option<(Item, Asked)> {
        let lane = match step {
            Step::Stage => &mut self.lanes.stage,
            Step::Submit => &mut self.lanes.submit,
            Step::Fetch => &mut self.lanes.fetch,
            Step::Poll => return self.next_in_line(),
        };
        lane.pop_front().map(|item| (item, Asked::never(self.clock.instant())))
    }

    /// Probes when it is time, and halts when the outage has lasted too long.
    fn watch_outage(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        let now = self.clock.instant();
        if !self.holds_back_submits()
            && (self.mode != Mode::Running || self.oldest_submit().is_none())
        {
            self.breaker.no_submit_waits(now);
        }
        if let Some((lasted, failure)) = self.breaker.lasted_too_long(now)
            && self.wants(Step::Poll)
        {
            let failure = failure.clone();
            // What the service still tells the status of is paid for: finish it.
            let polling = !self.breaker.polls_fail();
            self.halt(HaltCause::Outage { lasted, failure }, polling);
        }
        let mut probe_at = self.breaker.probe_at().filter(|_| self.holds_back_submits());
        if probe_at.is_some_and(|at| at <= now) {
            // A probe is a status request like any other: it waits for its turn.
            match self.pacer.try_start(Endpoint::Poll) {
                Grant::Go => {
                    self.breaker.probing();
                    actions.push(Action::Probe);
                }
                Grant::NotBefore(at) => probe_at = Some(at),
                Grant::Full => {}
            }
        }
        let patience = self.breaker.patience_ends().filter(|_| self.wants(Step::Poll));
        [probe_at, patience].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Returns true while items could be submitted if the service were sane.
    fn holds_back_submits(&self) -> bool {
        self.mode == Mode::Running
            && !self.lanes.submit.is_empty()
            && self.budget.allows(self.rules.price)
    }

    /// Returns since when the oldest submit waits whose answer is still to come.
    pub(in crate::run) fn oldest_submit(&self) -> Option<Instant> {
        let submits = self.running.values().filter(|running| running.step == Step::Submit);
        submits.map(|running| running.since).min()
    }
}
