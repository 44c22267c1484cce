//! One job in one world, run as often as it takes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::{
    Boundaries, Scenario,
    books::Books,
    client::{Asked, Client, Wrap, Wraps, wall_errors},
    dice::Dice,
    endings,
    fetcher::Disk,
    rows::Version,
    scenario::Stopping,
    scene::{Scene, Trace, Wall, WorldTime, lock},
    witness::Witness,
};
use crate::{
    api::RestoreApi,
    clock::Clock,
    core::{Item, ItemState, invariant::Violation},
    fetch::Fetcher,
    ledger::{Ledger, LedgerError, MemoryLedger, RowFilter},
    run::Outcome,
};

/// More lives than any scenario needs; reaching it means that no progress is made.
const MOST_LIVES: u32 = 50;

/// No life lasts longer: the deadline of a stuck request is an hour, and what is retried has
/// one again; but a service may ask for a pause of an hour again and again.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// How long the owner takes to come back to a job that ended early.
const OWNER_AWAY: Duration = Duration::from_mins(1);

/// Where the client hears the service call back.
const HOOK_ROOT: &str = "https://me.example/hooks";

/// When every world begins: 2026-01-01.
const BEGINNING: i64 = 1_767_225_600;

/// How one life of the client ended.
#[derive(Debug)]
pub enum Ending {
    /// By itself.
    Returned(Box<Outcome>),
    /// At the boundary where the world stopped.
    Crashed,
    /// The ledger could not be used.
    Broke(LedgerError),
    /// It did not.
    Endless,
}

/// A ledger, a service and a disk that outlive every life of the client.
///
/// Its invariants are checked after every life and when it is dropped, so that a test
/// cannot forget to: it panics with the scenario, the seed, the invariant and the trace.
#[derive(Debug)]
pub struct World {
    pub(super) seed: u64,
    pub(super) scenario: Scenario,
    pub(super) ledger: MemoryLedger,
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) witness: Arc<Mutex<Witness>>,
    pub(super) disk: Disk,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    trace: Trace,
    wraps: Wraps,
    root: Url,
    age: Duration,
    pub(super) lives: u32,
    pub(super) retrying: bool,
    /// The job is over: nothing may be left.
    pub(super) finished: bool,
    /// Someone has taken the verdict.
    judged: bool,
    broken: Option<Violation>,
    passed: u64,
    pub(super) stops: Vec<Option<u64>>,
}

