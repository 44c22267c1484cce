use std::{sync::Mutex, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    api::{Known, StatusOutcome, SubmitOrder, SubmitOutcome},
    core::{Artifact, EventKind, Failure, FailureCode, ItemEvent, ItemState, Micros, RequestId},
    fetch::FetchError,
    ledger::MemoryLedger,
    limit::LaneLimits,
    run::{
        recovery::{recover, retry_failed},
        worker::LOAD,
    },
    testing::{
        ledger_suite::samples::{header, row},
        samples::{failure, rules},
        sim::{Boundaries, BoundaryLedger},
    },
};

mod calls;

/// Seconds of a picture that is accepted, and whose status can never be read.
const UNREADABLE: u64 = 17;

/// Answers submits after so many seconds, by number of the picture; the number 0 stands
/// for a picture that cannot be sent.
struct Service(Vec<u64>);

impl RestoreApi for Service {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        Box::pin(async move {
            let name = order.img.rsplit('/').next().and_then(|name| name.strip_suffix(".jpg"));
            let number: usize = name.unwrap().parse().unwrap();
            let seconds = self.0[number];
            sleep(Duration::from_secs(seconds)).await;
            if seconds == 0 {
                return SubmitOutcome::NotSent(failure(FailureCode::NotSent));
            }
            let mark = if seconds == UNREADABLE { 'x' } else { 'r' };
            let request_id = RequestId(format!("{mark}{number}"));
            SubmitOutcome::Accepted { request_id, polling_url: None }
        })
    }

    fn status<'a>(&'a self, known: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        let id = &known.request_id.0;
        assert!(id.len() < 4 || self.0.contains(&UNREADABLE), "a bug");
        let outcome = match id.chars().next() {
            _ if id.len() >= 4 => StatusOutcome::Unknown(failure(FailureCode::UnknownRequest)),
            Some('x') => StatusOutcome::Unavailable(failure(FailureCode::StatusUnavailable)),
            _ => StatusOutcome::Waiting { word: "QUEUED".into() },
        };
        Box::pin(async { outcome })
    }
}

/// Nothing is staged or fetched here.
struct Nobody;

impl Stager for Nobody {
    fn stage<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async { Err(failure(FailureCode::BadRow)) })
    }
}

