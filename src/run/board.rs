//! Who may do what next: the synchronous heart of a run.
//!
//! The board holds the items in hand and decides; it neither awaits nor performs I/O,
//! so its tests need no runtime of their own. It is driven by the coordinator.
//!
//! This file takes items in and knows when a run is over; [`starts`] decides what may
//! start, [`ends`] what follows from a step that has ended.

mod ends;
mod starts;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    breaker::Breaker,
    settings::RunSettings,
    step::{Action, Step},
    supply::Supply,
};
use crate::{
    clock::{Clock, elapsed},
    core::{Budget, Endpoint, HaltCause, Item, ItemId, ItemState, Micros, Pace, RunEvent},
    limit::Pacer,
};

/// How far the run is from its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    /// Everything flows.
    Running,
    /// No submits; what is paid for is finished, unless polling is useless too.
    Halted { cause: Box<HaltCause>, polling: bool },
    /// The manifest broke off; what is paid for is finished.
    ManifestBroken,
    /// Someone wants us to stop: nothing new, running steps end.
    Draining,
}

/// The items in hand and the rules that apply to them.
pub(super) struct Board {
    rules: Arc<RunSettings>,
    clock: Clock,
    pacer: Pacer,
    budget: Budget,
    pub(super) breaker: Breaker,
    pub(super) supply: Supply,
    pub(super) mode: Mode,
    lanes: Lanes,
    /// Waiting for a time; their state says for what.
    parked: BTreeMap<ItemId, Item>,
    running: BTreeMap<ItemId, Running>,
    /// Items whose download is still to come.
    ready: usize,
    /// The output folder or the ledger cannot be written: downloading is useless.
    output_broken: bool,
    pub(super) told: Vec<RunEvent>,
}

/// A step being worked on.
#[derive(Debug)]
struct Running {
    step: Step,
    /// What the item had committed and may commit by this step.
    set_aside: Micros,
    since: Instant,
}

#[derive(Debug, Default)]
struct Lanes {
    stage: VecDeque<Item>,
    submit: VecDeque<Item>,
    poll: VecDeque<Item>,
    fetch: VecDeque<Item>,
}

impl Lanes {
    fn of(&mut self, step: Step) -> &mut VecDeque<Item> {
        match step {
            Step::Stage => &mut self.stage,
            Step::Submit => &mut self.submit,
            Step::Poll => &mut self.poll,
            Step::Fetch => &mut self.fetch,
        }
    }
}

/// Returns what comes next in a state; nothing in one that is settled.
fn step_for(state: ItemState) -> Option<Step> {
    match state {
        ItemState::Pending => Some(Step::Stage),
        ItemState::Staged => Some(Step::Submit),
        ItemState::Submitted => Some(Step::Poll),
        ItemState::Ready => Some(Step::Fetch),
        _ => None,
    }
}

impl Board {
    pub(super) fn new(rules: Arc<RunSettings>, clock: Clock, budget: Budget) -> Self {
        let pacer = Pacer::new(rules.submit, rules.poll, rules.fetch, clock);
        Self {
            rules,
            clock,
            pacer,
            budget,
            breaker: Breaker::new(),
            supply: Supply::default(),
            mode: Mode::Running,
            lanes: Lanes::default(),
            parked: BTreeMap::new(),
            running: BTreeMap::new(),
            ready: 0,
            output_broken: false,
            told: Vec::new(),
        }
    }

    /// Takes in an item that an earlier run left at the service.
    pub(super) fn adopt(&mut self, item: Item, actions: &mut Vec<Action>) {
        if item.state == ItemState::Submitted {
            self.pacer.adopt(Endpoint::Submit);
        }
        if item.state == ItemState::Ready {
            self.ready += 1;
        }
        self.place(item, actions);
    }

    /// Takes in items that the ledger offers.
    pub(super) fn loaded(&mut self, items: Vec<Item>, complete: bool, actions: &mut Vec<Action>) {
        self.supply.loaded(&items, complete, super::worker::LOAD);
        if self.mode != Mode::Running {
            return;
        }
        for item in items {
            // A URL made by an earlier run may have died with it.
            if item.staged_url.is_some() {
                self.lanes.stage.push_back(item);
            } else {
                self.place(item, actions);
            }
        }
    }

    /// Puts an item where its state says, or parks it until its time.
    fn place(&mut self, item: Item, actions: &mut Vec<Action>) {
        let Some(step) = step_for(item.state).filter(|step| self.wants(*step)) else { return };
        let waits_until = match item.state {
            ItemState::Submitted => Some(self.next_poll(&item)),
            _ => item.not_before.map(|at| self.clock.instant_of(at, self.rules.deadline)),
        };
        match waits_until.filter(|at| *at > self.clock.instant()) {
            Some(_) if self.mode == Mode::Draining => {}
            Some(at) => {
                actions.push(Action::Park(item.id, at));
                self.parked.insert(item.id, item);
            }
            None => self.lanes.of(step).push_back(item),
        }
    }