impl World {
    /// Creates a world with nothing done yet.
    ///
    /// # Panics
    ///
    /// Never: the one address it parses is a constant.
    #[must_use]
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        Self {
            seed,
            scenario,
            ledger: MemoryLedger::new(),
            books: Arc::default(),
            witness: Arc::default(),
            disk: Arc::default(),
            asked: Arc::default(),
            trace: Trace::default(),
            wraps: Wraps::default(),
            root: Url::parse(HOOK_ROOT).expect("a constant address"),
            age: Duration::ZERO,
            lives: 0,
            retrying: false,
            finished: false,
            judged: false,
            broken: None,
            passed: 0,
            stops: Vec::new(),
        }
    }

    /// Puts something between the ledger and what it is kept in, where no witness looks.
    #[must_use]
    pub fn with_store(mut self, wrap: Wrap<dyn Ledger>) -> Self {
        self.wraps.store = Some(wrap);
        self
    }

    /// Puts something between the client and its ledger.
    #[must_use]
    pub fn with_ledger(mut self, wrap: Wrap<dyn Ledger>) -> Self {
        self.wraps.ledger = Some(wrap);
        self
    }

    /// Puts something between the client and the service.
    #[must_use]
    pub fn with_api(mut self, wrap: Wrap<dyn RestoreApi>) -> Self {
        self.wraps.api = Some(wrap);
        self
    }

    /// Puts something between the client and its downloads.
    #[must_use]
    pub fn with_fetcher(mut self, wrap: Wrap<dyn Fetcher>) -> Self {
        self.wraps.fetcher = Some(wrap);
        self
    }

    /// Returns how many boundaries the last life reached.
    #[must_use]
    pub fn boundaries(&self) -> u64 {
        self.passed
    }

    /// Returns what happened so far, one line each.
    #[must_use]
    pub fn trace(&self) -> String {
        self.trace.to_text()
    }

    /// Lives once: starts the client, which ends by itself or at boundary `stop_at`.
    ///
    /// # Errors
    ///
    /// An invariant that did not hold in this life.
    pub fn live(&mut self, stop_at: Option<u64>) -> Result<Ending, Violation> {
        self.lives += 1;
        self.stops.push(stop_at);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| Violation::new("life", error.to_string()))?;
        let boundaries = Boundaries::new(stop_at);
        let ending = runtime.block_on(async {
            let time = WorldTime::after(self.age);
            let ending = tokio::select! { biased;
                () = boundaries.stopped() => Ending::Crashed,
                () = tokio::time::sleep(LONGEST_LIFE) => Ending::Endless,
                ending = self.lived(time, boundaries.clone()) => ending,
            };
            self.age = time.now();
            ending
        });
        // Dropping the runtime drops every task where it stands, as a crash does.
        drop(runtime);
        self.passed = boundaries.count();
        self.trace.tell(self.age, self.lives, format_args!("ended: {}", endings::word(&ending)));
        let verdict = self.check_life(&ending, self.age);
        self.remember(verdict)?;
        Ok(ending)
    }

    /// Lives once, and panics with everything one needs to see why when something is wrong.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    pub fn must_live(&mut self, stop_at: Option<u64>) -> Ending {
        match self.live(stop_at) {
            Ok(ending) => ending,
            Err(violation) => self.complain(&violation),
        }
    }

    fn complain(&mut self, violation: &Violation) -> ! {
        self.broken.get_or_insert_with(|| violation.clone());
        panic!("{violation}, in {}", self.story());
    }

    async fn lived(&mut self, time: WorldTime, boundaries: Arc<Boundaries>) -> Ending {
        let first = self.client(self.lives, time, boundaries.clone());
        let outcome = if self.scenario.stops == Stopping::Takeover && self.lives == 1 {
            self.lives = 2;
            let second = self.client(2, time, boundaries);
            let after = second.scene.dice.between(super::dice::What::Stop, 0, 0, 20);
            let takeover = async {
                tokio::time::sleep(Duration::from_secs(after)).await;
                second.live().await
            };
            // The first one hears from the ledger that it is not wanted any more.
            let (_stale, outcome) = tokio::join!(first.live(), takeover);
            outcome
        } else {
            first.live().await
        };
        outcome.map_or_else(Ending::Broke, |outcome| Ending::Returned(Box::new(outcome)))
    }

    fn client(&self, life: u32, time: WorldTime, boundaries: Arc<Boundaries>) -> Client {
        let dice = Dice(self.seed);
        let (wrong, set_at, set_by) = if self.scenario.wall_jumps {
            wall_errors(dice, life)
        } else {
            (SignedDuration::ZERO, Duration::MAX, SignedDuration::ZERO)
        };
        let now = SignedDuration::from_millis(i64::try_from(self.age.as_millis()).unwrap_or(0));
        let wall = Timestamp::constant(BEGINNING, 0).saturating_add(now + wrong);
        let wall = Wall {
            clock: Clock::starting_at(wall.unwrap_or(Timestamp::UNIX_EPOCH)),
            set_at: self.age.saturating_add(set_at),
            set_by,
        };
        let scene = Scene {
            life,
            dice,
            faults: self.scenario.faults,
            time,
            wall,
            boundaries,
            books: self.books.clone(),
            trace: self.trace.clone(),
        };
        Client {
            scene,
            scenario: self.scenario.clone(),
            seed: self.seed,
            version: self.version(),
            retry: self.scenario.retry.filter(|_| self.retrying),
            ledger: self.ledger.clone(),
            witness: self.witness.clone(),
            disk: self.disk.clone(),
            asked: self.asked.clone(),
            wraps: self.wraps.clone(),
            root: self.root.clone(),
        }
    }

    /// Returns the manifest as the current life finds it.
    pub(super) fn version(&self) -> Version {
        match (self.scenario.edited, self.lives) {
            (false, _) => Version::Plain,
            (true, 0 | 1) => Version::First,
            (true, _) => Version::Second,
        }
    }

    /// Lives until the job is done; the owner refills the wallet and mends what a
    /// halted job asks for.
    ///
    /// # Errors
    ///
    /// An invariant that did not hold in one of the lives, or `life` when a life ended as
    /// none may, or the job never ends.
    pub fn finish(&mut self) -> Result<(), Violation> {
        while self.lives < MOST_LIVES {
            let ending = self.live(None)?;
            if self.is_over(&ending) {
                self.finished = true;
                return Ok(());
            }
            lock(&self.books).mended = true;
            self.age += OWNER_AWAY;
        }
        let evidence = format!("not done after {MOST_LIVES} lives");
        self.remember(Err(Violation::new("life", evidence)))
    }

    fn remember(&mut self, verdict: Result<(), Violation>) -> Result<(), Violation> {
        if let Err(violation) = &verdict {
            self.broken.get_or_insert_with(|| violation.clone());
        }
        verdict
    }

    /// Finishes the job and says what is wrong with the world, if anything; nothing is
    /// checked when it is dropped after that.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn verdict(&mut self) -> Result<(), Violation> {
        self.judged = true;
        match &self.broken {
            Some(violation) => Err(violation.clone()),
            None if self.finished => self.check_end(),
            None => self.finish().and_then(|()| self.check_end()),
        }
    }

    /// Returns what was wrong in the lives so far; nothing is checked when the world is
    /// dropped after that.
    pub fn broken(&mut self) -> Option<Violation> {
        self.judged = true;
        self.broken.clone()
    }

    /// Finishes the job, and panics with everything one needs to see why when something is
    /// wrong with the world.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    pub fn prove(&mut self) {
        if let Err(violation) = self.verdict() {
            self.complain(&violation);
        }
    }

    pub(super) fn items(&self) -> Vec<Item> {
        let rows = futures::executor::block_on(self.ledger.rows(RowFilter::All, -1, usize::MAX));
        rows.unwrap_or_default().into_iter().map(|row| row.item).collect()
    }

    /// Returns how many items of the manifest ended in `state`.
    #[must_use]
    pub fn count(&self, state: ItemState) -> usize {
        self.items().iter().filter(|item| item.state == state).count()
    }
}

impl Drop for World {
    #[expect(clippy::print_stderr, reason = "a test that fails for its own reason says where")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What is broken was told by `complain`.
            if self.broken.is_none() {
                eprintln!("{}", self.story());
            }
            return;
        }
        if self.judged {
            return;
        }
        let verdict = match self.broken.clone() {
            Some(violation) => Err(violation),
            None => self.check_end(),
        };
        if let Err(violation) = verdict {
            self.complain(&violation);
        }
    }
}
