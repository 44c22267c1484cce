//! `restore-batch status MANIFEST`: looks, and changes nothing.

use super::{
    args::StatusArgs,
    context::Context,
    error::AppError,
    exit::ExitCode,
    job::{Job, manifest_dir},
    render,
    service::LOCAL_SERVICE,
    summary::summarise,
};
use crate::{
    core::{ItemState, Micros},
    ledger::Ledger as _,
    report::Ending,
};

/// Shows how far a job is. Works while a run is going on.
pub(super) async fn status(args: StatusArgs) -> Result<ExitCode, AppError> {
    let typed = args.job;
    let dir = manifest_dir(&typed.manifest)?;
    let context = Context::load(typed.settings, typed.local, Some(&dir))?;
    let job = Job::locate(&typed.manifest, &context.settings)?;
    let ledger = job.look_at_ledger().await?;
    let totals = ledger.totals().await?;
    let local = ledger.job().await?.service.as_deref() == Some(LOCAL_SERVICE);
    let price = if local { Micros::ZERO } else { context.settings.price };
    let retriable = ledger.has_retriable().await?;
    let summary = summarise(&job, &totals, price, retriable, Ending::Looked, None);
    if typed.json {
        render::json(&summary);
    } else {
        render::result(&summary.to_text());
    }
    let unfinished = totals.count(ItemState::Failed) + totals.count(ItemState::InDoubt);
    Ok(if unfinished > 0 { ExitCode::SomeFailed } else { ExitCode::Done })
}
