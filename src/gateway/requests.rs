//! The book of requests as clients and workers see it, in memory; what it must not forget
//! is in the [`store`](super::store) first.
//!
//! This is the only place where a request changes its state:
//!
//! ```text
//! QUEUED ◄─► PROCESSING ─► COMPLETED | FAILED | ERROR
//! ```
//!
//! The way back is taken when the gateway ends before the request does.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use super::{
    accounts::AccountId,
    faults::Fault,
    settings::Retention,
    stats::{BookedRequest, Counts},
    store::{Ended, Record},
};
use crate::{api::wire::Status, core::Micros};

mod callbacks;
mod lines;
mod sweep;

use lines::Lines;

pub(super) use callbacks::DueCallback;
pub(super) use lines::Full;

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: String,
    /// Number of the submit, for faults.
    pub(super) submit: i64,
    pub(super) img: String,
    pub(super) scale: u8,
    /// How often work on it was begun before, and the process was gone first.
    pub(super) starts: u32,
}

/// A finished picture on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredResult {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) blake3: blake3::Hash,
}

/// What a client may know of its request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
    /// What the engine did.
    pub(super) report: Option<Value>,
}

#[derive(Debug)]
struct Request {
    account: AccountId,
    record: Record,
    /// Faults that have hit it and hit a request once.
    struck: Vec<Fault>,
}

/// Every request that is not swept yet.
#[derive(Debug)]
pub(super) struct Requests {
    retention: Retention,
    /// Most requests that wait.
    queue_length: usize,
    /// Whether several accounts can submit, so that none may take the whole queue.
    shared_queue: bool,
    results: PathBuf,
    book: Mutex<Book>,
    arrived: Notify,
    callbacks_changed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    requests: HashMap<String, Request>,
    queue: Lines,
    /// Oldest first.
    finished: VecDeque<String>,
    kept_bytes: u64,
    counts: Counts,
    callbacks: BTreeSet<(Timestamp, String)>,
}

/// A place in the queue for a request that is about to be accepted.
#[derive(Debug)]
pub(super) struct Place<'a> {
    requests: &'a Requests,
    account: AccountId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.requests.book().queue.release(self.account);
    }
}

impl Requests {
    /// `shared_queue` says whether several accounts can submit; `results` is where finished
    /// pictures lie.
    pub(super) fn new(
        retention: Retention,
        queue_length: usize,
        shared_queue: bool,
        results: PathBuf,
    ) -> Self {
        Self {
            retention,
            queue_length,
            shared_queue,
            results,
            book: Mutex::default(),
            arrived: Notify::new(),
            callbacks_changed: Notify::new(),
        }
    }

    /// Takes up what was kept, in order of acceptance, also when it is more than the queue
    /// takes otherwise. What may have ended the process comes last of its account, so that
    /// others are done first.
    pub(super) fn restore(&self, kept: impl IntoIterator<Item = (AccountId, Record)>) {
        let mut book = self.book();
        let (mut finished, mut suspects) = (Vec::new(), Vec::new());
        for (account, record) in kept {
            match record.completed_at {
                Some(at) => finished.push((at, record.id.clone())),
                None if record.starts > 0 => suspects.push((account, record.id.clone())),
                None => book.queue.push_back(account, record.id.clone()),
            }
            book.count_end(&record);
            let id = record.id.clone();
            book.requests.insert(id, Request { account, record, struck: Vec::new() });
        }
        for (account, id) in suspects {
            book.queue.push_back(account, id);
        }
        finished.sort_unstable();
        book.finished = finished.into_iter().map(|(_, id)| id).collect();
    }

