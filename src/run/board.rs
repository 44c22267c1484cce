//! Who may do what next: the synchronous heart of a run.
//!
//! The board holds the items in hand and decides; it neither awaits nor performs I/O,
//! so its tests need no runtime of their own. It is driven by the coordinator.
//!
//! This file takes items in and knows when a run is over; [`starts`] decides what may
//! start, [`ends`] what follows from a step that has ended, [`calls`] what follows from
//! a callback of the service and from items in doubt, [`polls`] when a request is polled,
//! [`owed`] takes up what earlier runs have left at the service, [`pauses`] carries the
//! pauses that the service asks for from run to run.

mod calls;
mod ends;
mod last_polls;
mod overdue;
mod owed;
mod pauses;
mod poll_line;
mod polls;
mod starts;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use calls::EarlyCall;
use pauses::PauseBook;
use polls::{Asked, Polls};
pub use starts::most_unfetched;

use super::{
    breaker::Breaker,
    settings::RunSettings,
    step::{Action, Step},
    supply::Supply,
};
use crate::{
    clock::Clock,
    core::{Budget, Edition, Endpoint, HaltCause, Item, ItemId, ItemState, Micros, Pace, RunEvent},
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
    /// The edition of the manifest that counts; `None` when there is only one.
    pub(super) edition: Option<Edition>,
    lanes: Lanes,
    polls: Polls,
    /// Waiting for a time; their state says for what.
    parked: BTreeMap<ItemId, Waiting>,
    running: BTreeMap<ItemId, Running>,
    /// Attempts in doubt whose request is being named, or that are being taken up again,
    /// with what is set aside once more for those that the service has denied.
    resolving: BTreeMap<(ItemId, u32), Micros>,
    /// Items that fell in doubt in this run and still are, with when they were sent. They
    /// are few, because of the breaker; only kept where callbacks are waited for.
    doubtful: BTreeMap<ItemId, Instant>,
    /// How long to wait for callbacks about those; `None` when the service is not asked
    /// to call back.
    patience: Option<Duration>,
    /// Items past their deadline whose status cannot be read, with when it last could not.
    overdue: BTreeMap<ItemId, Instant>,
    /// A probe is wanted that says whether others are answered.
    asks: bool,
    /// Items whose download is still to come.
    ready: usize,
    /// The output folder or the ledger cannot be written: downloading is useless.
    output_broken: bool,
    pauses: PauseBook,
    pub(super) told: Vec<RunEvent>,
}

/// A step being worked on.
#[derive(Debug)]
struct Running {
    step: Step,
    /// What the item had committed and may commit by this step.
    set_aside: Micros,
    since: Instant,
    /// What was known of the request's polls before this one.
    asked: Asked,
    /// Which submit of the item this is, if it is one; else the last.
    attempt: u32,
    /// The service has called back before it has answered.
    called: Option<EarlyCall>,
}

/// An item that waits for a time.
#[derive(Debug)]
struct Waiting {
    item: Item,
    asked: Asked,
}

/// Items that may take their next step, first come, first served. Polls have a line of
/// their own.
#[derive(Debug, Default)]
struct Lanes {
    stage: VecDeque<Item>,
    submit: VecDeque<Item>,
    fetch: VecDeque<Item>,
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
    /// With `patience`, the service is asked to call back, and polls are only for safety.
    pub(super) fn new(
        rules: Arc<RunSettings>,
        clock: Clock,
        budget: Budget,
        patience: Option<Duration>,
    ) -> Self {
        let pacer = Pacer::new(rules.submit, rules.poll, rules.fetch, clock);
        let outage_limit = rules.outage_limit;
        Self {
            rules,
            clock,
            pacer,
            budget,
            breaker: Breaker::new(outage_limit),
            supply: Supply::default(),
            mode: Mode::Running,
            edition: None,
            lanes: Lanes::default(),
            polls: Polls::default(),
            parked: BTreeMap::new(),
            running: BTreeMap::new(),
            resolving: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            patience,
            overdue: BTreeMap::new(),
            asks: false,
            ready: 0,
            output_broken: false,
            pauses: PauseBook::default(),
            told: Vec::new(),
        }
    }

    /// Takes in items that the ledger offers.
    pub(super) fn loaded(&mut self, items: Vec<Item>, complete: bool, actions: &mut Vec<Action>) {
        let owed = self.supply.owes();
        self.supply.loaded(&items, complete, super::worker::LOAD);
        if self.mode != Mode::Running && !owed {
            return;
        }
        let now = self.clock.instant();
        let in_hand = self.in_hand();
        for item in items.into_iter().filter(|item| !in_hand.contains(&item.id)) {
            if owed {
                self.take_up(item, actions);
                continue;
            }
            // A URL made by an earlier run may have died with it.
            if item.staged_url.is_some() {
                self.lanes.stage.push_back(item);
            } else {
                self.place(item, Asked::never(now), actions);
            }
        }
    }

