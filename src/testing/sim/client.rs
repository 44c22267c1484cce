//! One life of the client, in the order in which `cli` lives it.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::{sync::mpsc, task::JoinHandle};
use url::Url;

use super::{
    BoundaryLedger, FakeFetcher, FakeService, Scenario,
    dice::What,
    fetcher::Disk,
    hooks::Postman,
    rows::{Version, header},
    scenario::{Retry, Stopping},
    scene::{Scene, lock},
    witness::Witness,
};
use crate::{
    api::RestoreApi,
    core::{Budget, CallbackAddresses, Edition, Failure, Fence, RunEvent},
    fetch::Fetcher,
    ledger::{Ledger, LedgerError, LedgerResult, MemoryLedger},
    report::Reporter,
    run::{
        self, Intake, IntakeError, IntakeNotice, IntakePlan, Outcome, Parts, RunError, StopLevel,
        Stops, Webhooks,
        recovery::{recover, retry_failed},
        start_intake,
    },
    stage::Stager,
};

/// How long a run waits for callbacks about what is in doubt.
const PATIENCE: Duration = Duration::from_mins(2);

/// Rows written at once.
const BATCH: usize = 4;

/// Puts something between the client and what it works with; see
/// [`World::with_ledger`](super::World::with_ledger) and its like.
pub type Wrap<T> = Arc<dyn Fn(Arc<T>) -> Arc<T> + Send + Sync>;

/// What a test puts between the client and its world.
#[derive(Clone, Default)]
pub(super) struct Wraps {
    pub(super) store: Option<Wrap<dyn Ledger>>,
    pub(super) ledger: Option<Wrap<dyn Ledger>>,
    pub(super) api: Option<Wrap<dyn RestoreApi>>,
    pub(super) fetcher: Option<Wrap<dyn Fetcher>>,
}

impl std::fmt::Debug for Wraps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wraps")
    }
}

fn wrapped<T: ?Sized>(wrap: Option<&Wrap<T>>, plain: Arc<T>) -> Arc<T> {
    match wrap {
        Some(wrap) => wrap(plain),
        None => plain,
    }
}

/// When someone asked a life to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) level: StopLevel,
    pub(super) at: Duration,
    /// A submit was on the wire.
    pub(super) submitting: bool,
}

/// One life of the client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) scene: Scene,
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) version: Version,
    pub(super) retry: Option<Retry>,
    pub(super) ledger: MemoryLedger,
    pub(super) witness: Arc<Mutex<Witness>>,
    pub(super) disk: Disk,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    pub(super) wraps: Wraps,
    /// Where the service calls back.
    pub(super) root: Url,
}

impl Client {
    pub(super) async fn live(self) -> Result<Outcome, LedgerError> {
        let ledger = self.open_ledger();
        let clock = self.scene.wall.clock;
        let fence = ledger.begin_session().await?;
        if ledger.job().await?.service.is_none() {
            ledger.bind_service(fence, "simulated".to_owned()).await?;
        }
        let rules = self.scenario.rules(self.seed);
        let unread = self.take_in(ledger.as_ref(), fence).await?;
        if let Some(retry) = self.retry {
            let in_doubt_too = retry == Retry::InDoubtToo;
            retry_failed(ledger.as_ref(), fence, in_doubt_too, clock.now()).await?;
        }
        let owed = recover(ledger.as_ref(), fence, &rules, clock.now()).await?;
        let budget = Budget::new(ledger.totals().await?.money.committed(), rules.max_spend);
        let (service, webhooks) = self.service(ledger.as_ref()).await?;
        let parts = Parts {
            ledger: ledger.clone(),
            api: wrapped(self.wraps.api.as_ref(), Arc::new(service)),
            stager: Arc::new(NoStager),
            fetcher: self.fetcher(),
            clock,
            fence,
            reporter: Box::new(Told(self.scene.clone())),
            webhooks,
        };
        let (intake, reading) = match unread {
            Some(edition) => self.start_reading(ledger, fence, edition),
            None => {
                start_intake(ledger, fence, IntakePlan::Unchanged { intake: Intake::default() })
            }
        };
        let mut run = pin!(run::run(parts, rules, owed, budget, intake, self.stops()));
        let outcome = poll_fn(|context| {
            let polled = run.as_mut().poll(context);
            self.scene.books().taken_in();
            polled
        })
        .await;
        reading.abort();
        let _stopped = reading.await;
        outcome.map_err(|RunError::Ledger(error)| error)
    }

    fn open_ledger(&self) -> Arc<dyn Ledger> {
        let store = wrapped(self.wraps.store.as_ref(), Arc::new(self.ledger.clone()));
        let ledger = BoundaryLedger::around(store, self.scene.boundaries.clone())
            .watched(self.scene.clone(), self.witness.clone());
        wrapped(self.wraps.ledger.as_ref(), Arc::new(ledger))
    }

    /// Returns the service, and the way back from it where the scenario has one.
    async fn service(&self, ledger: &dyn Ledger) -> LedgerResult<(FakeService, Option<Webhooks>)> {
        if !self.scenario.webhooks {
            return Ok((FakeService::new(self.scene.clone(), None), None));
        }
        let secret = ledger.job().await?.callback_secret;
        let (postman, callbacks) = Postman::new(self.scene.clone(), secret);
        let addresses = CallbackAddresses::new(self.root.clone(), secret);
        let webhooks = Webhooks { addresses, callbacks, patience: PATIENCE };
        Ok((FakeService::new(self.scene.clone(), Some(postman)), Some(webhooks)))
    }

