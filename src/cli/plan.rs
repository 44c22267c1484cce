//! `restore-batch plan MANIFEST`: what a run would do and cost.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    args::PlanArgs,
    context::Context,
    error::AppError,
    exit::ExitCode,
    job::{Job, manifest_dir},
    render,
    run::public_bases,
};
use crate::{
    config::Settings,
    core::{FailureCode, InDoubtPolicy, Item, ItemId, ItemState, MOST_DOUBTFUL_SUBMITS},
    ledger::{Ledger, LedgerResult, SqliteLedger},
    manifest::{Manifest, ReadOptions},
    run::{self, Intake, IntakeNotice, IntakePlan},
};

/// Items read from the ledger at once.
const PAGE: usize = 256;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Plan {
    rows: u64,
    duplicates: u64,
    bad_rows: u64,
    local_files: u64,
    to_submit: u64,
    cost_usd: String,
    seconds_at_least: f64,
    bound_by: &'static str,
    earlier_runs: Option<Earlier>,
}

/// What earlier runs of the same job have come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Earlier {
    done: u64,
    in_flight: u64,
    failed: u64,
    charged_usd: String,
}

/// What importing the manifest has shown.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counted {
    rows: u64,
    photos: u64,
    bad_rows: u64,
    /// Why one of them is bad.
    bad_row: Option<String>,
    /// Photos to be submitted that have no public URL yet.
    local_files: u64,
    /// All photos to be submitted.
    to_submit: u64,
}

/// Counts a manifest by importing it into a copy of the job's ledger that is thrown
/// away: the same rules as a run, with what earlier runs have done, and memory that
/// does not depend on the manifest.
pub(super) async fn plan(args: PlanArgs) -> Result<ExitCode, AppError> {
    let typed = args.job;
    let dir = manifest_dir(&typed.manifest)?;
    let context = Context::load(typed.settings, typed.local, Some(&dir))?;
    let settings = &context.settings;
    let job = Job::locate(&typed.manifest, settings)?;
    let reachable = typed.local || !public_bases(settings, &job)?.is_empty();
    let options = ReadOptions::new(&job.base_dir, settings.scale, &settings.model_version);
    let manifest = Manifest::open(&job.input, options)?;
    let unusable = |source| AppError::JobFolder { path: std::env::temp_dir(), source };
    let scratch = tempfile::tempdir().map_err(unusable)?;
    let path = scratch.path().join("ledger.db");
    let earlier = copy_earlier(&job, &path).await?;
    let ledger = Arc::new(SqliteLedger::open(&path).await?);
    let again = Again { local: typed.local, in_doubt: settings.in_doubt };
    let counted = count(ledger.clone(), manifest, &job, again).await?;
    if let Ok(ledger) = Arc::try_unwrap(ledger) {
        ledger.close().await;
    }
    let plan = estimate(&counted, reachable, earlier, settings);
    if typed.json {
        render::json(&plan);
    } else {
        render::result(&describe(&plan, reachable, counted.bad_row.as_deref(), settings));
    }
    Ok(ExitCode::Done)
}

/// Copies the job's ledger to `path`, if there is one, and says what it holds.
async fn copy_earlier(job: &Job, path: &Path) -> Result<Option<Earlier>, AppError> {
    if !job.has_ledger() {
        return Ok(None);
    }
    let ledger = job.look_at_ledger().await?;
    let totals = ledger.totals().await?;
    ledger.copy_to(path).await?;
    ledger.close().await;
    let count = |state| totals.count(state);
    Ok(Some(Earlier {
        done: count(ItemState::Done) + count(ItemState::Skipped),
        in_flight: count(ItemState::Submitting)
            + count(ItemState::Submitted)
            + count(ItemState::Ready),
        failed: count(ItemState::Failed) + count(ItemState::InDoubt),
        charged_usd: totals.money.charged.to_string(),
    }))
}

