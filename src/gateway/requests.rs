//! Remembers accepted requests, and results until they are swept.
//!
//! This is the only place where a request changes its state:
//!
//! ```text
//! QUEUED ─► PROCESSING ─► COMPLETED | FAILED | ERROR
//! ```

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    accounts::AccountId,
    faults::Fault,
    settings::Retention,
    stats::{BookedRequest, Counts},
};
use crate::api::wire::Status;

/// How request ids begin, as the hosted service's do.
const ID_PREFIX: &str = "gfpgan_";

/// What a client wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) account: AccountId,
    /// Number of the submit, for faults.
    pub(super) submit: i64,
    pub(super) img: String,
    pub(super) scale: u8,
}

/// A finished picture on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredResult {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) blake3: blake3::Hash,
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The picture is restored.
    Completed(StoredResult),
    /// The picture cannot be restored, and why.
    Failed(String),
    /// Something here went wrong.
    Error(String),
}

/// What a client may know of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Request {
    order: Order,
    seen: Snapshot,
    result: Option<StoredResult>,
    /// Faults that have hit it and hit a request once.
    struck: Vec<Fault>,
}

/// Every request that is not swept yet.
#[derive(Debug)]
pub(super) struct Requests {
    retention: Retention,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    requests: HashMap<String, Request>,
    /// Oldest first.
    finished: VecDeque<String>,
    kept_bytes: u64,
    counts: Counts,
}