    /// Returns true when steps of this kind are still started.
    fn wants(&self, step: Step) -> bool {
        match step {
            Step::Stage | Step::Submit => self.mode == Mode::Running,
            Step::Poll => {
                !matches!(self.mode, Mode::Halted { polling: false, .. } | Mode::Draining)
            }
            Step::Fetch => !self.output_broken,
        }
    }

    /// Never sooner than the cadence says, nor than the item's own back-off.
    fn next_poll(&self, item: &Item) -> Instant {
        let now = self.clock.now();
        let age = item.submitted_at.map_or(self.rules.deadline, |at| elapsed(at, now));
        let by_cadence = self.clock.instant() + self.rules.cadence.next_poll(age);
        let by_item = item.not_before.map(|at| self.clock.instant_of(at, self.rules.deadline));
        by_item.map_or(by_cadence, |at| at.max(by_cadence))
    }

    /// An item's time has come.
    pub(super) fn due(&mut self, id: ItemId) {
        let Some(item) = self.parked.remove(&id) else { return };
        if let Some(step) = step_for(item.state) {
            self.lanes.of(step).push_back(item);
        }
    }

    /// Stops submitting for good. The first cause is the one people hear.
    pub(super) fn halt(&mut self, cause: HaltCause, polling: bool) {
        match &mut self.mode {
            Mode::Running => {
                self.told.push(RunEvent::Halted(cause.clone()));
                self.mode = Mode::Halted { cause: Box::new(cause), polling };
            }
            Mode::Halted { polling: old, .. } => *old &= polling,
            Mode::ManifestBroken | Mode::Draining => {}
        }
        self.forget_unsubmitted();
        if !polling {
            self.forget_unpolled();
        }
    }

    /// The manifest cannot be read to its end.
    pub(super) fn manifest_broke(&mut self) {
        if self.mode == Mode::Running {
            self.mode = Mode::ManifestBroken;
        }
        self.forget_unsubmitted();
    }

    /// Starts nothing new; what the service has finished is still fetched.
    pub(super) fn drain(&mut self) {
        self.start_no_more();
        self.told.push(RunEvent::Draining { steps: self.running.len() });
    }

    /// The ledger or the program failed: starts nothing at all, downloads included.
    pub(super) fn freeze(&mut self) {
        self.start_no_more();
        self.stop_downloads();
    }

    fn stop_downloads(&mut self) {
        self.output_broken = true;
        self.lanes.fetch.clear();
        self.parked.clear();
    }

    fn start_no_more(&mut self) {
        self.mode = match mem::replace(&mut self.mode, Mode::Draining) {
            Mode::Running | Mode::ManifestBroken | Mode::Draining => Mode::Draining,
            Mode::Halted { cause, .. } => Mode::Halted { cause, polling: false },
        };
        self.forget_unsubmitted();
        self.forget_unpolled();
        self.parked.clear();
    }

    /// Items not submitted stay in the ledger and need no place in memory.
    fn forget_unsubmitted(&mut self) {
        self.lanes.stage.clear();
        self.lanes.submit.clear();
        self.parked.retain(|_, item| !matches!(item.state, ItemState::Pending | ItemState::Staged));
    }

    fn forget_unpolled(&mut self) {
        self.lanes.poll.clear();
        self.parked.retain(|_, item| item.state == ItemState::Ready);
    }

    /// Returns what the pace of an endpoint has come to.
    pub(super) fn pace(&mut self, endpoint: Endpoint) -> Pace {
        self.pacer.pace(endpoint)
    }

    /// Returns how many steps are running.
    pub(super) fn steps(&self) -> usize {
        self.running.len()
    }

    /// Returns true when nothing is left to do in this run.
    pub(super) fn is_over(&self) -> bool {
        let idle = self.running.is_empty() && self.lanes.fetch.is_empty();
        let nothing_owed = self.lanes.poll.is_empty() && self.parked.is_empty();
        idle && nothing_owed
            && match self.mode {
                Mode::Running => {
                    self.supply.is_exhausted()
                        && self.lanes.submit.is_empty()
                        && self.lanes.stage.is_empty()
                }
                Mode::Halted { .. } | Mode::ManifestBroken | Mode::Draining => true,
            }
    }
}

#[cfg(test)]
mod tests;
