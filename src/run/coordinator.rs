//! The event loop: turns all sources into one event, lets the board decide, acts.

use std::sync::Arc;

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    board::{Board, Mode},
    intake::{Intake, IntakeError, IntakeNotice},
    outcome::{Outcome, RunError},
    poller::Poller,
    recovery::Owed,
    settings::RunSettings,
    shutdown::{StopLevel, Stops},
    step::{Action, Finished, Step},
    webhooks::Webhooks,
    worker::Workers,
};
use crate::{
    api::RestoreApi,
    clock::Clock,
    core::{Budget, Callback, Endpoint, Fence, ItemId, RunEvent},
    fetch::Fetcher,
    ledger::{Ledger, LedgerError},
    report::Reporter,
    stage::Stager,
};

/// Settlements of earlier runs that say how long the service takes.
const RECALLED: usize = 256;

/// Everything a run works with.
pub struct Parts {
    /// Durable memory of the job.
    pub ledger: Arc<dyn Ledger>,
    /// The service.
    pub api: Arc<dyn RestoreApi>,
    /// Makes local sources public.
    pub stager: Arc<dyn Stager>,
    /// Brings artifacts home.
    pub fetcher: Arc<dyn Fetcher>,
    /// Time.
    pub clock: Clock,
    /// The right to write to the ledger.
    pub fence: Fence,
    /// Hears what happens.
    pub reporter: Box<dyn Reporter>,
    /// How the service calls back; `None` when it is not asked to.
    pub webhooks: Option<Webhooks>,
}

#[derive(Debug)]
enum Event {
    Stop(StopLevel, i32),
    Finished(Result<Finished, JoinError>),
    Called(Callback),
    Intake(Option<IntakeNotice>),
    Due(ItemId),
    Wake,
    /// Nothing can ever happen again.
    Stuck,
}

/// Moves items until nothing is left, the job halts, or someone stops it.
///
/// `owed` is what [`recover`](super::recovery::recover) returned, `intake`
/// tells of rows that reach the ledger, `budget` starts from what the ledger knows.
///
/// # Errors
///
/// When the ledger cannot be used any more.
pub async fn run(
    parts: Parts,
    rules: RunSettings,
    owed: Owed,
    budget: Budget,
    intake: mpsc::Receiver<IntakeNotice>,
    stops: Stops,
) -> Result<Outcome, RunError> {
    let job = parts.ledger.job().await?;
    let times = parts.ledger.recent_times(RECALLED).await?;
    let mut coordinator = Coordinator::new(parts, Arc::new(rules), budget, intake, stops);
    coordinator.board.edition = job.begun;
    coordinator.board.recall(times);
    for item in owed.items {
        coordinator.board.adopt(item, &mut coordinator.actions);
    }
    if let Some(item) = owed.more_after {
        coordinator.board.supply.owes_after(item);
    }
    coordinator.board.resume_pauses(job.paused);
    coordinator.work().await?;
    Ok(coordinator.outcome())
}

struct Coordinator {
    board: Board,
    workers: Arc<Workers>,
    tasks: JoinSet<Finished>,
    poller: Poller,
    actions: Vec<Action>,
    intake: Option<mpsc::Receiver<IntakeNotice>>,
    callbacks: Option<mpsc::Receiver<Callback>>,
    stops: Stops,
    reporter: Box<dyn Reporter>,
    outcome: Outcome,
    rules: Arc<RunSettings>,
    drain_ends: Option<Instant>,
    /// Why the ledger cannot go on.
    failed: Option<LedgerError>,
}

impl Coordinator {
    fn new(
        parts: Parts,
        rules: Arc<RunSettings>,
        budget: Budget,
        intake: mpsc::Receiver<IntakeNotice>,
        stops: Stops,
    ) -> Self {
        let Parts { ledger, api, stager, fetcher, clock, fence, reporter, webhooks } = parts;
        let patience = webhooks.as_ref().map(|webhooks| webhooks.patience);
        let (addresses, callbacks) =
            webhooks.map(|webhooks| (webhooks.addresses, webhooks.callbacks)).unzip();
        let workers = Workers {
            ledger,
            api,
            stager,
            fetcher,
            clock,
            fence,
            rules: rules.clone(),
            callbacks: addresses,
        };
        Self {
            board: Board::new(rules.clone(), clock, budget, patience),
            workers: Arc::new(workers),
            tasks: JoinSet::new(),
            poller: Poller::default(),
            actions: Vec::new(),
            intake: Some(intake),
            callbacks,
            stops,
            reporter,
            outcome: Outcome::default(),
            rules,
            drain_ends: None,
            failed: None,
        }
    }

