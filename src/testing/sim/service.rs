//! A service that misbehaves as its seed says, and keeps honest books.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::Boundaries;
use crate::{
    api::{Known, RestoreApi, StatusOutcome, SubmitOrder, SubmitOutcome},
    clock::{Clock, elapsed},
    core::{Failure, FailureClass, FailureCode, RequestId, jitter},
};

/// How often what goes wrong, each a probability in `0.0..=1.0` per request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// The connection is refused.
    pub refused: f64,
    /// 429, half of them with a `Retry-After` of 7 s.
    pub throttled: f64,
    /// 503.
    pub unavailable: f64,
    /// Accepted, and the answer is lost.
    pub reply_lost: f64,
    /// 500, and nothing was accepted.
    pub server_error: f64,
    /// Rejected for good.
    pub rejected: f64,
    /// Ends in FAILED.
    pub failed: f64,
    /// Ends in ERROR.
    pub error: f64,
    /// A status request gets no answer.
    pub poll_lost: f64,
    /// The first polls answer 404.
    pub early_unknown: f64,
    /// COMPLETED without a picture at first.
    pub no_media: f64,
    /// Never finishes.
    pub stuck: f64,
    /// A download breaks.
    pub download_cut: f64,
    /// A link has expired.
    pub link_expired: f64,
    /// The service does not answer from this second of the world on…
    pub down_from: u64,
    /// … for this many seconds.
    pub down_for: u64,
    /// The service takes requests and does not say a word from this second on…
    pub silent_from: u64,
    /// … for this many seconds.
    pub silent_for: u64,
    /// No download succeeds from this second on…
    pub media_down_from: u64,
    /// … for this many seconds.
    pub media_down_for: u64,
    /// After this many accepted requests the wallet is empty; 0 for never.
    pub wallet: u64,
}

/// When the client gives up on an answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// One accepted request.
#[derive(Debug, Clone)]
struct Accepted {
    img: String,
    at: Timestamp,
    takes: Duration,
    ends: Ends,
    polls: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Completed,
    CompletedLate,
    Failed,
    Error,
    Never,
}

/// A submit as it reached the service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    /// When its answer reached the client.
    pub(super) heard: Option<Timestamp>,
    /// The pause that the answer asked for.
    pub(super) pause: Option<Duration>,
}

/// What the service remembers; outlives every crash of the client.
#[derive(Debug, Default)]
pub(super) struct Books {
    requests: BTreeMap<String, Accepted>,
    arrivals: Vec<Arrival>,
    last_poll: BTreeMap<String, Timestamp>,
    closest_polls: Option<Duration>,
    number: u32,
    wallet_filled: bool,
}

/// The fake service, as one incarnation of the client meets it.
#[derive(Debug)]
pub struct FakeService {
    seed: u64,
    faults: Faults,
    began: Timestamp,
    books: Arc<Mutex<Books>>,
    clock: Clock,
    boundaries: Arc<Boundaries>,
}