    /// Keeps a place for a request of `account`.
    ///
    /// # Errors
    ///
    /// [`Full`] when the queue is, or when the account has its share of it.
    pub(super) fn reserve(&self, account: AccountId) -> Result<Place<'_>, Full> {
        self.book().queue.reserve(account, self.queue_length, self.shared_queue)?;
        Ok(Place { requests: self, account })
    }

    /// Returns whether the queue takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.book().queue.taken() >= self.queue_length
    }

    /// Puts a request that was accepted into its place.
    pub(super) fn accept(&self, place: Place<'_>, record: Record) {
        let account = place.account;
        let mut book = self.book();
        let id = record.id.clone();
        book.queue.push_back(account, id.clone());
        book.requests.insert(id, Request { account, record, struck: Vec::new() });
        drop(book);
        drop(place);
        self.arrived.notify_one();
    }

    /// Waits for the next request and takes it up. For one caller at a time.
    pub(super) async fn take(&self, now: impl Fn() -> Timestamp) -> Order {
        loop {
            if let Some(order) = self.try_take(now()) {
                return order;
            }
            self.arrived.notified().await;
        }
    }

    fn try_take(&self, now: Timestamp) -> Option<Order> {
        let mut book = self.book();
        let id = book.queue.pop()?;
        book.counts.processing += 1;
        let record = &mut book.requests.get_mut(&id)?.record;
        record.status = Status::Processing;
        record.updated_at = now;
        let Record { submit, img, scale, starts, .. } = record;
        Some(Order { id, submit: *submit, img: img.clone(), scale: *scale, starts: *starts })
    }

    /// Sets how often work on a request was begun and not ended.
    pub(super) fn set_starts(&self, id: &str, starts: u32) {
        if let Some(request) = self.book().requests.get_mut(id) {
            request.record.starts = starts;
        }
    }

    /// Lets a request wait again that was taken up and not ended.
    pub(super) fn put_back(&self, id: &str, now: Timestamp) {
        let mut book = self.book();
        let Some(request) = book.requests.get_mut(id) else { return };
        request.record.status = Status::Queued;
        request.record.updated_at = now;
        let account = request.account;
        book.counts.processing -= 1;
        book.queue.push_front(account, id.to_owned());
        self.arrived.notify_one();
    }

    /// Returns a request that was taken up as it will be when it has ended, and what that
    /// gives back. Nobody sees it before [`finish`](Self::finish).
    pub(super) fn as_ended(&self, id: &str, ended: Ended) -> Option<(AccountId, Record, Micros)> {
        let book = self.book();
        let Request { account, record, .. } = book.requests.get(id)?;
        let (account, mut record) = (*account, record.clone());
        let refund = record.end(ended);
        Some((account, record, refund))
    }

    /// Ends a request that was taken up.
    pub(super) fn finish(&self, record: Record) {
        let mut book = self.book();
        book.counts.processing -= 1;
        book.count_end(&record);
        book.finished.push_back(record.id.clone());
        if let Some(request) = book.requests.get_mut(&record.id) {
            request.record = record;
        }
        drop(book);
        self.callbacks_changed.notify_one();
    }

    /// Returns what `account` may know of a request; another account's is unknown to it.
    pub(super) fn look_up(&self, id: &str, account: AccountId) -> Option<Snapshot> {
        let book = self.book();
        let request = book.requests.get(id)?;
        (request.account == account).then(|| Snapshot::of(&request.record))
    }

    /// Returns the result of a request, for whoever knows its name.
    pub(super) fn result(&self, id: &str) -> Option<StoredResult> {
        let facts = self.book().requests.get(id)?.record.result?;
        let path = self.result_path(id);
        Some(StoredResult { path, bytes: facts.bytes, blake3: facts.blake3 })
    }

    /// Returns where the result of a request lies once there is one.
    pub(super) fn result_path(&self, id: &str) -> PathBuf {
        self.results.join(id).with_extension("png")
    }

    /// Returns the number of a request's submit.
    pub(super) fn submit(&self, id: &str) -> Option<i64> {
        self.book().requests.get(id).map(|request| request.record.submit)
    }

    /// Returns how often work on a request was begun and not ended.
    #[cfg(test)]
    pub(super) fn starts(&self, id: &str) -> Option<u32> {
        self.book().requests.get(id).map(|request| request.record.starts)
    }

    /// Returns the number of the next submit, as far as accepted ones tell.
    pub(super) fn next_submit(&self) -> i64 {
        let book = self.book();
        let newest = book.requests.values().map(|request| request.record.submit).max();
        newest.map_or(0, |newest| newest + 1)
    }

    /// Remembers that a fault has hit a request; returns whether it had not before.
    pub(super) fn strike(&self, id: &str, fault: Fault) -> bool {
        let mut book = self.book();
        let Some(request) = book.requests.get_mut(id) else { return false };
        let first = !request.struck.contains(&fault);
        if first {
            request.struck.push(fault);
        }
        first
    }

    /// Returns every request that is not swept yet, the oldest first.
    pub(super) fn booked(&self) -> Vec<BookedRequest> {
        let book = self.book();
        let entry = |Request { record, .. }: &Request| BookedRequest {
            request_id: record.id.clone(),
            submit: record.submit,
            img: record.img.clone(),
            status: record.status.as_str().to_owned(),
            blake3: record.result.map(|result| result.blake3.to_hex().to_string()),
        };
        let mut booked: Vec<_> = book.requests.values().map(entry).collect();
        booked.sort_unstable_by_key(|request| request.submit);
        booked
    }

    pub(super) fn counts(&self) -> Counts {
        let book = self.book();
        Counts { queued: book.queue.waiting() as u64, ..book.counts }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    fn of(record: &Record) -> Self {
        Self {
            status: record.status,
            error: record.error.clone(),
            created_at: record.created_at,
            updated_at: record.updated_at,
            completed_at: record.completed_at,
            report: record.report.clone(),
        }
    }
}

impl Book {
    /// Counts a request that has ended, and remembers its callback.
    fn count_end(&mut self, record: &Record) {
        match record.status {
            Status::Queued | Status::Processing => return,
            Status::Completed => self.counts.completed += 1,
            Status::Failed => self.counts.failed += 1,
            Status::Error => self.counts.errors += 1,
        }
        self.kept_bytes += record.result.map_or(0, |result| result.bytes);
        if let Some(due) = record.callback.as_ref().and_then(|callback| callback.due) {
            self.callbacks.insert((due, record.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