async fn count(
    ledger: Arc<dyn Ledger>,
    manifest: Manifest,
    job: &Job,
    again: Again,
) -> Result<Counted, AppError> {
    let fence = ledger.begin_session().await?;
    let header = run::header_of(&manifest, job.base_dir.display().to_string());
    let edition = ledger.begin_edition(fence, header).await?;
    let plan = IntakePlan::Read { manifest: Box::new(manifest), edition, defaults: String::new() };
    let (mut notices, reading) = run::start_intake(ledger.clone(), fence, plan);
    let mut intake = Intake::default();
    while let Some(notice) = notices.recv().await {
        match notice {
            IntakeNotice::Rows(read) | IntakeNotice::Complete(read) => intake = read,
            IntakeNotice::Failed(error) => return Err(error.into()),
        }
    }
    // It has said all it had to say.
    let _ = reading.await;
    let totals = ledger.totals().await?;
    let local_files = totals.count(ItemState::Pending);
    let waiting = local_files + totals.count(ItemState::Staged);
    let bad_row = if intake.bad == 0 { None } else { a_bad_row(ledger.as_ref()).await? };
    Ok(Counted {
        rows: intake.rows,
        photos: intake.photos,
        bad_rows: intake.bad,
        bad_row,
        local_files,
        to_submit: waiting + again.count(ledger.as_ref()).await?,
    })
}