    /// Returns the items that are in memory already: an earlier run left them at the
    /// service, or a callback named them, and now they are to be submitted (again).
    fn in_hand(&self) -> BTreeSet<ItemId> {
        let Lanes { stage, submit, fetch } = &self.lanes;
        let lanes = [stage, submit, fetch].into_iter().flatten().map(|item| item.id);
        let resolving = self.resolving.keys().map(|(id, _)| *id);
        let waiting = self.parked.keys().chain(self.running.keys()).copied();
        lanes.chain(self.polls.line.ids()).chain(resolving).chain(waiting).collect()
    }

    /// Puts an item where its state says, or parks it until its time.
    fn place(&mut self, item: Item, asked: Asked, actions: &mut Vec<Action>) {
        let wanted = |step: &Step| self.wants(*step) && (item.state.is_owed() || self.names(&item));
        let Some(step) = step_for(item.state).filter(wanted) else { return };
        // A stored time may come from a clock that was wrong.
        let longest = match step {
            Step::Poll => self.rules.no_media.max_delay,
            Step::Stage | Step::Submit => self.rules.error_retry.max_delay,
            // A host may have asked for it.
            Step::Fetch => self.rules.outage_limit.max(self.rules.fetch_retry.max_delay),
        };
        let not_before = item.not_before.map(|at| self.clock.instant_of(at, longest));
        let soonest = not_before.map_or(asked.soonest, |at| at.max(asked.soonest));
        let asked = Asked { soonest, ..asked };
        let waits_until = match step {
            Step::Poll => Some(self.next_poll(&item, asked)),
            _ => not_before,
        };
        self.wait(step, item, asked, waits_until, actions);
    }

    /// Parks an item until a time that is still to come, or lets it take its next step.
    fn wait(
        &mut self,
        step: Step,
        item: Item,
        asked: Asked,
        until: Option<Instant>,
        actions: &mut Vec<Action>,
    ) {
        match until.filter(|at| *at > self.clock.instant()) {
            Some(_) if self.mode == Mode::Draining => {}
            Some(at) => {
                actions.push(Action::Park(item.id, at));
                self.parked.insert(item.id, Waiting { item, asked });
            }
            None => self.enter(step, item, asked),
        }
    }

    /// An item may take its next step.
    fn enter(&mut self, step: Step, item: Item, asked: Asked) {
        match step {
            Step::Stage => self.lanes.stage.push_back(item),
            Step::Submit => self.lanes.submit.push_back(item),
            Step::Poll => self.stand_in_line(item, asked),
            Step::Fetch => self.lanes.fetch.push_back(item),
        }
    }

    /// Returns true when the manifest has the item. One of an older edition is finished
    /// where it is paid for, and never submitted again.
    fn names(&self, item: &Item) -> bool {
        self.edition.is_none_or(|edition| edition == item.edition)
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

    /// An item's time has come. When it is to be polled is decided anew, by what has been
    /// learned in the meantime.
    pub(super) fn due(&mut self, id: ItemId, actions: &mut Vec<Action>) {
        let Some(Waiting { item, asked }) = self.parked.remove(&id) else { return };
        match step_for(item.state) {
            Some(Step::Poll) if !asked.called => {
                let at = self.next_poll(&item, asked);
                self.wait(Step::Poll, item, asked, Some(at), actions);
            }
            Some(step) => self.enter(step, item, asked),
            None => {}
        }
    }

    /// Stops submitting for good. The first cause is the one people hear.
    pub(super) fn halt(&mut self, cause: HaltCause, polling: bool) {
        match &mut self.mode {
            // What has broken off the manifest is told at the end of the run all the same.
            Mode::Running | Mode::ManifestBroken => {
                self.told.push(RunEvent::Halted(cause.clone()));
                self.mode = Mode::Halted { cause: Box::new(cause), polling };
            }
            Mode::Halted { polling: old, .. } => *old &= polling,
            Mode::Draining => {}
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
        let unsubmitted = |state| matches!(state, ItemState::Pending | ItemState::Staged);
        self.parked.retain(|_, waiting| !unsubmitted(waiting.item.state));
    }

    fn forget_unpolled(&mut self) {
        self.polls.line.clear();
        self.parked.retain(|_, waiting| waiting.item.state == ItemState::Ready);
    }

    /// Returns what the pace of an endpoint has come to.
    pub(super) fn pace(&mut self, endpoint: Endpoint) -> Pace {
        self.pacer.pace(endpoint)
    }

    /// Returns how many steps are running.
    pub(super) fn steps(&self) -> usize {
        self.running.len()
    }

    /// Returns true when nothing is left to do in this run, nor to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.has_nothing_to_do() && self.patience_ends().is_none()
    }

    fn has_nothing_to_do(&self) -> bool {
        let steps = self.running.is_empty() && self.resolving.is_empty() && self.pauses_are_kept();
        let nothing_owed =
            self.polls.line.is_empty() && self.parked.is_empty() && !self.takes_owed();
        steps
            && self.lanes.fetch.is_empty()
            && nothing_owed
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
