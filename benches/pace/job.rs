//! Runs the real coordinator over one case, in virtual time.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use restore_batch::{
    clock::Clock,
    core::{Budget, CallbackAddresses, Failure, ItemState, RunEvent},
    ledger::{Ledger, MemoryLedger, NewRow},
    limit::LaneLimits,
    report::Reporter,
    run::{self, Intake, IntakePlan, Parts, RunSettings, Stops, Webhooks, recovery::Owed},
    stage::Stager,
    testing::{
        ledger_suite::samples::{header, row},
        samples,
    },
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    Result,
    case::{Calls, Case},
    service::{Downloads, Hook, Service},
};

/// Downloads are not what is measured.
const DOWNLOADS: LaneLimits = LaneLimits { per_second: 10_000.0, at_once: 100 };

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) wall: Duration,
    pub(crate) polls: usize,
    pub(crate) closest: Option<Duration>,
    /// When submits were accepted, and when they were refused.
    pub(crate) accepted: Vec<Duration>,
    pub(crate) refused: Vec<Duration>,
    pub(crate) refused_polls: usize,
}

/// Runs a case once.
pub(crate) fn run(case: &Case, seed: u64) -> Result<Figures> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let ledger = MemoryLedger::new();
        if case.before > 0 {
            let rows = 0..case.before;
            live(case, seed, &ledger, rows).await?;
        }
        live(case, seed, &ledger, case.before..case.before + case.images).await
    })
}

/// Brings `images` home, and nothing else that the ledger knows.
async fn live(
    case: &Case,
    seed: u64,
    ledger: &MemoryLedger,
    images: std::ops::Range<u32>,
) -> Result<Figures> {
    let count = images.len() as u64;
    let fence = ledger.begin_session().await?;
    let edition = ledger.begin_edition(fence, header()).await?;
    // Done already: the rows of an earlier run stay in the manifest.
    ledger.import(fence, edition, (0..images.end).map(photo).collect()).await?;
    ledger.finish_edition(fence, edition, "benchmark".to_owned()).await?;
    let (hook, webhooks) = calls(case, ledger).await?;
    let service = Arc::new(Service::new(case, seed, hook));
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let shared: Arc<dyn Ledger> = Arc::new(ledger.clone());
    let intake = IntakePlan::Unchanged { intake: Intake { rows: count, photos: count, bad: 0 } };
    let (intake, _reading) = run::start_intake(shared.clone(), fence, intake);
    let parts = Parts {
        ledger: shared,
        api: service.clone(),
        stager: Arc::new(NoStager),
        fetcher: Arc::new(Downloads),
        clock,
        fence,
        reporter: Box::new(Nobody),
        webhooks,
    };
    let (_stop, stops) = Stops::manual();
    let budget = Budget::new(ledger.totals().await?.money.committed(), None);
    let began = Instant::now();
    run::run(parts, rules(case), Owed::default(), budget, intake, stops).await?;
    let wall = began.elapsed();
    let done = ledger.totals().await?.count(ItemState::Done);
    if done != count {
        return Err(format!("{}: {done} of {count} are done", case.name).into());
    }
    let books = service.books();
    let interval = rules(case).cadence.interval;
    if let Some(closest) = books.closest.filter(|closest| *closest < interval) {
        return Err(format!("{}: two polls of a request {closest:?} apart", case.name).into());
    }
    if books.submits.accepted.len() as u64 != count {
        return Err(format!(
            "{}: {} of {count} were submitted",
            case.name,
            books.submits.accepted.len()
        )
        .into());
    }
    Ok(Figures {
        wall,
        polls: books.polls.accepted.len() + books.polls.refused.len(),
        closest: books.closest,
        accepted: books.submits.accepted.clone(),
        refused: books.submits.refused.clone(),
        refused_polls: books.polls.refused.len(),
    })
}

async fn calls(case: &Case, ledger: &MemoryLedger) -> Result<(Option<Hook>, Option<Webhooks>)> {
    if case.calls == Calls::None {
        return Ok((None, None));
    }
    let secret = ledger.job().await?.callback_secret;
    let (sender, callbacks) = mpsc::channel(256);
    let addresses = CallbackAddresses::new("https://me.example/hooks".parse()?, secret);
    let patience = Duration::from_mins(2);
    let webhooks = Webhooks { addresses, callbacks, patience };
    Ok((Some(Hook { callbacks: sender, secret }), Some(webhooks)))
}

fn rules(case: &Case) -> RunSettings {
    RunSettings {
        submit: LaneLimits { per_second: case.submits.at_first(), at_once: case.in_flight },
        poll: LaneLimits { per_second: case.polls.at_first(), at_once: 100 },
        fetch: DOWNLOADS,
        ..samples::rules()
    }
}

fn photo(index: u32) -> NewRow {
    row(i64::from(index) + 2, &index.to_string())
}

/// Every source is public already.
struct NoStager;

impl Stager for NoStager {
    fn stage<'a>(&'a self, source: &'a str) -> BoxFuture<'a, std::result::Result<String, Failure>> {
        Box::pin(async move { Ok(source.to_owned()) })
    }
}

struct Nobody;

impl Reporter for Nobody {
    fn observe(&mut self, _event: &RunEvent) {}
}