impl Fetcher for Nobody {
    fn deliver<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Artifact, FetchError>> {
        Box::pin(async { Err(FetchError::Permanent(failure(FailureCode::MediaBlocked))) })
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Reporter for Heard {
    fn observe(&mut self, event: &RunEvent) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// Two requests at the service at once.
fn narrow() -> RunSettings {
    RunSettings { submit: LaneLimits { at_once: 2, ..rules().submit }, ..rules() }
}

/// A job of pictures that the service takes so many seconds each to accept.
struct Job {
    memory: MemoryLedger,
    fence: Fence,
    heard: Heard,
    clock: Clock,
}

impl Job {
    async fn new(pictures: i64) -> Self {
        let memory = MemoryLedger::new();
        let fence = memory.begin_session().await.unwrap();
        let edition = memory.begin_edition(fence, header()).await.unwrap();
        let rows = (0..pictures).map(|number| row(number + 2, &number.to_string())).collect();
        memory.import(fence, edition, rows).await.unwrap();
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        Self { memory, fence, heard: Heard::default(), clock }
    }

    fn ledger(&self) -> BoundaryLedger {
        BoundaryLedger::new(self.memory.clone(), Boundaries::new(None))
    }

    fn parts(&self, ledger: BoundaryLedger, seconds: &[u64]) -> Parts {
        Parts {
            ledger: Arc::new(ledger),
            api: Arc::new(Service(seconds.to_vec())),
            stager: Arc::new(Nobody),
            fetcher: Arc::new(Nobody),
            clock: self.clock,
            fence: self.fence,
            reporter: Box::new(self.heard.clone()),
            webhooks: None,
        }
    }

    /// Runs with two requests at the service at most; drains after so many seconds.
    async fn run(
        &self,
        ledger: BoundaryLedger,
        seconds: &[u64],
        drain_after: u64,
    ) -> Result<Outcome, RunError> {
        let now = self.clock.now();
        let owed = recover(&self.memory, self.fence, &narrow(), now).await.unwrap();
        self.run_with(owed, ledger, seconds, drain_after).await
    }

    async fn run_with(
        &self,
        owed: Owed,
        ledger: BoundaryLedger,
        seconds: &[u64],
        drain_after: u64,
    ) -> Result<Outcome, RunError> {
        let (notices, intake) = mpsc::channel(1);
        notices.send(IntakeNotice::Complete(Intake::default())).await.unwrap();
        let (sender, stops) = Stops::manual();
        let budget = Budget::new(Micros::ZERO, None);
        let parts = self.parts(ledger, seconds);
        let run = run(parts, narrow(), owed, budget, intake, stops);
        let drain = async {
            sleep(Duration::from_secs(drain_after)).await;
            // The run may be over by then.
            let _ = sender.send((StopLevel::Drain, 15)).await;
            std::future::pending::<()>().await;
        };
        let both = async {
            tokio::select! { biased;
                outcome = run => outcome,
                () = drain => unreachable!("it never ends"),
            }
        };
        timeout(Duration::from_hours(2), both).await.expect("the run ends")
    }

    async fn states(&self) -> Vec<ItemState> {
        let mut states = Vec::new();
        for id in 1..=2 {
            states.push(self.memory.item(ItemId(id)).await.unwrap().state);
        }
        states
    }

    fn heard(&self, word: &str) -> bool {
        self.heard.0.lock().unwrap().iter().any(|event| event.contains(word))
    }
}

#[tokio::test(start_paused = true)]
async fn a_paid_request_keeps_its_name_though_the_ledger_fails_for_a_moment() {
    let job = Job::new(2).await;
    let ledger = job.ledger().failing(ItemId(1), EventKind::Accepted, 3);
    let outcome = job.run(ledger, &[1, 1], 20).await.expect("the ledger recovers");
    assert_eq!(outcome.interrupted, Some(15));
    assert_eq!(job.states().await, [ItemState::Submitted; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_fails_ends_the_run_after_what_is_on_the_wire() {
    let job = Job::new(3).await;
    let ledger = job.ledger().failing(ItemId(1), EventKind::Accepted, u32::MAX);
    let error = job.run(ledger, &[1, 30, 1], 1_000).await.expect_err("the ledger failed");
    assert!(error.to_string().contains("simulated"), "{error}");
    assert_eq!(job.states().await, [ItemState::Submitting, ItemState::Submitted]);
    let third = job.memory.item(ItemId(3)).await.unwrap();
    assert_eq!(third.state, ItemState::Staged, "nothing more was started");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_probe_ends_the_run_after_what_is_on_the_wire() {
    let job = Job::new(2).await;
    let outcome = job.run(job.ledger(), &[0, 30], 1_000).await.unwrap();
    assert_eq!(outcome.panics, 1);
    assert_eq!(job.states().await, [ItemState::Staged, ItemState::Submitted]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_submit_as_long_as_its_answer_may_take() {
    let job = Job::new(2).await;
    job.run(job.ledger(), &[50, 55], 1).await.unwrap();
    assert_eq!(job.states().await, [ItemState::Submitted; 2]);
    assert!(!job.heard("Abandoning"));
}

#[tokio::test(start_paused = true)]
async fn people_are_told_of_steps_that_a_drain_gives_up() {
    let job = Job::new(2).await;
    job.run(job.ledger(), &[1, 500], 3).await.unwrap();
    assert_eq!(job.states().await, [ItemState::Submitted, ItemState::Submitting]);
    assert!(job.heard("Abandoning { steps: 1 }"));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_never_readable_ends_its_own_item() {
    let job = Job::new(2).await;
    let outcome = job.run(job.ledger(), &[1, UNREADABLE], 7_000).await.unwrap();
    assert_eq!((outcome.interrupted, outcome.halted), (None, None));
    assert_eq!(job.states().await, [ItemState::Failed; 2]);
    let failure = job.memory.item(ItemId(2)).await.unwrap().failure.unwrap();
    assert_eq!(failure.code, FailureCode::Deadline);
    assert!(failure.message.starts_with("no status after "), "{failure}");
}

/// What earlier runs have left is taken up page by page, whatever its number, and before
/// anything new is submitted.
#[tokio::test(start_paused = true)]
async fn more_is_owed_than_is_held_in_memory() {
    let (pages, new) = (3, 2);
    let items = i64::try_from(pages * LOAD).unwrap() + new;
    let job = Job::new(items).await;
    for id in 1..=items - new {
        let media = vec![format!("https://media.example.org/{id}.png")];
        let accepted = ItemEvent::Accepted { request_id: RequestId("r".into()), polling_url: None };
        let intent = ItemEvent::SubmitIntent { price: Micros::ZERO };
        for event in [intent, accepted, ItemEvent::Completed { media }] {
            job.memory.advance(job.fence, ItemId(id), event, job.clock.now()).await.unwrap();
        }
    }
    let owed = recover(&job.memory, job.fence, &narrow(), job.clock.now()).await.unwrap();
    assert_eq!((owed.items.len(), owed.more_after), (LOAD, Some(ItemId(256))));
    // Long names are unknown to this service, so that the new ones end too.
    let mut seconds = vec![1; usize::try_from(items).unwrap()];
    seconds[0] = UNREADABLE;
    let outcome = job.run_with(owed, job.ledger(), &seconds, 3_000).await.unwrap();
    assert_eq!(outcome.panics, 0);
    let totals = job.memory.totals().await.unwrap();
    assert_eq!(totals.count(ItemState::Failed), totals.all(), "none can be fetched");
    let heard = job.heard.0.lock().unwrap();
    let submitted = heard.iter().position(|event| event.starts_with("Submitted"));
    let last_page =
        heard.iter().position(|event| event.contains(&format!("id: ItemId({})", 2 * LOAD)));
    assert!(last_page < submitted, "{last_page:?} {submitted:?}");
}

/// A retry of more than a page writes few transactions and forgets none.
#[tokio::test]
async fn a_retry_takes_up_more_than_a_page() {
    let items = i64::try_from(2 * LOAD + 7).unwrap();
    let job = Job::new(items).await;
    for id in 1..=items {
        let rejected = ItemEvent::SourceRejected(failure(FailureCode::SourceUnreadable));
        job.memory.advance(job.fence, ItemId(id), rejected, job.clock.now()).await.unwrap();
    }
    let taken_up = retry_failed(&job.memory, job.fence, false, job.clock.now()).await.unwrap();
    let totals = job.memory.totals().await.unwrap();
    assert_eq!((taken_up, totals.count(ItemState::Failed)), (totals.all(), 0));
}

/// Signals can always come, so a run that waits for nothing else must notice.
#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_nothing_ends() {
    let job = Job::new(0).await;
    let (_notices, intake) = mpsc::channel(1);
    let (_sender, stops) = Stops::manual();
    let budget = Budget::new(Micros::ZERO, None);
    let parts = job.parts(job.ledger(), &[]);
    let mut coordinator = Coordinator::new(parts, Arc::new(rules()), budget, intake, stops);
    // A page before the manifest's end is read, and nobody tells of the end.
    coordinator.intake = None;
    timeout(Duration::from_hours(1), coordinator.work()).await.expect("no hang").unwrap();
    assert_eq!(coordinator.outcome().panics, 1);
}
