//! What becomes of a request whose status can never be read.
//!
//! An outage costs no item its time: the deadline is looked at only when the service
//! answers. A request that alone gets nothing readable must end nevertheless. So once its
//! deadline is over, it is given up when two of its polls in a row say nothing and the
//! service has answered another status request in between. Where none is asked, a probe
//! is, in the lane of polls like any other.

use tokio::time::Instant;

use super::{
    super::step::{Action, Signal, Step, StepReport},
    Board, Running,
};
use crate::{
    core::{Endpoint, Failure, Item},
    limit::Grant,
};

impl Board {
    /// Looks at a step that has ended. Returns why its item is given up, if it is.
    pub(super) fn gives_up(&mut self, report: &StepReport) -> Option<Failure> {
        let StepReport { step: Step::Poll, item, signal, .. } = report else { return None };
        let Signal::Down { failure, .. } = signal else {
            self.overdue.remove(&item.id);
            return None;
        };
        let age = super::super::verdict::age(item, self.clock.now());
        if age < self.rules.deadline {
            return None;
        }
        match self.overdue.insert(item.id, self.clock.instant()) {
            Some(before) if self.breaker.polls_answered_since(before) => {
                self.overdue.remove(&item.id);
                Some(failure.clone())
            }
            _ => {
                self.asks = true;
                None
            }
        }
    }

    /// Keeps the step running until the ledger knows that its item is given up.
    pub(super) fn give_up(
        &mut self,
        item: Item,
        failure: Failure,
        ran: Running,
        actions: &mut Vec<Action>,
    ) {
        self.running.insert(item.id, ran);
        actions.push(Action::GiveUp { item: Box::new(item), failure });
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
