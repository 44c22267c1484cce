//! Restores one accepted request after the other: fetch, decode, restore, store.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};
use tokio_util::task::TaskTracker;

use super::{
    faults::Fault,
    requests::{Ending, Order, StoredResult},
    shared::{Shared, now},
};
use crate::engine::{DecodeLimits, Engine, EngineError, EngineReport, Watch, decode, encode_png};

/// When a client that met a full queue may come back: about the time one picture takes.
pub(super) const QUEUE_PAUSE: Duration = Duration::from_secs(2);

/// When a client that met the throttling fault may come back.
pub(super) const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Takes requests from the queue until the gateway stops, and then until every worker
/// has noticed.
pub(super) async fn work(shared: Arc<Shared>, mut queue: mpsc::Receiver<String>) {
    let places = Arc::new(Semaphore::new(shared.settings.workers.get()));
    let workers = TaskTracker::new();
    let stop = shared.stop.clone();
    let taking = async {
        // A place comes first: a request that no worker can take stays in the queue and
        // counts against its length.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Some(id) = queue.recv().await else { break };
            let shared = Arc::clone(&shared);
            workers.spawn(async move {
                process(&shared, &id).await;
                drop(place);
            });
        }
    };
    let _ = stop.run_until_cancelled(taking).await;
    workers.close();
    workers.wait().await;
}

async fn process(shared: &Arc<Shared>, id: &str) {
    let Some(order) = shared.requests.start(id, now()) else {
        return;
    };
    let restoring = restore(shared, id, &order);
    let Some(Some(ending)) = shared.stop.run_until_cancelled(restoring).await else {
        return;
    };
    match &ending {
        Ending::Completed(result) => tracing::debug!(request.id = %id, result.bytes, "completed"),
        Ending::Failed(why) => tracing::info!(request.id = %id, why, "failed"),
        Ending::Error(why) => tracing::warn!(request.id = %id, why, "error"),
    }
    if matches!(ending, Ending::Error(_)) {
        shared.accounts.refund(order.account);
    }
    for swept in shared.requests.finish(id, ending, now()) {
        if let Err(error) = tokio::fs::remove_file(&swept.path).await {
            tracing::warn!(%error, "an old result could not be removed");
        }
    }
}

/// Returns how the request ends, or `None` when the gateway ends first.
async fn restore(shared: &Arc<Shared>, id: &str, order: &Order) -> Option<Ending> {
    let faults = &shared.settings.faults;
    tokio::time::sleep(faults.latency(order.submit)).await;
    if faults.hits(Fault::ServiceError, order.submit) {
        return Some(Ending::Error("system error, by request".to_owned()));
    }
    if faults.hits(Fault::Failed, order.submit) {
        return Some(Ending::Failed("failed, by request".to_owned()));
    }
    let mut source = Vec::new();
    let fetched = shared.client.get_to(&order.img, &mut source, &shared.settings.source).await;
    if let Err(error) = fetched {
        return Some(Ending::Failed(format!("the picture could not be fetched: {error}")));
    }
    let job = Job {
        engine: Arc::clone(&shared.engine),
        limits: shared.settings.decode,
        source,
        scale: order.scale,
        target: shared.result_path(id),
    };
    let stop = shared.stop.clone();
    match spawn_blocking(move || job.run(&stop)).await {
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
    fn run(self, stop: &tokio_util::sync::CancellationToken) -> Option<Ending> {
        let picture = match decode(&self.source, &self.limits) {
            Ok(picture) => picture,
            Err(error) => return Some(Ending::Failed(error.to_string())),
        };
        drop(self.source);
        let watch = Watch::new(stop.clone());
        let (restored, report) = match self.engine.restore(&picture.image, self.scale, &watch) {
            Ok(done) => done,
            Err(EngineError::Cancelled) => return None,
            Err(error @ EngineError::Model { .. }) => {
                return Some(Ending::Error(error.to_string()));
            }
            Err(error) => return Some(Ending::Failed(error.to_string())),
        };
        Some(store(&restored, &report, picture.icc.as_deref(), self.target))
    }
}

fn store(
    picture: &image::DynamicImage,
    report: &EngineReport,
    icc: Option<&[u8]>,
    target: PathBuf,
) -> Ending {
    let png = match encode_png(picture, report, icc) {
        Ok(png) => png,
        Err(error) => return Ending::Error(error.to_string()),
    };
    if let Err(error) = std::fs::write(&target, &png) {
        return Ending::Error(format!("the result cannot be stored: {error}"));
    }
    let blake3 = blake3::hash(&png);
    Ending::Completed(StoredResult { path: target, bytes: png.len() as u64, blake3 })
}
