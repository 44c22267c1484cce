//! The service, in virtual time: it does what its case says, and keeps books.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use restore_batch::{
    api::{Known, RestoreApi, StatusOutcome, SubmitOrder, SubmitOutcome},
    core::{
        Artifact, Callback, CallbackSecret, ContentHash, Failure, FailureClass, FailureCode,
        RequestId, jitter,
    },
    fetch::{FetchError, Fetcher},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    case::{Calls, Case},
    limit::Counter,
};

/// The way to the service, and as long back; each time up to a quarter more or less.
pub(crate) const WAY: Duration = Duration::from_millis(25);

/// How long a download takes.
pub(crate) const DOWNLOAD: Duration = Duration::from_millis(50);

/// The pause that a 429 asks for.
const PAUSE: Duration = Duration::from_secs(1);

/// A request as the service knows it.
#[derive(Debug)]
struct Accepted {
    done: Duration,
    took: Duration,
    polled: Option<Duration>,
}

/// What the service has written down.
#[derive(Debug)]
pub(crate) struct Books {
    requests: BTreeMap<u32, Accepted>,
    pub(crate) submits: Counter,
    pub(crate) polls: Counter,
    /// The shortest time between two polls of one request.
    pub(crate) closest: Option<Duration>,
    calls: u32,
}

/// Where the service calls back.
pub(crate) struct Hook {
    pub(crate) callbacks: mpsc::Sender<Callback>,
    pub(crate) secret: CallbackSecret,
}

/// The service of one case.
pub(crate) struct Service {
    case: Case,
    seed: u64,
    began: Instant,
    hook: Option<Hook>,
    books: Mutex<Books>,
}

impl Service {
    pub(crate) fn new(case: &Case, seed: u64, hook: Option<Hook>) -> Self {
        let books = Books {
            requests: BTreeMap::new(),
            submits: Counter::new(case.submits.clone()),
            polls: Counter::new(case.polls.clone()),
            closest: None,
            calls: 0,
        };
        let (case, books) = (case.clone(), Mutex::new(books));
        Self { case, seed, began: Instant::now(), hook, books }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// One way; its time is a draw of its own.
    async fn way(&self) {
        let number = {
            let mut books = self.books();
            books.calls += 1;
            books.calls
        };
        sleep(WAY.mul_f64(0.75 + 0.5 * jitter(self.seed, 0, number))).await;
    }

    async fn take(&self, order: &SubmitOrder) -> SubmitOutcome {
        self.way().await;
        let outcome = self.accept(order);
        self.way().await;
        outcome
    }

    fn accept(&self, order: &SubmitOrder) -> SubmitOutcome {
        let now = self.now();
        let mut books = self.books();
        if !books.submits.takes(now) {
            return SubmitOutcome::Throttled { failure: too_many(), retry_after: Some(PAUSE) };
        }
        let index = number_in(&order.img);
        let seconds = self.case.times.draw(self.seed, index, self.case.images);
        let took = Duration::from_secs_f64(seconds);
        books.requests.insert(index, Accepted { done: now + took, took, polled: None });
        if let (Some(hook), Some(address)) = (&self.hook, &order.webhook) {
            self.call_back(hook, address, index, took);
        }
        SubmitOutcome::Accepted { request_id: RequestId(index.to_string()), polling_url: None }
    }

    fn call_back(&self, hook: &Hook, address: &str, index: u32, took: Duration) {
        if self.case.calls == Calls::Half && jitter(self.seed, i64::from(index), 9) < 0.5 {
            return;
        }
        let segment = address.rsplit('/').next().unwrap_or_default();
        let Some((item, attempt)) = hook.secret.read(segment) else { return };
        let callbacks = hook.callbacks.clone();
        tokio::spawn(async move {
            sleep(took + WAY).await;
            let request_id = Some(RequestId(index.to_string()));
            // The run may be over.
            let _ = callbacks.send(Callback { item, attempt, request_id }).await;
        });
    }

    async fn tell(&self, request: &Known) -> StatusOutcome {
        self.way().await;
        let outcome = self.status_now(&request.request_id.0);
        self.way().await;
        outcome
    }

    fn status_now(&self, id: &str) -> StatusOutcome {
        let now = self.now();
        let mut books = self.books();
        let Books { requests, polls, closest, .. } = &mut *books;
        let request = id.parse().ok().and_then(|index: u32| requests.get_mut(&index));
        if let Some(request) = &request {
            let apart = request.polled.map(|before| now.saturating_sub(before));
            *closest = [*closest, apart].into_iter().flatten().min();
        }
        let Some(request) = request else { return StatusOutcome::Unknown(too_many()) };
        request.polled = Some(now);
        if !polls.takes(now) {
            return StatusOutcome::Throttled { failure: too_many(), retry_after: Some(PAUSE) };
        }
        if now < request.done {
            return StatusOutcome::Waiting { word: "PROCESSING".to_owned() };
        }
        let took = self.case.says.then_some(request.took);
        StatusOutcome::Completed { media: vec!["https://cdn.example.org/a.png".to_owned()], took }
    }
}

/// Returns the number in `https://example.org/17.jpg`.
pub(crate) fn number_in(source: &str) -> u32 {
    let name = source.rsplit('/').next().unwrap_or_default();
    name.split('.').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn too_many() -> Failure {
    Failure::new(FailureClass::Throttled, FailureCode::Throttled, "too many requests")
}

impl RestoreApi for Service {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        Box::pin(self.take(order))
    }

    fn status<'a>(&'a self, request: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        Box::pin(self.tell(request))
    }
}

/// Downloads that always succeed.
pub(crate) struct Downloads;

impl Fetcher for Downloads {
    fn deliver<'a>(
        &'a self,
        media_url: &'a str,
        stem: &'a str,
    ) -> BoxFuture<'a, Result<Artifact, FetchError>> {
        Box::pin(async move {
            sleep(DOWNLOAD).await;
            Ok(Artifact {
                path: format!("images/{stem}.png"),
                media_url: media_url.to_owned(),
                width: 64,
                height: 64,
                bytes: 1,
                blake3: ContentHash("0".repeat(64)),
            })
        })
    }
}
