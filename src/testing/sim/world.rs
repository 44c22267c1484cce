//! One job in one world, run as often as it takes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Boundaries, BoundaryLedger, FakeFetcher, FakeService, Faults,
    fetcher::Disk,
    service::{Books, REQUEST_TIMEOUT, lock},
};
use crate::{
    clock::Clock,
    core::{
        Budget, Cadence, Edition, Failure, Fence, HaltCause, InDoubtPolicy, Item, ItemKey,
        ItemState, Micros, RetryPolicy, RunEvent,
    },
    ledger::{EditionHeader, Ledger, MemoryLedger, NewItem, NewRow, RowFilter},
    limit::LaneLimits,
    report::Reporter,
    run::{
        self, Intake, IntakePlan, Outcome, Parts, RunSettings, StopLevel, Stops,
        recovery::{recover, retry_failed},
        start_intake,
    },
    stage::Stager,
};

/// Submits per second in every world.
pub(super) const SUBMIT_RATE: f64 = 5.0;

/// Shortest time between two polls of one item.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// More lives than any scenario needs; reaching it means that no progress is made.
const MOST_LIVES: u32 = 50;

/// What a world is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name for messages.
    pub name: &'static str,
    /// Pictures in the manifest.
    pub items: u32,
    /// What goes wrong.
    pub faults: Faults,
    /// Policy for lost answers.
    pub in_doubt: InDoubtPolicy,
    /// Most requests at the service.
    pub in_flight: usize,
    /// Spend cap in requests.
    pub cap: Option<u64>,
    /// When all is done, `retry` takes up what has failed.
    pub retry: bool,
    /// Someone asks the first life to stop after this many seconds.
    pub drain_after: Option<u64>,
}

/// How one life of the client ended.
#[derive(Debug)]
pub enum Ending {
    /// By itself.
    Returned(Box<Outcome>),
    /// At the boundary where the world stopped.
    Crashed,
}

/// A ledger, a service and a disk that outlive every life of the client.
#[derive(Debug)]
pub struct World {
    seed: u64,
    pub(super) scenario: Scenario,
    ledger: MemoryLedger,
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) disk: Disk,
    pub(super) began: Timestamp,
    now: Timestamp,
    lives: u32,
    retrying: bool,
    /// Everything reported, for the trace of a failure.
    trace: Arc<Mutex<Vec<String>>>,
    passed: u64,
}

