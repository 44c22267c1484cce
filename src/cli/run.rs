//! `restore-batch MANIFEST` and `restore-batch retry MANIFEST`.

use std::{io::IsTerminal as _, panic::resume_unwind, sync::Arc, time::Duration};

use indicatif::MultiProgress;
use tokio::time::Instant;

use super::{
    args::RunArgs,
    audit::{Expected, audit},
    context::Context,
    dispatch::Ended,
    error::AppError,
    exit::ExitCode,
    job::{Job, manifest_dir},
    render,
    service::{LOCAL_SERVICE, Service, client, preflight},
    summary::{ending, summarise},
    webhooks::{WebhookReceiver, webhook_root},
};
use crate::{
    api::HttpApi,
    clock::Clock,
    config::Settings,
    core::{Budget, Cadence, Endpoint, Fence, ItemState, RetryPolicy, retry_after},
    fetch::{ClientSettings, FetchLimits, GetLimits, GuardedClient, HttpFetcher, sweep_leftovers},
    ledger::{EditionHeader, Ledger, LedgerResult, SqliteLedger, Totals},
    limit::LaneLimits,
    manifest::{Manifest, ReadOptions},
    report::{ProgressBar, ProgressLines, Reporters},
    run::{
        self, Outcome, Parts, Recorder, RunSettings, Stops, Webhooks,
        recovery::{recover, retry_failed},
    },
    stage::{PublicBase, Publisher, SourceStager},
    telemetry,
};

/// What `retry` adds to a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) in_doubt_too: bool,
}

/// Restores the photos of one manifest.
pub(super) async fn run(
    args: RunArgs,
    retry: Option<Retry>,
    bars: MultiProgress,
) -> Result<Ended, AppError> {
    let RunArgs { job: typed, service_moved } = args;
    let context =
        Context::load(typed.settings, typed.local, Some(&manifest_dir(&typed.manifest)?))?;
    let settings = &context.settings;
    telemetry::start(&settings.log, settings.log_format, bars.clone());
    let job = Job::locate(&typed.manifest, settings)?;
    let key = if typed.local { None } else { Some(context.key()?.secret) };
    webhook_root(settings, typed.local)?;
    let publishers = public_bases(settings, &job)?;
    let manifest = Manifest::open(&job.input, read_options(settings, &job))?;

    let clock = Clock::system();
    let _lock = job.lock(&clock)?;
    let ledger = Arc::new(job.open_ledger().await?);
    let committed_before = ledger.totals().await?.money.committed();
    let service = Service::start(settings, key, job.state()).await?;
    let session = Session { job: &job, settings, clock, ledger: ledger.clone(), bars };
    let result = session.work(manifest, publishers, &service, service_moved, retry).await;
    service.stop().await;
    // Its share of the ledger would keep the ledger from being closed.
    drop(session);
    let (outcome, took) = result?;

    let totals = ledger.totals().await?;
    let cap = settings.max_spend;
    let expected = Expected { totals: &totals, committed_before, cap, outcome: &outcome };
    let audited = audit(ledger.as_ref(), &expected).await?;
    let retriable = ledger.has_retriable().await?;
    if let Ok(ledger) = Arc::try_unwrap(ledger) {
        ledger.close().await;
    }
    let told = ending(&outcome);
    let summary = summarise(&job, &totals, settings.price, retriable, told, Some((&outcome, took)));
    if typed.json {
        render::json(&summary);
    } else {
        render::result(&summary.to_text());
    }
    audited.map_err(|violation| AppError::Internal(format!("the ledger is wrong: {violation}")))?;
    conclude(outcome, &totals)
}

pub(super) fn read_options(settings: &Settings, job: &Job) -> ReadOptions {
    ReadOptions::new(&job.base_dir, settings.scale, &settings.model_version)
}

/// Returns the publishers of `--public-base`.
pub(super) fn public_bases(
    settings: &Settings,
    job: &Job,
) -> Result<Vec<Box<dyn Publisher>>, AppError> {
    let parse = |text: &String| -> Result<Box<dyn Publisher>, AppError> {
        Ok(Box::new(PublicBase::parse(text, &job.base_dir)?))
    };
    settings.public_base.iter().map(parse).collect()
}

/// One run of one job, with its ledger open.
pub(super) struct Session<'a> {
    pub(super) job: &'a Job,
    pub(super) settings: &'a Settings,
    clock: Clock,
    pub(super) ledger: Arc<SqliteLedger>,
    bars: MultiProgress,
}