impl Requests {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, book: Mutex::default() }
    }

    /// Accepts an order and returns its name.
    pub(super) fn accept(&self, order: Order, now: Timestamp) -> String {
        let id = format!("{ID_PREFIX}{}", Uuid::now_v7());
        let seen = Snapshot {
            status: Status::Queued,
            error: None,
            created_at: now,
            updated_at: now,
            completed_at: None,
        };
        let mut book = self.book();
        book.counts.queued += 1;
        book.requests.insert(id.clone(), Request { order, seen, result: None, struck: Vec::new() });
        id
    }

    /// Takes a waiting request up. `None` when there is none of this name.
    pub(super) fn start(&self, id: &str, now: Timestamp) -> Option<Order> {
        let mut book = self.book();
        let Book { requests, counts, .. } = &mut *book;
        let request =
            requests.get_mut(id).filter(|request| request.seen.status == Status::Queued)?;
        request.seen.status = Status::Processing;
        request.seen.updated_at = now;
        counts.queued -= 1;
        counts.processing += 1;
        Some(request.order.clone())
    }

    /// Ends a request that is being worked on, and returns the results that no longer
    /// have a place; their files are the caller's to remove.
    pub(super) fn finish(&self, id: &str, ending: Ending, now: Timestamp) -> Vec<StoredResult> {
        let mut book = self.book();
        let Book { requests, finished, kept_bytes, counts } = &mut *book;
        let Some(request) = requests.get_mut(id) else {
            return Vec::new();
        };
        counts.processing -= 1;
        let seen = &mut request.seen;
        match ending {
            Ending::Completed(result) => {
                seen.status = Status::Completed;
                counts.completed += 1;
                *kept_bytes += result.bytes;
                request.result = Some(result);
            }
            Ending::Failed(why) => {
                seen.status = Status::Failed;
                counts.failed += 1;
                seen.error = Some(why);
            }
            Ending::Error(why) => {
                seen.status = Status::Error;
                counts.errors += 1;
                seen.error = Some(why);
            }
        }
        seen.updated_at = now;
        seen.completed_at = Some(now);
        finished.push_back(id.to_owned());
        book.sweep(self.retention)
    }

    /// Returns what `account` may know of a request; another account's is unknown to it.
    pub(super) fn look_up(&self, id: &str, account: AccountId) -> Option<Snapshot> {
        let book = self.book();
        let request = book.requests.get(id)?;
        (request.order.account == account).then(|| request.seen.clone())
    }

    /// Returns the result of a request, for whoever knows its name.
    pub(super) fn result(&self, id: &str) -> Option<StoredResult> {
        self.book().requests.get(id)?.result.clone()
    }

    /// Returns the number of a request's submit.
    pub(super) fn submit(&self, id: &str) -> Option<i64> {
        self.book().requests.get(id).map(|request| request.order.submit)
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
        let entry = |(id, request): (&String, &Request)| BookedRequest {
            request_id: id.clone(),
            submit: request.order.submit,
            img: request.order.img.clone(),
            status: request.seen.status.as_str().to_owned(),
            blake3: request.result.as_ref().map(|result| result.blake3.to_hex().to_string()),
        };
        let mut booked: Vec<_> = book.requests.iter().map(entry).collect();
        booked.sort_unstable_by_key(|request| request.submit);
        booked
    }

    pub(super) fn counts(&self) -> Counts {
        self.book().counts
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn sweep(&mut self, retention: Retention) -> Vec<StoredResult> {
        let mut swept = Vec::new();
        while self.finished.len() > 1
            && (self.finished.len() > retention.requests || self.kept_bytes > retention.bytes)
        {
            let oldest = self.finished.pop_front().and_then(|id| self.requests.remove(&id));
            if let Some(result) = oldest.and_then(|request| request.result) {
                self.kept_bytes -= result.bytes;
                swept.push(result);
            }
        }
        swept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Micros;
    use crate::gateway::{accounts::Accounts, settings::GatewaySettings};

    fn account() -> AccountId {
        let settings = GatewaySettings { balance: Some(Micros(0)), ..GatewaySettings::default() };
        Accounts::new(&settings).authenticate(&http::HeaderMap::new()).unwrap()
    }

    fn order() -> Order {
        Order { account: account(), submit: 0, img: "http://h/a".to_owned(), scale: 2 }
    }

    fn result(bytes: u64) -> Ending {
        let path = format!("/results/{bytes}").into();
        Ending::Completed(StoredResult { path, bytes, blake3: blake3::hash(b"") })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Passes one request through and returns its name and what was swept.
    fn pass(requests: &Requests, ending: Ending) -> (String, Vec<u64>) {
        let id = requests.accept(order(), at(0));
        requests.start(&id, at(1)).unwrap();
        let swept = requests.finish(&id, ending, at(2));
        (id, swept.iter().map(|result| result.bytes).collect())
    }

    #[test]
    fn a_request_passes_through_its_states() {
        let requests = Requests::new(Retention::default());
        let id = requests.accept(order(), at(10));
        assert!(id.starts_with("gfpgan_"), "{id}");
        let seen = requests.look_up(&id, account()).unwrap();
        assert_eq!(
            (seen.status, seen.created_at, seen.completed_at),
            (Status::Queued, at(10), None)
        );

        assert_eq!(requests.start(&id, at(11)), Some(order()));
        assert_eq!(requests.start(&id, at(12)), None);
        let seen = requests.look_up(&id, account()).unwrap();
        assert_eq!((seen.status, seen.updated_at), (Status::Processing, at(11)));
        assert_eq!(requests.result(&id), None);

        requests.finish(&id, result(5), at(13));
        let seen = requests.look_up(&id, account()).unwrap();
        assert_eq!((seen.status, seen.created_at), (Status::Completed, at(10)));
        assert_eq!((seen.updated_at, seen.completed_at), (at(13), Some(at(13))));
        assert_eq!(requests.result(&id).unwrap().bytes, 5);
    }

    #[test]
    fn endings_are_counted_and_explained() {
        let requests = Requests::new(Retention::default());
        let (failed, _) = pass(&requests, Ending::Failed("no picture".to_owned()));
        pass(&requests, Ending::Error("bug".to_owned()));
        pass(&requests, result(1));
        requests.accept(order(), at(0));
        let seen = requests.look_up(&failed, account()).unwrap();
        assert_eq!((seen.status, seen.error.as_deref()), (Status::Failed, Some("no picture")));
        let expected = Counts { queued: 1, processing: 0, completed: 1, failed: 1, errors: 1 };
        assert_eq!(requests.counts(), expected);
    }

    #[test]
    fn a_fault_strikes_a_request_once() {
        let requests = Requests::new(Retention::default());
        let id = requests.accept(order(), at(0));
        assert!(requests.strike(&id, Fault::MediaCut));
        assert!(!requests.strike(&id, Fault::MediaCut));
        assert!(requests.strike(&id, Fault::MediaExpired));
        assert!(!requests.strike("another", Fault::MediaCut));
    }

    #[test]
    fn the_books_name_each_request_with_its_result() {
        let requests = Requests::new(Retention::default());
        let (done, _) = pass(&requests, result(1));
        requests.accept(Order { submit: 1, ..order() }, at(0));
        let booked = requests.booked();
        let statuses: Vec<_> = booked.iter().map(|request| request.status.as_str()).collect();
        assert_eq!(statuses, ["COMPLETED", "QUEUED"]);
        assert_eq!((&booked[0].request_id, &booked[1].blake3), (&done, &None));
        assert_eq!(booked[0].blake3, Some(blake3::hash(b"").to_hex().to_string()));
    }

    #[test]
    fn the_oldest_finished_requests_are_swept_by_count() {
        let requests = Requests::new(Retention { requests: 2, bytes: 1_000 });
        let waiting = requests.accept(order(), at(0));
        let (first, _) = pass(&requests, result(1));
        pass(&requests, Ending::Failed(String::new()));
        let (last, swept) = pass(&requests, result(3));
        assert_eq!(swept, [1]);
        assert!(requests.look_up(&first, account()).is_none());
        assert!(requests.look_up(&last, account()).is_some());
        assert!(requests.look_up(&waiting, account()).is_some());
        assert!(pass(&requests, result(4)).1.is_empty());
    }

    #[test]
    fn and_by_bytes_but_never_the_newest() {
        let requests = Requests::new(Retention { requests: 10, bytes: 100 });
        assert!(pass(&requests, result(60)).1.is_empty());
        assert!(pass(&requests, result(40)).1.is_empty());
        assert_eq!(pass(&requests, result(1)).1, [60]);
        let (huge, swept) = pass(&requests, result(500));
        assert_eq!(swept, [40, 1]);
        assert!(requests.result(&huge).is_some());
        assert_eq!(pass(&requests, result(2)).1, [500]);
    }
}
