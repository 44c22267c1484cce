//! What handlers and workers of one gateway have in common.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

use super::{
    accounts::{AccountId, Accounts},
    faults::Fault,
    refusal::Refusal,
    requests::{Order, Requests},
    settings::GatewaySettings,
    stats::{GatewayStats, SubmitRecord, Visits},
    worker::QUEUE_PAUSE,
};
use crate::{api::wire::SubmitBody, engine::Engine, fetch::GuardedClient};

/// The state of one gateway.
pub(super) struct Shared {
    pub(super) settings: GatewaySettings,
    /// Root of every address that is given out, without a slash at its end.
    pub(super) base_url: String,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) client: GuardedClient,
    pub(super) accounts: Accounts,
    pub(super) requests: Requests,
    /// Names of accepted requests on their way to a worker.
    pub(super) queue: mpsc::Sender<String>,
    pub(super) record: SubmitRecord,
    pub(super) visits: Visits,
    /// Cancelled when the gateway is to end.
    pub(super) stop: CancellationToken,
    submits: AtomicI64,
    results: TempDir,
}

impl Shared {
    pub(super) fn new(
        settings: GatewaySettings,
        base_url: String,
        engine: Arc<dyn Engine>,
        client: GuardedClient,
        queue: mpsc::Sender<String>,
        results: TempDir,
    ) -> Self {
        Self {
            base_url,
            engine,
            client,
            accounts: Accounts::new(&settings),
            requests: Requests::new(settings.retention),
            queue,
            record: SubmitRecord::new(settings.record_submits),
            visits: Visits::default(),
            stop: CancellationToken::new(),
            submits: AtomicI64::new(0),
            results,
            settings,
        }
    }

    /// Returns the number of the next submit.
    pub(super) fn next_submit(&self) -> i64 {
        self.submits.fetch_add(1, Ordering::Relaxed)
    }

    /// Charges for a request, remembers it and queues it, all or nothing.
    ///
    /// # Errors
    ///
    /// 402 without the money, 429 with a full queue, 503 when the gateway is ending.
    pub(super) fn accept(
        &self,
        account: AccountId,
        submit: i64,
        body: SubmitBody,
    ) -> Result<String, Refusal> {
        if self.stop.is_cancelled() {
            return Err(Refusal::shutting_down());
        }
        let place = self.queue.try_reserve().map_err(|full| match full {
            TrySendError::Full(()) => Refusal::too_many_requests("The queue is full.", QUEUE_PAUSE),
            TrySendError::Closed(()) => Refusal::shutting_down(),
        })?;
        self.accounts.charge(account)?;
        self.record.add(&body.img);
        let order = Order { account, submit, img: body.img, scale: body.scale };
        let id = self.requests.accept(order, now());
        place.send(id.clone());
        Ok(id)
    }

    /// Returns whether a fault that hits a request once hits it now.
    pub(super) fn strikes(&self, fault: Fault, id: &str) -> bool {
        let submit = self.requests.submit(id);
        submit.is_some_and(|submit| self.settings.faults.hits(fault, submit))
            && self.requests.strike(id, fault)
    }

    /// Returns the address of `path`, which begins with `/`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Returns where the result of a request is stored.
    pub(super) fn result_path(&self, id: &str) -> PathBuf {
        self.results.path().join(id).with_extension("png")
    }

    pub(super) fn stats(&self) -> GatewayStats {
        let counts = self.requests.counts();
        let (polls, downloads) = self.visits.counted();
        GatewayStats {
            charged: self.accounts.charged(),
            queued: counts.queued,
            processing: counts.processing,
            completed: counts.completed,
            failed: counts.failed,
            errors: counts.errors,
            polls,
            downloads,
            accepted: self.record.snapshot(),
        }
    }
}

/// The wall time. The one place of the gateway that reads a clock.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}
