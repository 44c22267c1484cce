//! What earlier runs have left at the service.
//!
//! As many as may be there at once are taken up when a run begins. Where there are more, as
//! after a retry of many, the others stay in the ledger until there is room: they come before
//! anything that is not submitted yet.

use super::{
    super::step::{Action, Step},
    Board, Mode,
    polls::Asked,
    step_for,
};
use crate::core::{Endpoint, Item, ItemState};

impl Board {
    /// Takes in an item that an earlier run left at the service, or in doubt.
    pub(in crate::run) fn adopt(&mut self, item: Item, actions: &mut Vec<Action>) {
        if item.state == ItemState::Submitted {
            self.pacer.adopt(Endpoint::Submit);
        }
        if item.state == ItemState::Ready {
            self.ready += 1;
        }
        if item.state == ItemState::InDoubt && self.patience.is_some() {
            self.doubtful.insert(item.id, self.clock.instant());
        }
        // Nobody knows when the earlier run has polled it.
        let soonest = self.clock.instant() + self.rules.cadence.interval;
        self.place(item, Asked::never(soonest), actions);
    }

    /// Returns the wish to read more of what earlier runs have left at the service, when as
    /// much of it is in hand as may be there at once.
    pub(super) fn want_owed(&mut self) -> Option<Action> {
        let at_service =
            if self.wants(Step::Poll) { self.pacer.in_use(Endpoint::Submit) } else { 0 };
        let room = self.rules.submit.at_once.saturating_sub(at_service + self.ready);
        if room > 0 && self.takes_owed() { self.supply.want_owed() } else { None }
    }

    /// Returns true while the ledger has more of that, and it is of use.
    pub(super) fn takes_owed(&self) -> bool {
        let of_use = self.wants(Step::Poll) || self.wants(Step::Fetch);
        self.supply.owes() && self.mode != Mode::Draining && of_use
    }

    /// Takes up one that was read, if its next step is still started.
    pub(super) fn take_up(&mut self, item: Item, actions: &mut Vec<Action>) {
        if step_for(item.state).is_some_and(|step| self.wants(step)) {
            self.adopt(item, actions);
        }
    }
}