/// Returns why the first bad row is bad.
async fn a_bad_row(ledger: &dyn Ledger) -> LedgerResult<Option<String>> {
    let mut after = ItemId(0);
    loop {
        let page = ledger.open_items(vec![ItemState::Failed], after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        after = last.id;
        let failures = page.into_iter().filter_map(|item| item.failure);
        if let Some(bad) = failures.into_iter().find(|failure| failure.code == FailureCode::BadRow)
        {
            return Ok(Some(bad.message));
        }
    }
}

/// Which photos a run submits again although an earlier one has submitted them: what
/// [`recover`](run::recovery::recover) will make of them.
#[derive(Debug, Clone, Copy)]
struct Again {
    /// The service that knew the requests is gone.
    local: bool,
    in_doubt: InDoubtPolicy,
}

impl Again {
    /// Counts them among those that the manifest, just imported, names.
    async fn count(self, ledger: &dyn Ledger) -> LedgerResult<u64> {
        let named = ledger.job().await?.finished.map(|(edition, _)| edition);
        let states =
            [ItemState::Submitting, ItemState::Submitted, ItemState::Ready, ItemState::InDoubt];
        let (mut count, mut after) = (0, ItemId(0));
        loop {
            let page = ledger.open_items(states.to_vec(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = last.id;
            let named = page.iter().filter(|item| Some(item.edition) == named);
            count += named.filter(|item| self.submits(item)).count() as u64;
        }
    }

    fn submits(self, item: &Item) -> bool {
        let doubtful = matches!(item.state, ItemState::Submitting | ItemState::InDoubt);
        let resubmits =
            self.in_doubt == InDoubtPolicy::Resubmit && item.attempts() < MOST_DOUBTFUL_SUBMITS;
        self.local || (doubtful && resubmits)
    }
}

fn estimate(
    counted: &Counted,
    reachable: bool,
    earlier: Option<Earlier>,
    settings: &Settings,
) -> Plan {
    let unreachable = if reachable { 0 } else { counted.local_files };
    let to_submit = counted.to_submit.saturating_sub(unreachable);
    let (time, bound_by) = shortest_time(to_submit, settings);
    Plan {
        rows: counted.rows,
        duplicates: counted.rows.saturating_sub(counted.photos),
        bad_rows: counted.bad_rows,
        local_files: counted.local_files,
        to_submit,
        cost_usd: settings.price.times(to_submit).to_string(),
        seconds_at_least: time.as_secs_f64(),
        bound_by,
        earlier_runs: earlier,
    }
}

/// The slowest of the three rates bounds the time from below; each item needs one
/// submit, at least one poll and one download, and the last one its poll interval.
fn shortest_time(items: u64, settings: &Settings) -> (Duration, &'static str) {
    if items == 0 {
        return (Duration::ZERO, "nothing");
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let at = |rate: f64| items as f64 / rate;
    let bounds = [
        (at(settings.submit_rate), "submit_rate"),
        (at(settings.poll_rate), "poll_rate"),
        (at(settings.download_rate), "download_rate"),
    ];
    let slowest = bounds.into_iter().max_by(|one, other| one.0.total_cmp(&other.0));
    let (seconds, name) = slowest.unwrap_or((0.0, "nothing"));
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    (time.saturating_add(settings.poll_interval), name)
}

fn describe(plan: &Plan, reachable: bool, bad_row: Option<&str>, settings: &Settings) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("rows", plan.rows.to_string());
    if plan.duplicates > 0 {
        line("duplicates", format!("{} (each photo is paid for once)", plan.duplicates));
    }
    if plan.bad_rows > 0 {
        let first = bad_row.map(|why| format!(", such as {why}")).unwrap_or_default();
        line("bad rows", format!("{}{first}", plan.bad_rows));
    }
    if plan.local_files > 0 && !reachable {
        line(
            "local files",
            format!("{} will fail: use --local or --public-base FOLDER=URL", plan.local_files),
        );
    }
    if let Some(earlier) = &plan.earlier_runs {
        line(
            "earlier runs",
            format!(
                "{} done, {} in flight, {} failed, {} USD charged",
                earlier.done, earlier.in_flight, earlier.failed, earlier.charged_usd
            ),
        );
    }
    if plan.to_submit == 0 {
        line("to submit", "nothing".to_owned());
        return text;
    }
    line("to submit", plan.to_submit.to_string());
    line("cost", format!("{} USD at {} USD each", plan.cost_usd, settings.price));
    line("time", time_text(plan));
    if let Some(cap) = settings.max_spend.filter(|cap| settings.price.times(plan.to_submit) > *cap)
    {
        line("spend cap", format!("{cap} USD will stop the job before its end"));
    }
    text
}

fn time_text(plan: &Plan) -> String {
    let time = Duration::try_from_secs_f64(plan.seconds_at_least).unwrap_or_default();
    let shown = jiff::SignedDuration::try_from(time).unwrap_or_default();
    let whole = jiff::SignedDuration::from_secs(shown.as_secs());
    format!("at least {whole:#}, bound by {}; the service's own time comes on top", plan.bound_by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::RawConfig,
        core::ItemEvent,
        ledger::MemoryLedger,
        testing::ledger_suite::samples::{accepted, intent, lost, rows, start},
    };

    fn settings() -> Settings {
        Settings::new(&RawConfig::load(false, None, None, [], vec![]).unwrap()).unwrap()
    }

    #[test]
    fn the_slowest_rate_bounds_the_time() {
        let (time, bound_by) = shortest_time(1_000, &settings());
        assert_eq!((time.as_secs(), bound_by), (205, "submit_rate"));
        assert_eq!(shortest_time(0, &settings()).0, Duration::ZERO);
    }

    #[test]
    fn local_files_without_a_way_to_the_service_cost_nothing() {
        let counted = Counted {
            rows: 12,
            photos: 10,
            bad_rows: 1,
            local_files: 4,
            to_submit: 9,
            ..Counted::default()
        };
        let plan = estimate(&counted, true, None, &settings());
        assert_eq!((plan.to_submit, plan.duplicates, plan.bad_rows), (9, 2, 1));
        assert_eq!(plan.cost_usd, "0.0279");
        assert_eq!(estimate(&counted, false, None, &settings()).to_submit, 5);
    }

    #[tokio::test]
    async fn what_a_restart_sends_again_is_counted() {
        let ledger = MemoryLedger::new();
        let names = ["submitting", "submitted", "in-doubt", "twice", "gone", "staged"];
        let mut job = start(&ledger, rows(&names)).await.unwrap();
        job.advance(1, intent()).await.unwrap();
        job.advance_all(2, vec![intent(), accepted("r")]).await.unwrap();
        job.advance_all(3, vec![intent(), lost()]).await.unwrap();
        for _ in 1..MOST_DOUBTFUL_SUBMITS {
            job.advance_all(4, vec![intent(), lost(), ItemEvent::Resubmit]).await.unwrap();
        }
        job.advance_all(4, vec![intent(), lost()]).await.unwrap();
        job.advance(5, intent()).await.unwrap();
        job.read(rows(&["submitting", "submitted", "in-doubt", "twice", "staged"])).await.unwrap();
        let counted = async |local, in_doubt| Again { local, in_doubt }.count(&ledger).await;
        assert_eq!(counted(false, InDoubtPolicy::Hold).await, Ok(0));
        assert_eq!(counted(false, InDoubtPolicy::Resubmit).await, Ok(2));
        assert_eq!(counted(true, InDoubtPolicy::Resubmit).await, Ok(4));
    }
}
