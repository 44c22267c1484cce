//! What follows from the service calling back, and from items in doubt.
//!
//! A callback is a hint. It wakes the poll of an item that waits for one, and it may
//! name the request of an item in doubt; whether anything is done or paid, only the
//! status endpoint says. Naming comes before any resubmission: a request that has a
//! name need not be paid for twice. An item in doubt says nothing about the service when
//! it is named, so that the breaker is not told.

use std::collections::btree_map::Entry;

use tokio::time::Instant;

use super::{
    super::step::{Action, Step},
    Board, Waiting,
    polls::Asked,
};
use crate::core::{
    Callback, Endpoint, InDoubtPolicy, Item, ItemId, ItemState, MOST_DOUBTFUL_SUBMITS, Micros,
    RequestId, RunEvent,
};

/// Items in doubt whose ledger entry is looked up or written at once; further callbacks
/// wait at the receiver, which tells the service to call again when its queue is full.
const RESOLVING: usize = 16;

/// A callback that came while its submit was still running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EarlyCall {
    request_id: Option<RequestId>,
}

impl Board {
    /// Returns true while a callback can be taken in.
    pub(in crate::run) fn hears_calls(&self) -> bool {
        self.resolving.len() < RESOLVING
    }

    /// The service has called back.
    pub(in crate::run) fn called(&mut self, callback: Callback, actions: &mut Vec<Action>) {
        let Callback { item: id, attempt, request_id } = callback;
        if let Some(running) = self.running.get_mut(&id) {
            if matches!(running.step, Step::Submit | Step::Poll) && running.attempt == attempt {
                // A later callback without a name does not take the name back.
                let known = running.called.take().and_then(|call| call.request_id);
                running.called = Some(EarlyCall { request_id: known.or(request_id) });
            }
        } else if let Some(waiting) = self.parked.get_mut(&id).filter(is_at_service) {
            if waiting.item.attempts() == attempt {
                waiting.asked = waiting.asked.called();
                let at = waiting.asked.soonest.max(self.clock.instant());
                actions.push(Action::Park(id, at));
            }
        } else if self.polls.line.called(id, attempt) {
            // Its poll is due already, and now comes before the others.
        } else if let Some(request_id) = request_id {
            // Settled, waiting for its turn, or unknown: the ledger knows.
            if let Entry::Vacant(vacant) = self.resolving.entry((id, attempt)) {
                vacant.insert(Micros::ZERO);
                actions.push(Action::Name { item: id, attempt, request_id, denied: false });
            }
        }
    }

    /// A submit has left an item in doubt. Returns true when something is done about it
    /// at once, so that nobody needs to hear of it yet.
    pub(super) fn fell_in_doubt(
        &mut self,
        item: &Item,
        sent: Instant,
        early: Option<EarlyCall>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let (id, attempt) = (item.id, item.attempts());
        if let Some(request_id) = early.and_then(|call| call.request_id) {
            self.resolving.insert((id, attempt), Micros::ZERO);
            actions.push(Action::Name { item: id, attempt, request_id, denied: false });
            return true;
        }
        let resubmit =
            self.rules.in_doubt == InDoubtPolicy::Resubmit && attempt < MOST_DOUBTFUL_SUBMITS;
        if resubmit {
            self.resolving.insert((id, attempt), Micros::ZERO);
            actions.push(Action::Resubmit { item: id, attempt });
        } else if self.patience.is_some() {
            self.doubtful.insert(id, sent);
        }
        resubmit
    }

    /// What was to be done about an item in doubt is done: here is the item as the ledger
    /// has it, unless there is no such item or the callback was about something else.
    pub(in crate::run) fn resolved(
        &mut self,
        id: ItemId,
        attempt: u32,
        change: Option<(Item, Micros)>,
        actions: &mut Vec<Action>,
    ) {
        let reserved = self.resolving.remove(&(id, attempt)).unwrap_or(Micros::ZERO);
        let Some((item, before)) = change else {
            self.budget.settle(reserved, Micros::ZERO);
            tracing::debug!(item.id = %id, "a callback that changes nothing");
            return;
        };
        if let (ItemState::Submitted, Some(request)) = (item.state, &item.request) {
            let request_id = request.id.clone();
            self.budget.settle(before + reserved, item.committed());
            self.take_back(id);
            let was_told = self.doubtful.remove(&id).is_some();
            let source = item.source.clone();
            self.told.push(RunEvent::Named { item: id, source, request_id, was_told });
            // A submit that starts now finds its item named, changes nothing, and ends.
            if self.wants(Step::Poll) && !self.running.contains_key(&id) {
                self.pacer.adopt(Endpoint::Submit);
                let asked = Asked::never(self.clock.instant()).called();
                self.stand_in_line(item, asked);
            }
        } else {
            let now = self.clock.instant();
            self.place(item, Asked::never(now), actions);
        }
    }

    /// The service has answered that it took nothing, or refuses the picture, and yet has
    /// called back with a name before: the name is believed, or the picture would be paid
    /// for twice. Returns true then, and nobody needs to hear of the denial.
    pub(super) fn was_denied(
        &mut self,
        item: &Item,
        early: Option<&EarlyCall>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let name = early.and_then(|call| call.request_id.clone());
        let Some(request_id) = name.filter(|_| item.may_be_named()) else { return false };
        // Money that was given back may be spent already: the cap counts for a name too.
        if !self.budget.reserve(self.rules.price) {
            return false;
        }
        let attempt = item.attempts();
        self.resolving.insert((item.id, attempt), self.rules.price);
        actions.push(Action::Name { item: item.id, attempt, request_id, denied: true });
        true
    }

    /// Returns true while the request of an item that waits for its submit is being named.
    pub(super) fn is_being_named(&self, item: &Item) -> bool {
        self.resolving.contains_key(&(item.id, item.attempts()))
    }

    /// An item that was to be submitted again is at the service already.
    fn take_back(&mut self, id: ItemId) {
        self.lanes.stage.retain(|item| item.id != id);
        self.lanes.submit.retain(|item| item.id != id);
        self.parked.remove(&id);
    }

    /// Returns until when a run that is otherwise over waits for callbacks about items in
    /// doubt.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        let patience = self.patience?;
        // Only who still polls has a use for a name.
        let last_sent = self.doubtful.values().max().filter(|_| self.wants(Step::Poll))?;
        Some(*last_sent + patience).filter(|ends| *ends > self.clock.instant())
    }
}

fn is_at_service(waiting: &&mut Waiting) -> bool {
    waiting.item.state == ItemState::Submitted
}
