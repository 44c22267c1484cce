//! Restores accepted requests: fetch, decode, restore, publish.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    faults::Fault,
    requests::Order,
    shared::{Shared, now},
    source::{Unfetched, fetch},
    store::{Ended, ResultFacts},
};
use crate::{
    api::wire::Status,
    engine::{
        DecodeLimits, Engine, EngineError, EngineReport, ModelId, Sharpened, Watch, decode,
        encode_png, picture_size,
    },
    fetch::write_whole,
};

/// When a client that met the throttling fault may come back.
pub(super) const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Time between two tries to keep how a request has ended. A disk that is full is emptied
/// by people, so that there is no use in hurry.
const KEEP_AGAIN: Duration = Duration::from_secs(1);

/// Longest time between two sweeps; a shorter retention is looked at more often.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// How often work on a picture is begun that ends the process. The first time it may have
/// been another's fault, the second time bad luck such as a power cut; it was alone then.
const MOST_STARTS: u32 = 3;

/// How a request ends.
#[derive(Debug, Clone, PartialEq)]
enum Ending {
    /// The picture is restored.
    Completed(ResultFacts, Value),
    /// The picture cannot be restored, and why.
    Failed(String),
    /// Something here went wrong.
    Error(String),
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Self {
        let (status, error, result, report) = match ending {
            Ending::Completed(result, report) => {
                (Status::Completed, None, Some(result), Some(report))
            }
            Ending::Failed(why) => (Status::Failed, Some(why), None, None),
            Ending::Error(why) => (Status::Error, Some(why), None, None),
        };
        Self { at: now(), status, error, result, report }
    }
}

/// Takes requests from the queue until the gateway stops, and then waits until every
/// worker has noticed.
pub(super) async fn work(shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.settings.workers.get()));
    let workers = TaskTracker::new();
    let stop = shared.stop.clone();
    let working = Working::begin(&shared);
    let taking = async {
        // A place comes first: a request that no worker can take stays in the queue and
        // counts against its length.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let order = shared.requests.take(now).await;
            let shared = Arc::clone(&shared);
            workers.spawn(async move {
                process(&shared, order).await;
                drop(place);
            });
        }
    };
    let _ = stop.run_until_cancelled(taking).await;
    workers.close();
    workers.wait().await;
    drop(working);
}

/// Says that requests are taken up, for as long as it lives.
struct Working(Arc<Shared>);

impl Working {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.working.store(true, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.store(false, Ordering::Relaxed);
    }
}

/// Sweeps old requests now and then, until the gateway stops.
pub(super) async fn sweep(shared: Arc<Shared>) {
    let every = (shared.settings.retention.age / 10).clamp(Duration::from_secs(1), SWEEP_EVERY);
    let sweeping = async {
        loop {
            shared.sweep().await;
            shared.sweep_orphans().await;
            sleep(every).await;
        }
    };
    let _: Option<std::convert::Infallible> = shared.stop.run_until_cancelled(sweeping).await;
}

async fn process(shared: &Arc<Shared>, order: Order) {
    let started = Instant::now();
    let restoring = restore(shared, &order);
    let Some(Some(ending)) = shared.stop.run_until_cancelled(restoring).await else {
        put_back(shared, &order.id).await;
        return;
    };
    let id = &order.id;
    match &ending {
        Ending::Completed(result, _) => {
            shared.pace.took(started.elapsed());
            tracing::debug!(request.id = %id, result.bytes, "completed");
        }
        Ending::Failed(why) => tracing::info!(request.id = %id, why, "failed"),
        Ending::Error(why) => tracing::warn!(request.id = %id, why, "error"),
    }
    keep(shared, id, ending.into()).await;
    shared.sweep().await;
}

/// Keeps how a request has ended, however often that has to be tried. When the gateway
/// ends first, the next start goes on with it.
async fn keep(shared: &Shared, id: &str, ended: Ended) {
    while let Err(error) = shared.conclude(id, ended.clone()).await {
        tracing::error!(request.id = %id, %error, "the end of a request could not be kept");
        if shared.stop.run_until_cancelled(sleep(KEEP_AGAIN)).await.is_none() {
            put_back(shared, id).await;
            return;
        }
    }
}

/// Lets a request wait for the next start. That it was begun is no fault of its.
async fn put_back(shared: &Shared, id: &str) {
    if let Err(error) = shared.count_starts(id, 0).await {
        tracing::warn!(request.id = %id, %error, "work that was put back counts as ended by a crash");
    }
    shared.requests.put_back(id, now());
}

