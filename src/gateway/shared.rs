//! What handlers and workers of one gateway have in common.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    accounts::{AccountId, Accounts},
    faults::Fault,
    idempotency::{Idempotency, KEY_OF_ANOTHER_BODY},
    pace::Pace,
    pixels::PixelBudget,
    ready::Readiness,
    refusal::Refusal,
    requests::{Full, Requests},
    settings::GatewaySettings,
    stats::{GatewayStats, SubmitRecord, Visits},
    store::{Callback, Ended, ID_PREFIX, IdempotencyKey, Kept, Record, State, sweep_orphans},
};
use crate::{
    api::wire::{Status, SubmitBody},
    clock::elapsed,
    engine::Engine,
    fetch::GuardedClient,
    sqlite::SqliteError,
};

/// The state of one gateway.
pub(super) struct Shared {
    pub(super) settings: GatewaySettings,
    /// Root of every address that is given out, without a slash at its end.
    pub(super) base_url: String,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) client: GuardedClient,
    pub(super) accounts: Accounts,
    pub(super) requests: Requests,
    pub(super) state: State,
    pub(super) pixels: PixelBudget,
    pub(super) pace: Pace,
    pub(super) record: SubmitRecord,
    pub(super) visits: Visits,
    pub(super) readiness: Readiness,
    /// Cancelled when the gateway is to end.
    pub(super) stop: CancellationToken,
    /// True while something takes requests from the queue.
    pub(super) working: AtomicBool,
    told_of_early_ends: AtomicBool,
    idempotency: Idempotency,
    submits: AtomicI64,
}

/// A submit that is well-formed.
#[derive(Debug, Clone)]
pub(super) struct Submission {
    /// Its number, for faults.
    pub(super) number: i64,
    pub(super) body: SubmitBody,
    pub(super) idempotency: Option<IdempotencyKey>,
    /// Where to tell of the end.
    pub(super) callback_url: Option<String>,
}

impl Shared {
    /// `kept` is what the state held when it was opened.
    pub(super) fn new(
        settings: GatewaySettings,
        base_url: String,
        engine: Arc<dyn Engine>,
        client: GuardedClient,
        state: State,
        kept: Kept,
    ) -> Self {
        let accounts = Accounts::new(&settings, kept.spent);
        let queue_length = settings.queue_length.get();
        let shared_queue = settings.keys.len() > 1;
        let results = state.results();
        let requests = Requests::new(settings.retention, queue_length, shared_queue, results);
        let idempotency = Idempotency::default();
        let records = kept.records.into_iter().filter_map(|record| {
            let account = accounts.named(&record.account)?;
            idempotency.restore(account, &record);
            Some((account, record))
        });
        requests.restore(records);
        Self {
            base_url,
            engine,
            client,
            submits: AtomicI64::new(requests.next_submit()),
            accounts,
            requests,
            state,
            pixels: PixelBudget::new(settings.memory_pixels),
            pace: Pace::new(settings.workers),
            record: SubmitRecord::new(settings.record_submits),
            visits: Visits::default(),
            readiness: Readiness::default(),
            stop: CancellationToken::new(),
            working: AtomicBool::new(false),
            told_of_early_ends: AtomicBool::new(false),
            idempotency,
            settings,
        }
    }

    /// Returns the number of the next submit.
    pub(super) fn next_submit(&self) -> i64 {
        self.submits.fetch_add(1, Ordering::Relaxed)
    }

    /// Charges for a request, keeps it durably and queues it, all or nothing, and returns
    /// its name. The second submit with the same idempotency key gets the first one's.
    ///
    /// # Errors
    ///
    /// 402 without the money, 422 with an idempotency key of another body, 429 with a full
    /// queue or share of it, 503 when the gateway is ending or the request was certainly not
    /// kept, 500 when nobody knows whether it was.
    pub(super) async fn accept(
        self: &Arc<Self>,
        account: AccountId,
        submission: Submission,
    ) -> Result<String, Refusal> {
        let shared = Arc::clone(self);
        // In a task of its own, so that a client that goes away leaves a whole request or
        // none.
        let accepting = tokio::spawn(async move {
            match submission.idempotency.clone() {
                None => shared.take_on(account, submission).await,
                Some(key) => {
                    let taking_on = shared.take_on(account, submission);
                    shared.idempotency.once(account, key, taking_on).await
                }
            }
        });
        accepting.await.unwrap_or_else(|_| Err(Refusal::internal()))
    }

    async fn take_on(&self, account: AccountId, submission: Submission) -> Result<String, Refusal> {
        if self.stop.is_cancelled() {
            return Err(Refusal::shutting_down());
        }
        let place = self.requests.reserve(account).map_err(|full| {
            let pause = self.pace.until_room(self.requests.counts().queued);
            let message = match full {
                Full::Whole => "The queue is full.",
                Full::Share => "Your share of the queue is full; the rest is kept for others.",
            };
            Refusal::too_many_requests(message, pause)
        })?;
        let charged = self.accounts.charge(account)?;
        let Submission { number, body: SubmitBody { img, scale, version }, .. } = submission;
        let created_at = now();
        let callback = submission.callback_url;
        let record = Record {
            id: format!("{ID_PREFIX}{}", Uuid::now_v7()),
            account: self.accounts.name(account),
            submit: number,
            img,
            scale,
            version,
            status: Status::Queued,
            created_at,
            updated_at: created_at,
            completed_at: None,
            error: None,
            result: None,
            report: None,
            starts: 0,
            charged,
            idempotency: submission.idempotency,
            callback: callback.map(|url| Callback { url, attempts: 0, due: None }),
        };
        let known = match self.state.store.accept(record.clone()).await {
            Ok(known) => known.map(|known| *known),
            Err(error) => {
                tracing::error!(%error, "a request could not be kept");
                self.accounts.refund(account, charged);
                return Err(match error {
                    SqliteError::Uncertain(_) => Refusal::internal(),
                    _ => Refusal::not_kept(),
                });
            }
        };
        let record = match known {
            Some(known) => self.known_after_all(account, known, &record)?,
            None => record,
        };
        self.record.add(&record.img);
        let id = record.id.clone();
        self.requests.accept(place, record);
        Ok(id)
    }