impl World {
    /// Creates a world with nothing done yet.
    #[must_use]
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        Self {
            seed,
            scenario,
            ledger: MemoryLedger::new(),
            books: Arc::default(),
            disk: Arc::default(),
            began: Timestamp::UNIX_EPOCH,
            now: Timestamp::UNIX_EPOCH,
            lives: 0,
            retrying: false,
            trace: Arc::default(),
            passed: 0,
        }
    }

    /// Returns how many boundaries the last life reached.
    #[must_use]
    pub fn boundaries(&self) -> u64 {
        self.passed
    }

    /// Returns what was reported so far, one event a line.
    #[must_use]
    pub fn trace(&self) -> String {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Lives once: starts the client, which ends by itself or at boundary `stop_at`.
    ///
    /// # Errors
    ///
    /// What the ledger said, or a pace invariant that did not hold in this life.
    pub fn live(&mut self, stop_at: Option<u64>) -> Result<Ending, String> {
        self.lives += 1;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        let boundaries = Boundaries::new(stop_at);
        let ending = runtime.block_on(async {
            let clock = Clock::starting_at(self.now);
            let ending = tokio::select! { biased;
                () = boundaries.stopped() => Ok(Ending::Crashed),
                outcome = self.client(clock, boundaries.clone()) => {
                    outcome.map(|outcome| Ending::Returned(Box::new(outcome)))
                }
            };
            self.now = clock.now();
            ending
        });
        // Dropping the runtime drops every task where it stands, as a crash does.
        drop(runtime);
        self.passed = boundaries.count();
        self.check_pace().map_err(|violation| violation.to_string())?;
        ending
    }

    /// Lives until the job is done; the owner refills the wallet and mends what a
    /// halted job asks for.
    ///
    /// # Errors
    ///
    /// When a life ends badly, or the job never ends.
    pub fn finish(&mut self) -> Result<(), String> {
        while self.lives < MOST_LIVES {
            let Ending::Returned(outcome) = self.live(None)? else {
                return Err("stopped without a boundary".to_owned());
            };
            if outcome.panics > 0 || outcome.manifest.is_some() {
                return Err(format!("{outcome:?}"));
            }
            if outcome.halted.is_none() && outcome.interrupted.is_none() {
                if self.retrying || !self.scenario.retry {
                    return Ok(());
                }
                self.retrying = true;
            }
            if matches!(outcome.halted, Some(HaltCause::SpendCap { .. })) {
                return Ok(());
            }
            lock(&self.books).fill_wallet();
        }
        Err(format!("not done after {MOST_LIVES} lives"))
    }

    async fn client(&self, clock: Clock, boundaries: Arc<Boundaries>) -> Result<Outcome, String> {
        let told = |error: crate::ledger::LedgerError| error.to_string();
        let ledger = Arc::new(BoundaryLedger::new(self.ledger.clone(), boundaries.clone()));
        let fence = ledger.begin_session().await.map_err(told)?;
        let rows = u64::from(self.import(ledger.as_ref(), fence).await?);
        let rules = self.rules();
        if self.retrying {
            retry_failed(ledger.as_ref(), fence, false, clock.now()).await.map_err(told)?;
        }
        let owed = recover(ledger.as_ref(), fence, &rules, clock.now()).await.map_err(told)?;
        let money = ledger.totals().await.map_err(told)?.money;
        let budget = Budget::new(money.committed(), rules.max_spend);
        let service = FakeService::new(
            self.seed,
            self.scenario.faults,
            self.began,
            self.books.clone(),
            clock,
            boundaries.clone(),
        );
        let fetcher = FakeFetcher::new(
            self.seed ^ u64::from(self.lives),
            self.scenario.faults,
            self.disk.clone(),
            self.began,
            clock,
            boundaries,
        );
        let parts = Parts {
            ledger: ledger.clone(),
            api: Arc::new(service),
            stager: Arc::new(NoStager),
            fetcher: Arc::new(fetcher),
            clock,
            fence,
            reporter: Box::new(Trace(self.trace.clone())),
            webhooks: None,
        };
        let (intake, reading) = start_intake(
            ledger,
            fence,
            IntakePlan::Unchanged { intake: Intake { rows, photos: rows, bad: 0 } },
        );
        let stops = self.stops();
        let outcome = run::run(parts, rules, owed, budget, intake, stops).await;
        reading.await.map_err(|error| error.to_string())?;
        outcome.map_err(|error| error.to_string())
    }

    /// Imports the manifest unless an earlier life has done so to the end.
    async fn import(&self, ledger: &dyn Ledger, fence: Fence) -> Result<u32, String> {
        let told = |error: crate::ledger::LedgerError| error.to_string();
        if ledger.job().await.map_err(told)?.finished.is_some() {
            return Ok(self.scenario.items);
        }
        let header = EditionHeader {
            columns: vec!["img".to_owned()],
            source_column: 0,
            base_dir: "/".to_owned(),
        };
        let edition: Edition = ledger.begin_edition(fence, header).await.map_err(told)?;
        let rows: Vec<NewRow> = (0..self.scenario.items).map(row).collect();
        for batch in rows.chunks(7) {
            ledger.import(fence, edition, batch.to_vec()).await.map_err(told)?;
        }
        ledger.finish_edition(fence, edition, "hash".to_owned()).await.map_err(told)?;
        Ok(self.scenario.items)
    }

    fn rules(&self) -> RunSettings {
        let lane = |per_second, at_once| LaneLimits { per_second, at_once };
        let policy = |tries, first| RetryPolicy {
            tries,
            first_delay: Duration::from_secs(first),
            max_delay: Duration::from_mins(1),
        };
        RunSettings {
            submit: lane(SUBMIT_RATE, self.scenario.in_flight),
            poll: lane(20.0, 10),
            fetch: lane(20.0, 4),
            cadence: Cadence { interval: POLL_INTERVAL, max_interval: Duration::from_secs(30) },
            deadline: Duration::from_hours(1),
            unknown_grace: Duration::from_mins(1),
            price: PRICE,
            max_spend: self.scenario.cap.map(|requests| PRICE.times(requests)),
            in_doubt: self.scenario.in_doubt,
            fetch_retry: policy(8, 1),
            error_retry: policy(4, 10),
            no_media: policy(5, 5),
            most_refreshes: 5,
            outage_limit: Duration::from_mins(30),
            grace: Duration::from_secs(30),
            request_timeout: REQUEST_TIMEOUT,
            volatile_service: false,
            seed: self.seed,
        }
    }

    fn stops(&self) -> Stops {
        let (sender, stops) = Stops::manual();
        if let (1, Some(seconds)) = (self.lives, self.scenario.drain_after) {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                // The run may be over by then.
                let _ = sender.send((StopLevel::Drain, 15)).await;
            });
        }
        stops
    }

    pub(super) fn items(&self) -> Vec<Item> {
        let rows = futures::executor::block_on(self.ledger.rows(RowFilter::All, -1, usize::MAX));
        rows.unwrap_or_default().into_iter().map(|row| row.item).collect()
    }

    /// Returns how many items ended in `state`.
    #[must_use]
    pub fn count(&self, state: ItemState) -> usize {
        self.items().iter().filter(|item| item.state == state).count()
    }
}

/// The service's price.
pub(super) const PRICE: Micros = Micros(3_100);

fn row(number: u32) -> NewRow {
    let source = format!("https://example.org/{number}.jpg");
    NewRow {
        line: i64::from(number) + 2,
        cells: vec![source.clone()],
        item: NewItem {
            key: ItemKey::of("item", &[&source]),
            source,
            scale: 2,
            version: "v1.4".to_owned(),
            stem: "photo".to_owned(),
            state: Ok(ItemState::Staged),
        },
    }
}

/// Every source of a world is public already.
struct NoStager;

impl Stager for NoStager {
    fn stage<'a>(
        &'a self,
        source: &'a str,
    ) -> futures::future::BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async move { Ok(source.to_owned()) })
    }
}

struct Trace(Arc<Mutex<Vec<String>>>);

impl Reporter for Trace {
    fn observe(&mut self, event: &RunEvent) {
        let line = match event {
            RunEvent::Settled(item) => {
                format!("settled {} {} {:?}", item.id, item.state, item.failure)
            }
            event => format!("{event:?}"),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
