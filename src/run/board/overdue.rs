//! What becomes of a request whose status can never be read.
//!
//! An outage costs no item its time: the deadline is looked at only when the service
//! answers. A request that alone gets nothing readable must end nevertheless. So once its
//! deadline is over, it is given up when two of its polls in a row say nothing and the
//! service has answered another status request in between. Where none is asked, a probe
//! is, in the lane of polls like any other.

use tokio::time::Instant;

use super::{
    super::{
        step::{Action, Signal, Step, StepReport},
        verdict::age,
    },
    Board, Running,
};
use crate::{core::Endpoint, limit::Grant};

impl Board {
    /// Looks at a step that has ended. Returns true when its item is given up.
    pub(super) fn gives_up(&mut self, report: &StepReport) -> bool {
        let StepReport { step: Step::Poll, item, signal, .. } = report else { return false };
        if !matches!(signal, Signal::Down { .. }) {
            self.overdue.remove(&item.id);
            return false;
        }
        if age(item, self.clock.now()) < self.rules.deadline {
            return false;
        }
        let before = self.overdue.insert(item.id, self.clock.instant());
        if before.is_some_and(|before| self.breaker.polls_answered_since(before)) {
            self.overdue.remove(&item.id);
            return true;
        }
        self.asks = true;
        false
    }

    /// Keeps the step running until the ledger knows that its item is given up.
    pub(super) fn give_up(&mut self, report: StepReport, ran: Running, actions: &mut Vec<Action>) {
        let StepReport { step, item, signal, .. } = report;
        let sent = ran.since;
        self.running.insert(item.id, ran);
        if let Signal::Down { failure, .. } = &signal {
            actions.push(Action::GiveUp { item: Box::new(item), failure: failure.clone() });
        }
        self.hear(step, signal, sent);
    }

    /// Asks for a status that says whether the service answers at all. Returns when to
    /// look again.
    pub(super) fn ask_for_overdue(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        if !self.asks || !self.wants(Step::Poll) {
            return None;
        }
        match self.pacer.try_start(Endpoint::Poll) {
            Grant::Go => {
                self.asks = false;
                actions.push(Action::Probe);
                None
            }
            Grant::NotBefore(at) => Some(at),
            Grant::Full => None,
        }
    }
}