impl Session<'_> {
    async fn work(
        &self,
        manifest: Manifest,
        mut publishers: Vec<Box<dyn Publisher>>,
        service: &Service,
        service_moved: bool,
        retry: Option<Retry>,
    ) -> Result<(Outcome, Duration), AppError> {
        let started = Instant::now();
        let fence = self.ledger.begin_session().await?;
        self.bind_service(fence, &service.name, service_moved).await?;
        if let Some(gateway) = &service.local {
            publishers.push(Box::new(gateway.publisher()));
        }
        let (receiver, webhooks) = self.webhooks().await?.unzip();
        let rules = run_settings(self.settings, service.local.is_some());
        let mut reporters = self.reporters().await?;
        let (reading, header) = self.take_in(fence, manifest, &mut reporters).await?;
        // Before `recover`, which hands over what a retry asks for again.
        if let Some(Retry { in_doubt_too }) = retry {
            retry_failed(self.ledger.as_ref(), fence, in_doubt_too, self.clock.now()).await?;
        }
        let owed = recover(self.ledger.as_ref(), fence, &rules, self.clock.now()).await?;
        let api = client(self.settings, service.base_url.clone(), service.key.clone())?;
        if service.local.is_none() && self.has_work(reading.is_some()).await? {
            self.preflight(fence, &api, service).await?;
        }
        let recorder = self.recorder(&header).await?;
        let reporters = reporters.with(recorder.reporter());
        let parts = Parts {
            ledger: self.ledger.clone(),
            api: Arc::new(api),
            stager: Arc::new(self.stager(publishers)),
            fetcher: Arc::new(self.fetcher()?),
            clock: self.clock,
            fence,
            reporter: Box::new(reporters),
            webhooks,
        };
        let stops = Stops::from_signals().map_err(AppError::deaf)?;
        let budget =
            Budget::new(self.ledger.totals().await?.money.committed(), self.settings.max_spend);
        let plan = match reading {
            Some(plan) => plan,
            None => self.already_read().await?,
        };
        let (intake, reading) = run::start_intake(self.ledger.clone(), fence, plan);
        // As a task, not on this thread: it is woken by every step of every photo, and a
        // thread of the runtime that has just ended one need not wake another for that.
        let running = tokio::spawn(run::run(parts, rules, owed, budget, intake, stops));
        let outcome = running.await.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        if let Some(receiver) = receiver {
            receiver.stop().await;
        }
        // A reader that waits for standard input would never notice that the run is over;
        // the ledger's writer is not stopped by this.
        reading.abort();
        let _ = reading.await;
        let finished = outcome.as_ref().is_ok_and(run::Outcome::has_finished);
        let files = recorder.finish(finished).await;
        let outcome = outcome?;
        files?;
        Ok((outcome, started.elapsed()))
    }

    /// Remembers the service, or refuses to mix the requests of two.
    async fn bind_service(&self, fence: Fence, name: &str, moved: bool) -> Result<(), AppError> {
        let begun = self.ledger.job().await?.service;
        match begun {
            Some(begun) if begun == name => Ok(()),
            // A move to or from this machine's own engine would be another service, which
            // knows none of the requests that are paid for.
            Some(begun) if !moved || begun == LOCAL_SERVICE || name == LOCAL_SERVICE => {
                Err(AppError::OtherService { begun, now: name.to_owned() })
            }
            _ => Ok(self.ledger.bind_service(fence, name.to_owned()).await?),
        }
    }

    /// Starts to receive callbacks if the service is to be asked for them.
    async fn webhooks(&self) -> Result<Option<(WebhookReceiver, Webhooks)>, AppError> {
        let Some(root) = &self.settings.webhook_url else { return Ok(None) };
        let secret = self.ledger.job().await?.callback_secret;
        Ok(Some(WebhookReceiver::start(self.settings, root, secret).await?))
    }

    async fn has_work(&self, reads: bool) -> LedgerResult<bool> {
        let totals = self.ledger.totals().await?;
        Ok(reads || totals.settled() < totals.all())
    }

    /// Asks whether the service can be used, unless it wants not to be asked now: then the
    /// run finds out. A pause that is heard here is one for the run.
    async fn preflight(
        &self,
        fence: Fence,
        api: &HttpApi,
        service: &Service,
    ) -> Result<(), AppError> {
        let paused = self.ledger.job().await?.paused.poll;
        if paused.is_some_and(|until| until > self.clock.now()) {
            return Ok(());
        }
        if let Some(pause) = preflight(api, service).await? {
            let until = retry_after::end(pause, self.clock.now());
            self.ledger.pause(fence, Endpoint::Poll, until).await?;
        }
        Ok(())
    }

    fn stager(&self, publishers: Vec<Box<dyn Publisher>>) -> SourceStager {
        SourceStager::new(self.job.base_dir.clone(), publishers, self.settings.max_pixels)
    }

    fn fetcher(&self) -> Result<HttpFetcher, AppError> {
        let images = self.job.images();
        if let Err(error) = sweep_leftovers(&images) {
            tracing::warn!(%error, "temporary files of an earlier run could not be removed");
        }
        let client = GuardedClient::new(&ClientSettings {
            allow_private: self.settings.allow_private,
            connect_timeout: self.settings.connect_timeout,
            ..ClientSettings::default()
        })
        .map_err(|error| AppError::Internal(format!("downloads cannot be set up: {error}")))?;
        let limits = FetchLimits {
            download: GetLimits {
                max_bytes: self.settings.max_media_bytes,
                total_timeout: self.settings.download_timeout,
            },
            max_pixels: self.settings.max_pixels,
        };
        Ok(HttpFetcher::new(client, images, limits))
    }

    async fn recorder(&self, header: &EditionHeader) -> Result<run::RecorderHandle, AppError> {
        let mut recorder = Recorder::new(self.ledger.clone(), &self.job.dir, header);
        recorder.begin().await?;
        Ok(recorder.follow())
    }

    async fn reporters(&self) -> LedgerResult<Reporters> {
        let totals = self.ledger.totals().await?;
        let done = totals.count(ItemState::Done) + totals.count(ItemState::Skipped);
        Ok(if std::io::stderr().is_terminal() {
            Reporters::default().with(ProgressBar::new(self.bars.clone(), done))
        } else {
            Reporters::default().with(ProgressLines::stderr(done))
        })
    }
}