    /// Takes up a request that was kept, though that was not known: the commit had failed
    /// in the middle, and now its client asks for it again with the same idempotency key.
    /// It was charged durably then, and what `asked` for it now was charged counts for it.
    ///
    /// # Errors
    ///
    /// 422 when it is of another body.
    fn known_after_all(
        &self,
        account: AccountId,
        known: Record,
        asked: &Record,
    ) -> Result<Record, Refusal> {
        let body = |record: &Record| record.idempotency.as_ref().map(|given| given.body);
        self.accounts.refund(account, asked.charged);
        if body(&known) != body(asked) {
            return Err(Refusal::unprocessable(KEY_OF_ANOTHER_BODY));
        }
        self.accounts.book(account, known.charged);
        tracing::info!(request.id = %known.id, "it was kept after all");
        Ok(known)
    }

    /// Keeps how often work on a request was begun and not ended.
    ///
    /// # Errors
    ///
    /// When it may not have been kept.
    pub(super) async fn count_starts(&self, id: &str, starts: u32) -> Result<(), SqliteError> {
        self.state.store.starts(id, starts).await?;
        self.requests.set_starts(id, starts);
        Ok(())
    }

    /// Ends a request that was taken up: durably first, then for everyone to see.
    ///
    /// # Errors
    ///
    /// When it may not have been kept; nothing has changed then, and it is to be called
    /// again.
    pub(super) async fn conclude(&self, id: &str, ended: Ended) -> Result<(), SqliteError> {
        let Some((account, record, refund)) = self.requests.as_ended(id, ended) else {
            return Ok(());
        };
        self.state.store.end(record.clone(), refund).await?;
        self.accounts.refund(account, refund);
        self.requests.finish(record);
        Ok(())
    }

    /// Removes the requests whose time is over. The row goes first, so that it never
    /// promises a file that is gone; then the book forgets it, so that what could not be
    /// removed is tried again with the next sweep; and then the file.
    pub(super) async fn sweep(&self) {
        let ids = self.requests.overdue(now());
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.state.store.remove(ids.clone()).await {
            tracing::warn!(%error, "old requests could not be removed; the next sweep tries again");
            return;
        }
        let forgotten = self.requests.forget(&ids);
        self.warn_of_early_ends(&forgotten);
        for (account, record) in forgotten {
            self.idempotency.forget(account, &record);
            if record.callback_is_due() {
                tracing::warn!(request.id = %record.id, "no room: swept before it was called back");
            }
            if record.result.is_none() {
                continue;
            }
            let path = self.requests.result_path(&record.id);
            if let Err(error) = tokio::fs::remove_file(&path).await {
                tracing::warn!(%error, path = %path.display(), "an old result could not be removed");
            }
        }
    }

    /// Says, once, that results go before their age: a client that is slow to fetch finds
    /// them gone, and has paid.
    fn warn_of_early_ends(&self, forgotten: &[(AccountId, Record)]) {
        let (age, now) = (self.settings.retention.age, now());
        let is_early = |record: &Record| {
            record.result.is_some() && record.completed_at.is_some_and(|at| elapsed(at, now) <= age)
        };
        let early = forgotten.iter().any(|(_, record)| is_early(record));
        if early && !self.told_of_early_ends.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no room: results are removed before the time of `--keep` is over; \
                 raise `--keep-requests` or `--keep-bytes`"
            );
        }
    }

    /// Removes results that no request knows and whose time is over.
    pub(super) async fn sweep_orphans(&self) {
        let (results, age) = (self.state.results(), self.settings.retention.age);
        let sweeping = spawn_blocking(move || sweep_orphans(&results, age, now()));
        match sweeping.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed results that no request knows"),
            Err(error) => tracing::warn!(%error, "results that no request knows were not removed"),
        }
    }

    /// Keeps that a callback has arrived.
    pub(super) async fn callback_delivered(&self, id: &str) {
        let attempts = self.requests.callback_attempts(id).unwrap_or_default();
        self.keep_callback(id, attempts, None).await;
    }

    /// Keeps that a callback was tried in vain and is due again at `next`, if ever.
    pub(super) async fn callback_failed(&self, id: &str, next: Option<Timestamp>) {
        let attempts = self.requests.callback_attempts(id).unwrap_or_default();
        self.keep_callback(id, attempts.saturating_add(1), next).await;
    }

    async fn keep_callback(&self, id: &str, attempts: u32, due: Option<Timestamp>) {
        if let Err(error) = self.state.store.callback(id, attempts, due).await {
            // At worst it is delivered again after the next start.
            tracing::warn!(%error, request.id = %id, "the fate of a callback was not kept");
        }
        self.requests.set_callback(id, attempts, due);
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