    async fn work(&mut self) -> Result<(), RunError> {
        loop {
            let wake = self.board.start(&mut self.actions);
            self.act();
            self.report();
            if self.board.is_over() {
                break;
            }
            let event = self.next_event(wake).await;
            if self.handle(event) || self.handle_ended() {
                break;
            }
        }
        self.failed.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits for whatever happens first. The order of the branches is fixed, so that a
    /// simulated run is repeatable.
    async fn next_event(&mut self, wake: Option<Instant>) -> Event {
        let wake = [wake, self.drain_ends].into_iter().flatten().min();
        let hears_calls = self.callbacks.is_some() && self.board.hears_calls();
        let Self { stops, tasks, callbacks, intake, poller, .. } = self;
        let waits = !poller.is_empty();
        // Stops can always come, so the select below would wait for them for ever.
        if tasks.is_empty() && intake.is_none() && !waits && wake.is_none() {
            return Event::Stuck;
        }
        tokio::select! { biased;
            Some((level, signal)) = stops.next() => Event::Stop(level, signal),
            Some(done) = tasks.join_next() => Event::Finished(done),
            Some(callback) = next_of(callbacks), if hears_calls => Event::Called(callback),
            notice = next_of(intake), if intake.is_some() => Event::Intake(notice),
            Some(item) = poller.due(), if waits => Event::Due(item),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Event::Wake,
            else => Event::Stuck,
        }
    }

    /// Handles what else has ended: the ledger answers many steps together, and what may
    /// start then is decided once for all of them. Returns true when the run should end.
    fn handle_ended(&mut self) -> bool {
        // Not for ever: on other threads steps go on ending meanwhile.
        let most = self.tasks.len();
        let ended = std::iter::from_fn(|| self.tasks.try_join_next());
        let ended: Vec<_> = ended.take(most).collect();
        ended.into_iter().any(|done| self.handle(Event::Finished(done)))
    }

    /// Returns true when the run should end at once.
    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Stop(level, signal) => return self.stop(level, signal),
            Event::Finished(Ok(finished)) => self.finished(finished),
            // Steps catch their own panics; what remains is a panic while reading.
            Event::Finished(Err(error)) => {
                tracing::error!(%error, "a task ended unexpectedly");
                self.outcome.panics += 1;
                self.wind_down();
            }
            Event::Called(callback) => self.board.called(callback, &mut self.actions),
            Event::Intake(notice) => self.heard_from_intake(notice),
            Event::Due(item) => self.board.due(item, &mut self.actions),
            Event::Wake => {}
            // A bug, and better an end than a hang.
            Event::Stuck => {
                tracing::error!("the run waits for nothing");
                self.outcome.panics += 1;
                return true;
            }
        }
        let gives_up = self.drain_ends.is_some_and(|ends| ends <= Instant::now());
        if gives_up {
            self.abandon();
        }
        gives_up
    }

    fn stop(&mut self, level: StopLevel, signal: i32) -> bool {
        self.outcome.interrupted.get_or_insert(signal);
        if level == StopLevel::Stop {
            self.abandon();
            return true;
        }
        self.board.drain();
        self.limit_drain();
        false
    }

    fn abandon(&mut self) {
        self.reporter.observe(&RunEvent::Abandoning { steps: self.board.steps() });
    }

    /// Starts nothing more, and lets what is on the wire end: an answer that is not heard
    /// would leave a submit in doubt.
    fn wind_down(&mut self) {
        self.board.freeze();
        self.limit_drain();
    }

    /// From now on only running steps are waited for, and not for ever.
    fn limit_drain(&mut self) {
        self.intake = None;
        let grace = match self.board.oldest_submit() {
            Some(_) => self.rules.grace.max(self.rules.request_timeout),
            None => self.rules.grace,
        };
        self.drain_ends.get_or_insert_with(|| Instant::now() + grace);
    }

    fn ledger_failed(&mut self, error: LedgerError, step: Option<(Step, ItemId)>) {
        tracing::error!(%error, ?step, "the ledger failed; waiting for what is on the wire");
        if let Some((step, item)) = step {
            self.board.lost(step, item);
        }
        self.failed.get_or_insert(error);
        self.wind_down();
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Step(report) => self.board.ended(*report, &mut self.actions),
            Finished::Panicked { step, item } => {
                tracing::error!(item.id = %item, ?step, "a step failed unexpectedly; the item is left for the next run");
                self.outcome.panics += 1;
                self.board.lost(step, item);
            }
            Finished::Ledger { error, step } => self.ledger_failed(error, step),
            Finished::Loaded { items, complete } => {
                self.board.loaded(items, complete, &mut self.actions);
            }
            Finished::Resolved { id, attempt, change } => {
                let change = change.map(|(item, before)| (*item, before));
                self.board.resolved(id, attempt, change, &mut self.actions);
            }
            Finished::Unresolved { id, attempt, error } => {
                self.board.resolved(id, attempt, None, &mut self.actions);
                self.ledger_failed(error, None);
            }
            Finished::Probed(signal) => self.board.probed(signal),
            Finished::PauseKept(kept) => {
                self.board.pause_kept();
                if let Err(error) = kept {
                    self.ledger_failed(error, None);
                }
            }
        }
    }

    fn heard_from_intake(&mut self, notice: Option<IntakeNotice>) {
        let (Intake { photos, bad, .. }, complete) = match notice {
            Some(IntakeNotice::Rows(intake)) => (intake, false),
            Some(IntakeNotice::Complete(intake)) => (intake, true),
            Some(IntakeNotice::Failed(error)) => return self.intake_failed(error),
            None => return self.intake_failed(IntakeError::Stopped),
        };
        if complete {
            self.intake = None;
        }
        self.board.supply.rows_arrived(complete);
        self.reporter.observe(&RunEvent::Imported { photos, bad, complete });
    }

    fn intake_failed(&mut self, error: IntakeError) {
        self.intake = None;
        self.outcome.manifest = Some(error);
        self.board.manifest_broke();
    }

    fn act(&mut self) {
        for action in self.actions.drain(..) {
            let workers = self.workers.clone();
            match action {
                Action::Start(step, item) => {
                    self.tasks.spawn(workers.run(step, *item));
                }
                Action::Load { owed, after, complete } => {
                    self.tasks.spawn(workers.load(owed, after, complete));
                }
                Action::Probe => {
                    self.tasks.spawn(workers.probe());
                }
                Action::Name { item, attempt, request_id, denied } => {
                    self.tasks.spawn(workers.name(item, attempt, request_id, denied));
                }
                Action::Resubmit { item, attempt } => {
                    self.tasks.spawn(workers.resubmit(item, attempt));
                }
                Action::GiveUp { item, failure } => {
                    self.tasks.spawn(workers.give_up(*item, failure));
                }
                Action::KeepPause { endpoint, until } => {
                    self.tasks.spawn(workers.keep_pause(endpoint, until));
                }
                Action::Park(item, at) => self.poller.park(item, at),
            }
        }
    }

    fn report(&mut self) {
        for event in self.board.told.drain(..) {
            self.reporter.observe(&event);
        }
        if !matches!(self.board.mode, Mode::Running) {
            self.intake = None;
        }
    }

    fn outcome(mut self) -> Outcome {
        let (submit, poll) = (self.board.pace(Endpoint::Submit), self.board.pace(Endpoint::Poll));
        let halted = match self.board.mode {
            Mode::Halted { cause, .. } => Some(*cause),
            _ => None,
        };
        Outcome { halted, submit, poll, ..self.outcome }
    }
}

async fn next_of<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    channel.as_mut()?.recv().await
}

#[cfg(test)]
mod tests;
