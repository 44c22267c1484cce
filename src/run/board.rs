//! Who may do what next: the synchronous heart of a run.
//!
//! The board holds the items in hand and decides; it neither awaits nor performs I/O,
//! so its tests need no runtime of their own. It is driven by the coordinator.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    breaker::Breaker,
    settings::RunSettings,
    step::{Action, Signal, Step, StepReport},
    supply::Supply,
};
use crate::{
    clock::{Clock, elapsed},
    core::{Budget, Endpoint, Failure, HaltCause, Item, ItemId, ItemState, Micros, RunEvent},
    limit::{Grant, Pacer},
};

/// Local pictures being staged at once.
const STAGING: usize = 4;

/// Ready items that may wait for their download before submitting pauses; at least the
/// number of requests in flight.
const READY_BACKLOG: usize = 64;

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
    /// Being worked on, with what the item had committed and may commit by this step.
    running: BTreeMap<ItemId, (Step, Micros)>,
    /// Items whose download is still to come.
    ready: usize,
    /// The output folder cannot be written: downloading is useless.
    output_broken: bool,
    pub(super) told: Vec<RunEvent>,
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
        let step = match item.state {
            ItemState::Pending => Step::Stage,
            ItemState::Staged => Step::Submit,
            ItemState::Submitted => Step::Poll,
            ItemState::Ready => Step::Fetch,
            _ => return,
        };
        if !self.wants(step) {
            return;
        }
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
        match item.state {
            ItemState::Submitted => self.lanes.poll.push_back(item),
            ItemState::Ready => self.lanes.fetch.push_back(item),
            ItemState::Staged => self.lanes.submit.push_back(item),
            _ => {}
        }
    }

    /// A step has ended.
    pub(super) fn ended(&mut self, report: StepReport, actions: &mut Vec<Action>) {
        let StepReport { step, item, signal, retrying } = report;
        let set_aside = self.running.remove(&item.id).map_or(Micros::ZERO, |(_, micros)| micros);
        self.budget.settle(set_aside, item.committed());
        self.give_back(step, item.state);
        self.hear(step, signal);
        self.tell(step, &item, retrying);
        self.place(item, actions);
    }

    /// A step has panicked. Its item stays in the ledger as it was and is left alone
    /// until the next run; the money set aside stays set aside.
    pub(super) fn panicked(&mut self, step: Step, id: ItemId) {
        self.running.remove(&id);
        match step {
            Step::Stage => {}
            Step::Submit => self.pacer.finished(Endpoint::Submit),
            Step::Poll => {
                self.pacer.finished(Endpoint::Poll);
                self.pacer.finished(Endpoint::Submit);
            }
            Step::Fetch => {
                self.pacer.finished(Endpoint::Fetch);
                self.ready -= 1;
            }
        }
    }

    /// A submit slot is held from the submit until the service is done.
    fn give_back(&mut self, step: Step, state: ItemState) {
        let at_service = state == ItemState::Submitted;
        match step {
            Step::Stage => {}
            Step::Submit if at_service => {}
            Step::Submit => self.pacer.finished(Endpoint::Submit),
            Step::Poll => {
                self.pacer.finished(Endpoint::Poll);
                if !at_service {
                    self.pacer.finished(Endpoint::Submit);
                }
                self.ready += usize::from(state == ItemState::Ready);
            }
            Step::Fetch => {
                self.pacer.finished(Endpoint::Fetch);
                if at_service {
                    self.pacer.adopt(Endpoint::Submit);
                }
                self.ready -= usize::from(state != ItemState::Ready);
            }
        }
    }

    /// Draws the conclusions for the whole job.
    fn hear(&mut self, step: Step, signal: Signal) {
        let now = self.clock.instant();
        let submit = step == Step::Submit;
        let over = match signal {
            Signal::None => None,
            Signal::Sane if submit => self.breaker.sane(now),
            Signal::Sane => {
                self.breaker.polled(Ok(()), now);
                None
            }
            Signal::Throttled { retry_after } => {
                let endpoint = if submit { Endpoint::Submit } else { Endpoint::Poll };
                let (pause, _) = self.pacer.throttled(endpoint, retry_after);
                self.told.push(RunEvent::GateClosed { endpoint, pause });
                if submit { self.breaker.sane(now) } else { None }
            }
            Signal::Down { failure, retry_after } if submit => {
                if self.breaker.down(failure.clone(), retry_after, now) {
                    self.told.push(RunEvent::Outage { failure });
                }
                None
            }
            Signal::Down { failure, .. } => {
                self.breaker.polled(Err(failure), now);
                None
            }
            Signal::Doubtful(failure) => {
                if self.breaker.doubtful(failure.clone(), now) {
                    self.told.push(RunEvent::Outage { failure });
                }
                None
            }
            Signal::Account(failure) => {
                self.halt(HaltCause::Account(failure), submit);
                None
            }
            Signal::Output(failure) => {
                self.output_broken = true;
                self.halt(HaltCause::Output(failure), false);
                self.lanes.fetch.clear();
                self.parked.clear();
                None
            }
        };
        if let Some(lasted) = over {
            self.told.push(RunEvent::OutageOver { lasted });
        }
    }

    fn tell(&mut self, step: Step, item: &Item, retrying: Option<Failure>) {
        match (&item.request, item.state) {
            (Some(request), ItemState::Submitted) if step == Step::Submit => {
                let request_id = request.id.clone();
                self.told.push(RunEvent::Submitted { item: item.id, request_id });
            }
            (_, state) if state.is_settled() => {
                self.told.push(RunEvent::Settled(Box::new(item.clone())));
            }
            _ => {}
        }
        if let Some(failure) = retrying {
            let after = item
                .not_before
                .map_or(self.rules.cadence.interval, |at| elapsed(self.clock.now(), at));
            self.told.push(RunEvent::WillRetry { item: item.id, code: failure.code, after });
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
        self.mode = match mem::replace(&mut self.mode, Mode::Draining) {
            Mode::Running | Mode::Draining => Mode::Draining,
            Mode::Halted { cause, .. } => Mode::Halted { cause, polling: false },
            Mode::ManifestBroken => Mode::ManifestBroken,
        };
        self.forget_unsubmitted();
        self.forget_unpolled();
        self.parked.clear();
        self.told.push(RunEvent::Draining { steps: self.running.len() });
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

    /// Starts everything that may start now. Returns when to look again if nothing
    /// else happens.
    pub(super) fn start(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        let mut wake = self.watch_outage(actions);
        let mut sooner = |at: Option<Instant>| wake = [wake, at].into_iter().flatten().min();
        sooner(self.start_paced(Step::Fetch, Endpoint::Fetch, actions));
        sooner(self.start_paced(Step::Poll, Endpoint::Poll, actions));
        if self.mode == Mode::Running {
            sooner(self.start_submits(actions));
            self.start_staging(actions);
            let hand = self.lanes.submit.len() + self.lanes.stage.len();
            actions.extend(self.supply.want(hand));
        }
        wake
    }

    fn start_paced(
        &mut self,
        step: Step,
        endpoint: Endpoint,
        actions: &mut Vec<Action>,
    ) -> Option<Instant> {
        while !self.lanes.of(step).is_empty() {
            match self.pacer.try_start(endpoint) {
                Grant::Go => self.launch(step, Micros::ZERO, actions),
                Grant::NotBefore(at) => return Some(at),
                Grant::Full => return None,
            }
        }
        None
    }

    fn start_submits(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        while !self.lanes.submit.is_empty() {
            let backlog = READY_BACKLOG.max(self.rules.submit.at_once);
            if !self.breaker.allows_submit(self.on_wire()) || self.ready >= backlog {
                return None;
            }
            if !self.budget.allows(self.rules.price) {
                self.spend_cap_reached();
                return None;
            }
            match self.pacer.try_start(Endpoint::Submit) {
                Grant::Go => {
                    self.budget.reserve(self.rules.price);
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
        let staging = self.running.values().filter(|(step, _)| *step == Step::Stage).count();
        // No more than the submit lane will soon use: a staged URL may not live long.
        let room = STAGING.saturating_sub(staging);
        for _ in 0..room.min(self.lanes.stage.len()) {
            if self.lanes.submit.len() < 2 * STAGING {
                self.launch(Step::Stage, Micros::ZERO, actions);
            }
        }
    }

    fn launch(&mut self, step: Step, may_commit: Micros, actions: &mut Vec<Action>) {
        let Some(item) = self.lanes.of(step).pop_front() else { return };
        self.running.insert(item.id, (step, item.committed() + may_commit));
        actions.push(Action::Start(step, Box::new(item)));
    }

    /// Probes when it is time, and halts when the outage has lasted too long.
    fn watch_outage(&mut self, actions: &mut Vec<Action>) -> Option<Instant> {
        let now = self.clock.instant();
        let wanted = self.mode == Mode::Running
            && !self.lanes.submit.is_empty()
            && self.budget.allows(self.rules.price);
        let mut patience_ends = None;
        if let Some((since, failure)) =
            self.breaker.outage(wanted).filter(|_| self.wants(Step::Poll))
        {
            let ends = since + self.rules.outage_limit;
            if ends <= now {
                let (lasted, failure) = (now.duration_since(since), failure.clone());
                self.halt(HaltCause::Outage { lasted, failure }, false);
                return None;
            }
            patience_ends = Some(ends);
        }
        let probe_at = self.breaker.probe_at().filter(|_| wanted);
        if probe_at.is_some_and(|at| at <= now) {
            self.breaker.probing();
            actions.push(Action::Probe);
            return patience_ends;
        }
        [probe_at, patience_ends].into_iter().flatten().min()
    }

    /// Submits whose answer is still to come.
    fn on_wire(&self) -> usize {
        self.running.values().filter(|(step, _)| *step == Step::Submit).count()
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