    fn fetcher(&self) -> Arc<dyn Fetcher> {
        let fetcher = FakeFetcher::new(self.scene.clone(), self.disk.clone());
        wrapped(self.wraps.fetcher.as_ref(), Arc::new(fetcher))
    }

    /// Reads the manifest as `cli` does: not at all when it has not changed, to its end
    /// when an earlier one was begun, and otherwise while the first pictures are on their
    /// way. Returns the edition that is still to be read then.
    async fn take_in(&self, ledger: &dyn Ledger, fence: Fence) -> LedgerResult<Option<Edition>> {
        let job = ledger.job().await?;
        let unchanged = job.finished.is_some_and(|(edition, content)| {
            job.begun == Some(edition) && content == self.version.content()
        });
        if unchanged {
            return Ok(None);
        }
        let edition = ledger.begin_edition(fence, header()).await?;
        if job.begun.is_none() {
            return Ok(Some(edition));
        }
        for batch in self.version.rows(self.scenario.items).chunks(BATCH) {
            ledger.import(fence, edition, batch.to_vec()).await?;
        }
        ledger.finish_edition(fence, edition, self.version.content()).await?;
        Ok(None)
    }

    fn start_reading(
        &self,
        ledger: Arc<dyn Ledger>,
        fence: Fence,
        edition: Edition,
    ) -> (mpsc::Receiver<IntakeNotice>, JoinHandle<()>) {
        let (notices, receiver) = mpsc::channel(4);
        let client = self.clone();
        let task = tokio::spawn(async move {
            let read = client.read(ledger.as_ref(), fence, edition, &notices).await;
            let last = read.map_or_else(IntakeNotice::Failed, IntakeNotice::Complete);
            let _nobody_listens = notices.send(last).await;
        });
        (receiver, task)
    }

    async fn read(
        &self,
        ledger: &dyn Ledger,
        fence: Fence,
        edition: Edition,
        notices: &mpsc::Sender<IntakeNotice>,
    ) -> Result<Intake, IntakeError> {
        let mut intake = Intake::default();
        for (number, batch) in (0..).zip(self.version.rows(self.scenario.items).chunks(BATCH)) {
            if self.scene.life == 1
                && self.scenario.breaks_off.is_some_and(|batches| number >= batches)
            {
                return Err(IntakeError::Stopped);
            }
            if self.scenario.import_gap > 0 {
                let gap =
                    self.scene.dice.between(What::Import, number, 0, self.scenario.import_gap);
                tokio::time::sleep(Duration::from_secs(gap)).await;
            }
            let imported = ledger.import(fence, edition, batch.to_vec()).await?;
            intake.rows += imported.rows;
            intake.photos += imported.rows - imported.duplicates;
            let told = notices.send(IntakeNotice::Rows(intake)).await;
            told.map_err(|_| IntakeError::Stopped)?;
        }
        ledger.finish_edition(fence, edition, self.version.content()).await?;
        Ok(intake)
    }

    fn stops(&self) -> Stops {
        let (sender, stops) = Stops::manual();
        let Some((drain, stop)) = self.stop_times() else { return stops };
        let (scene, asked) = (self.scene.clone(), self.asked.clone());
        tokio::spawn(async move {
            for (level, wait) in [(StopLevel::Drain, Some(drain)), (StopLevel::Stop, stop)] {
                let Some(wait) = wait else { return };
                tokio::time::sleep(wait).await;
                let submitting = scene.books().submits_on_the_wire(scene.life);
                lock(&asked).push(Asked { level, at: scene.now(), submitting });
                scene.tell(format_args!("someone asks for {level:?}"));
                // The run may be over by then.
                let _ = sender.send((level, 15)).await;
            }
        });
        stops
    }

    /// Returns when this life is asked to drain, and how long after that to stop.
    fn stop_times(&self) -> Option<(Duration, Option<Duration>)> {
        let (dice, life) = (self.scene.dice, self.scene.life);
        match self.scenario.stops {
            Stopping::DrainAfter(seconds) if life == 1 => {
                Some((Duration::from_secs(seconds), None))
            }
            Stopping::Anytime if life <= 3 => {
                let seconds =
                    |what, most: f64| Duration::from_secs_f64(most * dice.roll(what, life));
                let stop = dice.hit(What::StopLevel, life, 0.5);
                let most = if life == 1 { 15.0 } else { 60.0 };
                Some((seconds(What::Stop, most), stop.then(|| seconds(What::StopLevel, 20.0))))
            }
            _ => None,
        }
    }
}

/// Returns by how much the wall clock of a life is wrong, when it is set while the life
/// goes on, and by how much.
pub(super) fn wall_errors(
    scene_dice: super::dice::Dice,
    life: u32,
) -> (SignedDuration, Duration, SignedDuration) {
    let hours = |number: u32| {
        let minutes = scene_dice.between(What::Wall, number, 0, 2 * 24 * 60).cast_signed();
        // Half of the errors are within an hour, the others within a day.
        let wrong = minutes - 24 * 60;
        SignedDuration::from_mins(if number.is_multiple_of(2) { wrong / 24 } else { wrong })
    };
    let set_at = Duration::from_secs(scene_dice.between(What::Wall, 3 * life + 2, 1, 60));
    (hours(3 * life), set_at, hours(3 * life + 1))
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

/// Writes what people would be told into the trace.
struct Told(Scene);

impl Reporter for Told {
    fn observe(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Settled(item) => {
                let code = item.failure.as_ref().map(|failure| failure.code);
                self.0.tell(format_args!("settled {} {} {code:?}", item.id, item.state));
            }
            event => self.0.tell(format_args!("{event:?}")),
        }
    }
}