/// Keeps that the part of the work begins that may end the process, however often that has
/// to be tried: a picture that is not counted could stop the gateway at each start.
async fn begin(shared: &Shared, order: &Order) {
    let starts = order.starts.saturating_add(1);
    while let Err(error) = shared.count_starts(&order.id, starts).await {
        tracing::error!(request.id = %order.id, %error, "the begin of work could not be kept");
        sleep(KEEP_AGAIN).await;
    }
}

/// Returns how the request ends, or `None` when the gateway ends first.
async fn restore(shared: &Arc<Shared>, order: &Order) -> Option<Ending> {
    if order.starts >= MOST_STARTS {
        return Some(Ending::Error(format!(
            "restoring this picture has ended the gateway {} times; it is not tried again",
            order.starts
        )));
    }
    let faults = &shared.settings.faults;
    sleep(faults.latency(order.submit)).await;
    if faults.hits(Fault::ServiceError, order.submit) {
        return Some(Ending::Error("system error, by request".to_owned()));
    }
    if faults.hits(Fault::Failed, order.submit) {
        return Some(Ending::Failed("failed, by request".to_owned()));
    }
    let source = match fetch(shared, order).await {
        Ok(source) => source,
        Err(Unfetched::ForNow(why)) => return Some(Ending::Error(why)),
        Err(Unfetched::ForGood(why)) => return Some(Ending::Failed(why)),
    };
    let limits = shared.settings.decode;
    let size = match picture_size(&source, &limits) {
        Ok(size) => size,
        Err(error) => return Some(Ending::Failed(error.to_string())),
    };
    // Before it waits for memory and takes it.
    if let Err(error) = shared.engine.check(size, order.scale) {
        return Some(Ending::Failed(error.to_string()));
    }
    // A picture that may have ended the process takes no others with it.
    let room = match order.starts {
        0 => shared.pixels.take(size, order.scale).await,
        _ => shared.pixels.take_all().await,
    };
    begin(shared, order).await;
    let job = Job {
        engine: Arc::clone(&shared.engine),
        limits,
        source,
        scale: order.scale,
        target: shared.requests.result_path(&order.id),
    };
    let stop = shared.stop.clone();
    let done = spawn_blocking(move || {
        let ending = job.run(&stop);
        // Here, because the caller may be gone before the work is.
        drop(room);
        ending
    });
    match done.await {
        Ok(ending) => ending,
        Err(error) if error.is_panic() => Some(Ending::Error("the engine crashed".to_owned())),
        Err(_) => None,
    }
}

/// The part of a request's work that blocks.
struct Job {
    engine: Arc<dyn Engine>,
    limits: DecodeLimits,
    source: Vec<u8>,
    scale: u8,
    target: PathBuf,
}

impl Job {
    /// Returns how the request ends, or `None` when it was cancelled.
    fn run(self, stop: &CancellationToken) -> Option<Ending> {
        let picture = match decode(&self.source, &self.limits) {
            Ok(picture) => picture,
            Err(error) => return Some(Ending::Failed(error.to_string())),
        };
        drop(self.source);
        let watch = Watch::new(stop.clone());
        let (restored, report) = match self.engine.restore(&picture.image, self.scale, &watch) {
            Ok(restored) => restored,
            Err(EngineError::Cancelled) => return None,
            Err(error @ EngineError::Model { .. }) => {
                return Some(Ending::Error(error.to_string()));
            }
            Err(error) => return Some(Ending::Failed(error.to_string())),
        };
        let png = match encode_png(&restored, &report, picture.icc.as_deref()) {
            Ok(png) => png,
            Err(error) => return Some(Ending::Error(error.to_string())),
        };
        drop(restored);
        if let Err(error) = write_whole(&self.target, &png) {
            return Some(Ending::Error(format!("the result cannot be stored: {error}")));
        }
        let facts = ResultFacts { bytes: png.len() as u64, blake3: blake3::hash(&png) };
        Some(Ending::Completed(facts, json_of(&report)))
    }
}

/// What clients are shown of the engine's report.
fn json_of(report: &EngineReport) -> Value {
    let EngineReport { engine, models, noise, steps, faces, sharpened, took } = report;
    let model = |model: &ModelId| json!({ "name": model.name, "sha256": model.sha256 });
    let part = |part: &Sharpened| {
        let Sharpened { left, top, width, height, share, .. } = part;
        json!({ "left": left, "top": top, "width": width, "height": height, "share": share })
    };
    json!({
        "engine": engine,
        "models": models.iter().map(model).collect::<Vec<_>>(),
        "noise": noise,
        "steps": steps,
        "faces": faces.len(),
        "sharpened": sharpened.iter().map(part).collect::<Vec<_>>(),
        "seconds": took.as_secs_f64(),
    })
}