/// Turns settings into the rules of a run.
fn run_settings(settings: &Settings, local: bool) -> RunSettings {
    let policy = |tries, first, max| RetryPolicy {
        tries,
        first_delay: Duration::from_secs(first),
        max_delay: Duration::from_secs(max),
    };
    let lane = |per_second, at_once| LaneLimits { per_second, at_once };
    RunSettings {
        submit: lane(settings.submit_rate, settings.in_flight),
        // A status request takes well under a second: as many at once as start in two.
        poll: lane(settings.poll_rate, at_once_for(settings.poll_rate)),
        fetch: lane(settings.download_rate, settings.downloads),
        cadence: Cadence {
            interval: settings.poll_interval,
            max_interval: settings.max_poll_interval,
        },
        deadline: settings.deadline,
        unknown_grace: Duration::from_mins(1),
        price: settings.price,
        max_spend: settings.max_spend,
        in_doubt: settings.in_doubt,
        fetch_retry: policy(6, 1, 60),
        error_retry: policy(4, 10, 300),
        no_media: policy(5, 5, 60),
        most_refreshes: 5,
        outage_limit: settings.outage_limit,
        grace: settings.grace,
        request_timeout: settings.request_timeout,
        volatile_service: local,
        seed: 0,
    }
}

fn at_once_for(per_second: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let count = (per_second * 2.0).ceil().clamp(4.0, 1_000.0) as usize;
    count
}

/// Decides how the process ends.
fn conclude(outcome: Outcome, totals: &Totals) -> Result<Ended, AppError> {
    if let Some(error) = outcome.manifest {
        return Err(error.into());
    }
    if outcome.panics > 0 {
        return Err(AppError::Internal(format!(
            "{} steps failed unexpectedly; their photos are kept for the next run",
            outcome.panics
        )));
    }
    if let Some(signal) = outcome.interrupted {
        return Ok(Ended::Signal(signal));
    }
    let unfinished = totals.count(ItemState::Failed) + totals.count(ItemState::InDoubt);
    Ok(Ended::Code(match (outcome.halted, unfinished) {
        (Some(_), _) => ExitCode::Halted,
        (None, 0) => ExitCode::Done,
        (None, _) => ExitCode::SomeFailed,
    }))
}