impl FakeService {
    pub(super) fn new(
        seed: u64,
        faults: Faults,
        began: Timestamp,
        books: Arc<Mutex<Books>>,
        clock: Clock,
        boundaries: Arc<Boundaries>,
    ) -> Self {
        let service = Self { seed, faults, began, books, clock, boundaries };
        service.lock().begin_incarnation();
        service
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// Rolls a die that depends on the seed and its arguments only.
    fn hit(&self, what: u64, number: u32, probability: f64) -> bool {
        jitter(self.seed ^ (what << 32), i64::from(number), 0) < probability
    }

    fn is_down(&self) -> bool {
        self.is_within(self.faults.down_from, self.faults.down_for)
    }

    fn is_silent(&self) -> bool {
        self.is_within(self.faults.silent_from, self.faults.silent_for)
    }

    fn is_within(&self, from: u64, seconds: u64) -> bool {
        is_within(from, seconds, elapsed(self.began, self.clock.now()))
    }

    async fn answer_submit(&self, order: &SubmitOrder) -> SubmitOutcome {
        let number = {
            let mut books = self.lock();
            books.number += 1;
            books.number
        };
        let faults = &self.faults;
        self.boundaries.pass().await;
        if self.is_down() || self.hit(1, number, faults.refused) {
            return SubmitOutcome::NotSent(failure(FailureCode::NotSent));
        }
        let index = self.lock().arrive(self.clock.now());
        if self.is_silent() {
            // It may have understood and be unable to say so.
            if self.hit(14, number, 0.5) {
                self.accept(order, number);
            }
            self.boundaries.pass().await;
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            return SubmitOutcome::InDoubt(failure(FailureCode::InDoubt));
        }
        let outcome = self.decide(order, number);
        self.boundaries.pass().await;
        tokio::time::sleep(Duration::from_secs_f64(0.05 + jitter(self.seed, number.into(), 2)))
            .await;
        if let SubmitOutcome::Throttled { retry_after, .. } = &outcome {
            self.lock().hear(index, self.clock.now(), *retry_after);
        }
        outcome
    }

    fn decide(&self, order: &SubmitOrder, number: u32) -> SubmitOutcome {
        let faults = &self.faults;
        if self.hit(2, number, faults.throttled) {
            return self.throttle(number);
        }
        if self.hit(3, number, faults.unavailable) {
            let failure = failure(FailureCode::Throttled);
            return SubmitOutcome::Unavailable { failure, retry_after: None };
        }
        if self.hit(4, number, faults.server_error) {
            return SubmitOutcome::InDoubt(failure(FailureCode::InDoubt));
        }
        if self.hit(5, number, faults.rejected) {
            return SubmitOutcome::Rejected(failure(FailureCode::Rejected));
        }
        if self.wallet_is_empty() {
            return SubmitOutcome::Account(failure(FailureCode::InsufficientBalance));
        }
        let request_id = self.accept(order, number);
        if self.hit(6, number, faults.reply_lost) {
            return SubmitOutcome::InDoubt(failure(FailureCode::InDoubt));
        }
        SubmitOutcome::Accepted { request_id, polling_url: None }
    }

    fn throttle(&self, number: u32) -> SubmitOutcome {
        let retry_after = self.hit(7, number, 0.5).then_some(Duration::from_secs(7));
        SubmitOutcome::Throttled { failure: failure(FailureCode::Throttled), retry_after }
    }

    fn wallet_is_empty(&self) -> bool {
        let books = self.lock();
        let spent = books.requests.values().filter(|request| request.ends != Ends::Error).count();
        self.faults.wallet > 0 && !books.wallet_filled && spent as u64 >= self.faults.wallet
    }

    fn accept(&self, order: &SubmitOrder, number: u32) -> RequestId {
        let faults = &self.faults;
        let ends = match () {
            () if self.hit(8, number, faults.failed) => Ends::Failed,
            () if self.hit(9, number, faults.error) => Ends::Error,
            () if self.hit(10, number, faults.stuck) => Ends::Never,
            () if self.hit(11, number, faults.no_media) => Ends::CompletedLate,
            () => Ends::Completed,
        };
        let id = format!("r{number:05}");
        let takes = Duration::from_secs_f64(1.0 + 20.0 * jitter(self.seed, number.into(), 1));
        let accepted =
            Accepted { img: order.img.clone(), at: self.clock.now(), takes, ends, polls: 0 };
        self.lock().requests.insert(id.clone(), accepted);
        RequestId(id)
    }

    async fn answer_status(&self, known: &Known) -> StatusOutcome {
        self.boundaries.pass().await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let number = {
            let mut books = self.lock();
            books.number += 1;
            books.number
        };
        if self.is_silent() {
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            return StatusOutcome::Unavailable(failure(FailureCode::StatusUnavailable));
        }
        if self.is_down() || self.hit(12, number, self.faults.poll_lost) {
            return StatusOutcome::Unavailable(failure(FailureCode::StatusUnavailable));
        }
        let now = self.clock.now();
        let mut books = self.lock();
        books.note_poll(&known.request_id.0, now);
        match books.requests.get_mut(&known.request_id.0) {
            Some(accepted) => {
                accepted.polls += 1;
                self.status_of(accepted, now, number)
            }
            None => StatusOutcome::Unknown(failure(FailureCode::UnknownRequest)),
        }
    }

    fn status_of(&self, accepted: &Accepted, now: Timestamp, number: u32) -> StatusOutcome {
        let age = elapsed(accepted.at, now);
        if age < Duration::from_secs(20) && self.hit(13, number, self.faults.early_unknown) {
            return StatusOutcome::Unknown(failure(FailureCode::UnknownRequest));
        }
        if age < accepted.takes || accepted.ends == Ends::Never {
            return StatusOutcome::Waiting { word: "PROCESSING".into() };
        }
        match accepted.ends {
            Ends::CompletedLate if age < accepted.takes + Duration::from_secs(8) => {
                StatusOutcome::NoMedia(failure(FailureCode::NoMedia))
            }
            Ends::Failed => StatusOutcome::Failed(failure(FailureCode::ServiceFailed)),
            Ends::Error => StatusOutcome::Error(failure(FailureCode::ServiceError)),
            _ => StatusOutcome::Completed { media: vec![accepted.img.clone()] },
        }
    }
}

impl Books {
    /// Pace is promised within one life of the client.
    fn begin_incarnation(&mut self) {
        self.arrivals.clear();
        self.last_poll.clear();
    }

    fn arrive(&mut self, at: Timestamp) -> usize {
        self.arrivals.push(Arrival { at, heard: None, pause: None });
        self.arrivals.len() - 1
    }

    fn hear(&mut self, index: usize, at: Timestamp, pause: Option<Duration>) {
        if let Some(arrival) = self.arrivals.get_mut(index) {
            arrival.heard = Some(at);
            arrival.pause = pause;
        }
    }

    /// The owner of the wallet has paid.
    pub(super) fn fill_wallet(&mut self) {
        self.wallet_filled = true;
    }

    pub(super) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    pub(super) fn closest_polls(&self) -> Option<Duration> {
        self.closest_polls
    }

    /// Returns how often each picture was accepted, and how often without the refund
    /// of an ERROR.
    pub(super) fn accepted(&self) -> BTreeMap<String, (u64, u64)> {
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for request in self.requests.values() {
            let (accepted, paid) = counts.entry(request.img.clone()).or_default();
            *accepted += 1;
            *paid += u64::from(request.ends != Ends::Error);
        }
        counts
    }

    fn note_poll(&mut self, id: &str, now: Timestamp) {
        if let Some(last) = self.last_poll.insert(id.to_owned(), now)
            && self.requests.contains_key(id)
        {
            let gap = elapsed(last, now);
            self.closest_polls = Some(self.closest_polls.map_or(gap, |least| least.min(gap)));
        }
    }
}

impl RestoreApi for FakeService {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        Box::pin(self.answer_submit(order))
    }

    fn status<'a>(&'a self, request: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        Box::pin(self.answer_status(request))
    }
}

/// Returns true when an age falls into the `seconds` after second `from`.
pub(super) fn is_within(from: u64, seconds: u64, age: Duration) -> bool {
    (from..from + seconds).contains(&age.as_secs())
}

pub(super) fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failure(code: FailureCode) -> Failure {
    Failure::new(FailureClass::Transient, code, "simulated")
}
