//! `restore-batch plan MANIFEST`: what a run would do and cost.

use std::{fmt::Write as _, sync::Arc, time::Duration};

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
    core::{ItemId, ItemState},
    ledger::{Ledger, SqliteLedger, Totals},
    manifest::{Manifest, ReadOptions},
    run::{self, IntakeNotice, IntakePlan},
};

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

/// Counts a manifest by importing it into a ledger that is thrown away: the same rules
/// as a run, and memory that does not depend on the manifest.
pub(super) async fn plan(args: PlanArgs) -> Result<ExitCode, AppError> {
    let typed = args.job;
    let dir = manifest_dir(&typed.manifest)?;
    let context = Context::load(typed.settings, typed.local, Some(&dir))?;
    let settings = &context.settings;
    let job = Job::locate(&typed.manifest, settings)?;
    let reachable = typed.local || !public_bases(settings, &job)?.is_empty();
    let options = ReadOptions::new(&job.base_dir, settings.scale, &settings.model_version);
    let manifest = Manifest::open(&job.input, options)?;
    let (totals, local_files, bad_row) = count(manifest, &job).await?;
    let earlier = earlier(&job).await?;
    let unreachable = if reachable { 0 } else { local_files };
    let plan = estimate(&totals, local_files, unreachable, earlier, settings);
    let text = if typed.json {
        serde_json::to_string_pretty(&plan).map(|text| text + "\n").unwrap_or_default()
    } else {
        describe(&plan, reachable, bad_row.as_deref(), settings)
    };
    render::result(&text);
    Ok(ExitCode::Done)
}

async fn count(manifest: Manifest, job: &Job) -> Result<(Totals, u64, Option<String>), AppError> {
    let failed = |source| AppError::JobFolder { path: std::env::temp_dir(), source };
    let scratch = tempfile::tempdir().map_err(failed)?;
    let ledger = Arc::new(SqliteLedger::open(&scratch.path().join("ledger.db")).await?);
    let fence = ledger.begin_session().await?;
    let header = run::header_of(&manifest, job.base_dir.display().to_string());
    let edition = ledger.begin_edition(fence, header).await?;
    let plan = IntakePlan::Read { manifest: Box::new(manifest), edition, defaults: String::new() };
    let (mut notices, reading) = run::start_intake(ledger.clone(), fence, plan);
    while let Some(notice) = notices.recv().await {
        if let IntakeNotice::Failed(error) = notice {
            return Err(error.into());
        }
    }
    // It has said all it had to say.
    let _ = reading.await;
    let totals = ledger.totals().await?;
    let failed = ledger.open_items(vec![ItemState::Failed], ItemId(0), 1).await?;
    let bad_row = failed.into_iter().next().and_then(|item| item.failure);
    let local = totals.count(ItemState::Pending);
    if let Ok(ledger) = Arc::try_unwrap(ledger) {
        ledger.close().await;
    }
    Ok((totals, local, bad_row.map(|failure| failure.message)))
}

async fn earlier(job: &Job) -> Result<Option<Earlier>, AppError> {
    if !job.has_ledger() {
        return Ok(None);
    }
    let totals = job.look_at_ledger().await?.totals().await?;
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

fn estimate(
    totals: &Totals,
    local_files: u64,
    unreachable: u64,
    earlier: Option<Earlier>,
    settings: &Settings,
) -> Plan {
    let bad_rows = totals.count(ItemState::Failed);
    let settled = earlier.as_ref().map_or(0, |jobs| jobs.done + jobs.in_flight);
    let items = totals.all() - bad_rows - unreachable;
    let to_submit = items.saturating_sub(settled);
    let (time, bound_by) = shortest_time(to_submit, settings);
    Plan {
        rows: totals.rows,
        duplicates: totals.rows.saturating_sub(totals.all()),
        bad_rows,
        local_files,
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
    let all_done = plan.earlier_runs.as_ref().is_some_and(|runs| runs.done >= plan.local_files);
    if plan.local_files > 0 && !reachable && !all_done {
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
    use crate::{config::RawConfig, core::Micros};

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
    fn what_is_done_is_not_counted_again() {
        let mut totals = Totals { rows: 12, ..Totals::default() };
        totals.items[ItemState::Staged as usize] = 9;
        totals.items[ItemState::Failed as usize] = 1;
        let earlier =
            Earlier { done: 3, in_flight: 1, failed: 0, charged_usd: Micros(9_300).to_string() };
        let plan = estimate(&totals, 0, 0, Some(earlier), &settings());
        assert_eq!((plan.to_submit, plan.duplicates, plan.bad_rows), (5, 2, 1));
        assert_eq!(plan.cost_usd, "0.0155");
    }
}
