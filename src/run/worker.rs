//! One durable step of one item.
//!
//! Each function asks one other machine one thing, lets `verdict` judge the answer and
//! writes the event to the ledger before it reports. Nothing is decided here.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;

use super::{
    recovery::{OWED, not_from_the_future},
    settings::RunSettings,
    step::{Finished, Signal, Step, StepReport},
    verdict::{self, Verdict},
};
use crate::{
    api::{Known, RestoreApi, StatusOutcome, SubmitOrder},
    clock::Clock,
    core::{
        Artifact, Booking, CallbackAddresses, Endpoint, Failure, Fence, Item, ItemEvent, ItemId,
        ItemState, Micros, RequestId, artifact_stem,
    },
    fetch::{FetchError, Fetcher},
    ledger::{Ledger, LedgerError},
    stage::Stager,
};

/// Items read from the ledger at once.
pub(super) const LOAD: usize = 256;

/// Waits before the id of a paid request is offered to a failing ledger again: long
/// enough for a hiccup of the disk, short enough for a drain.
const KEEP_WAITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A request id that no service has given, to ask for when only its answering matters.
const PROBE_ID: &str = "restore-batch-probe";

/// Everything the workers use; shared by all of them.
pub(super) struct Workers {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) api: Arc<dyn RestoreApi>,
    pub(super) stager: Arc<dyn Stager>,
    pub(super) fetcher: Arc<dyn Fetcher>,
    pub(super) clock: Clock,
    pub(super) fence: Fence,
    pub(super) rules: Arc<RunSettings>,
    /// Where the service is asked to call back.
    pub(super) callbacks: Option<CallbackAddresses>,
}

type StepResult = Result<StepReport, LedgerError>;

impl Workers {
    /// Runs one step. A panic in it is caught and ends that step alone.
    pub(super) async fn run(self: Arc<Self>, step: Step, item: Item) -> Finished {
        let id = item.id;
        let work = async {
            match step {
                Step::Stage => self.stage(item).await,
                Step::Submit => self.submit(item).await,
                Step::Poll => self.poll(item).await,
                Step::Fetch => self.fetch(item).await,
            }
        };
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(report)) => Finished::Step(Box::new(report)),
            Ok(Err(error)) => self.excuse(step, id, error).await,
            Err(_) => Finished::Panicked { step, item: id },
        }
    }

    /// An illegal event is a bug or a late answer: it changed nothing, and the item as
    /// the ledger has it is the truth. Any other ledger error ends the run.
    async fn excuse(&self, step: Step, id: ItemId, error: LedgerError) -> Finished {
        if !matches!(error, LedgerError::Illegal { .. }) {
            return Finished::Ledger { error, step: Some((step, id)) };
        }
        tracing::error!(item.id = %id, %error, "an event came that cannot be");
        match self.ledger.item(id).await {
            Ok(item) => Finished::Step(Box::new(StepReport {
                step,
                item,
                signal: Signal::None,
                retrying: None,
                took: None,
            })),
            Err(error) => Finished::Ledger { error, step: Some((step, id)) },
        }
    }

    async fn stage(&self, mut item: Item) -> StepResult {
        if item.state == ItemState::Staged {
            item = self.advance(item.id, ItemEvent::StageExpired).await?;
        }
        let staged = if is_public(&item.source) {
            Ok(None)
        } else {
            self.stager.stage(&item.source).await.map(Some)
        };
        let event = match staged {
            Ok(url) => ItemEvent::Staged { url },
            Err(failure) => ItemEvent::SourceRejected(failure),
        };
        let item = self.advance(item.id, event).await?;
        Ok(StepReport { step: Step::Stage, item, signal: Signal::None, retrying: None, took: None })
    }

    async fn submit(&self, item: Item) -> StepResult {
        let price = self.rules.price;
        // Durable before the POST leaves; nothing may come between these two.
        let item = self.advance(item.id, ItemEvent::SubmitIntent { price }).await?;
        let order = SubmitOrder {
            img: item.staged_url.clone().unwrap_or_else(|| item.source.clone()),
            scale: item.scale,
            version: item.version.clone(),
            webhook: self.callbacks.as_ref().map(|to| to.address(item.id, item.attempts())),
        };
        let outcome = self.api.submit(&order).await;
        self.conclude(Step::Submit, item, verdict::submitted(outcome)).await
    }

    async fn poll(&self, item: Item) -> StepResult {
        let outcome = match &item.request {
            Some(request) => {
                let known = Known {
                    request_id: request.id.clone(),
                    polling_url: request.polling_url.clone(),
                };
                self.api.status(&known).await
            }
            // No state machine path leads here; the item must not be lost over it.
            None => return Err(LedgerError::Corrupt(format!("item {} has no request", item.id))),
        };
        let took = match &outcome {
            StatusOutcome::Completed { took, .. } => *took,
            _ => None,
        };
        let verdict = verdict::polled(&item, outcome, &self.rules, self.clock.now());
        let report = self.conclude(Step::Poll, item, verdict).await?;
        Ok(StepReport { took, ..report })
    }

    /// Ends an item whose status can never be read; the poll that found out ends with it.
    pub(super) async fn give_up(self: Arc<Self>, item: Item, failure: Failure) -> Finished {
        let id = item.id;
        let event = verdict::never_readable(&item, &failure, self.clock.now());
        match self.advance(id, event).await {
            Ok(item) => {
                let (signal, retrying) = (Signal::None, None);
                Finished::Step(Box::new(StepReport {
                    step: Step::Poll,
                    item,
                    signal,
                    retrying,
                    took: None,
                }))
            }
            Err(error) => self.excuse(Step::Poll, id, error).await,
        }
    }

    async fn fetch(&self, item: Item) -> StepResult {
        let stem = artifact_stem(&item.stem, item.ordinal);
        let result = self.deliver_all(&item, &stem).await;
        let verdict = verdict::fetched(&item, result, &self.rules, self.clock.now());
        self.conclude(Step::Fetch, item, verdict).await
    }

    /// Several pictures of one request become `name.png`, `name-2.png`, …
    async fn deliver_all(&self, item: &Item, stem: &str) -> Result<Vec<Artifact>, FetchError> {
        let mut artifacts = Vec::new();
        for (index, url) in item.media.iter().enumerate() {
            let numbered = format!("{stem}-{}", index + 1);
            let name = if index == 0 { stem } else { numbered.as_str() };
            artifacts.push(self.fetcher.deliver(url, name).await?);
        }
        Ok(artifacts)
    }

    async fn conclude(&self, step: Step, item: Item, verdict: Verdict) -> StepResult {
        let Verdict { event, signal, retrying } = verdict;
        let item = match event {
            Some(event @ ItemEvent::Accepted { .. }) => self.keep(item.id, event).await?,
            Some(event) => self.advance(item.id, event).await?,
            None => item,
        };
        tracing::debug!(item.id = %item.id, state = %item.state, ?step, "step ended");
        Ok(StepReport { step, item, signal, retrying, took: None })
    }

    /// Writes the name of a request that is paid for. Only we know it, so that a ledger
    /// that fails is asked a few times more, and the name is logged.
    async fn keep(&self, id: ItemId, event: ItemEvent) -> Result<Item, LedgerError> {
        let mut waits = KEEP_WAITS.iter();
        loop {
            let error = match self.advance(id, event.clone()).await {
                Ok(item) => return Ok(item),
                // A write that was reported as failed has reached the disk nevertheless.
                Err(LedgerError::Illegal { .. }) if waits.len() < KEEP_WAITS.len() => {
                    return self.ledger.item(id).await;
                }
                Err(error) => error,
            };
            if let ItemEvent::Accepted { request_id, .. } | ItemEvent::RequestNamed { request_id } =
                &event
            {
                tracing::error!(item.id = %id, request.id = %request_id, %error,
                    "the name of an accepted request could not be written");
            }
            match waits.next().filter(|_| matches!(error, LedgerError::Unavailable(_))) {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Err(error),
            }
        }
    }

    async fn advance(&self, item: ItemId, event: ItemEvent) -> Result<Item, LedgerError> {
        self.ledger.advance(self.fence, item, event, self.clock.now()).await
    }

    /// Writes down the name of a request, if its attempt is the latest of its item and its
    /// request has none. A callback may be late, doubled, or about something that was resolved
    /// otherwise: then nothing happens.
    pub(super) async fn name(
        self: Arc<Self>,
        id: ItemId,
        attempt: u32,
        request_id: RequestId,
        denied: bool,
    ) -> Finished {
        let named = async {
            let item = self.ledger.item(id).await?;
            let free = item.attempt.as_ref().is_some_and(|last| last.booking == Booking::Free);
            if !item.may_be_named() || item.attempts() != attempt || (free && !denied) {
                return Ok(None);
            }
            let before = item.committed();
            let item = self.keep(id, ItemEvent::RequestNamed { request_id }).await?;
            Ok(Some((item, before)))
        };
        resolved(id, attempt, named.await)
    }

    /// Takes an item in doubt up again.
    pub(super) async fn resubmit(self: Arc<Self>, id: ItemId, attempt: u32) -> Finished {
        let result = self.advance(id, ItemEvent::Resubmit).await;
        // Taking up again commits nothing yet.
        let unchanged = |item: Item| {
            let committed = item.committed();
            Some((item, committed))
        };
        resolved(id, attempt, result.map(unchanged))
    }

    /// Reads the next items that are owed, or that are not submitted yet.
    pub(super) async fn load(
        self: Arc<Self>,
        owed: bool,
        after: ItemId,
        complete: bool,
    ) -> Finished {
        let states = if owed { OWED } else { [ItemState::Pending, ItemState::Staged] };
        match self.ledger.open_items(states.to_vec(), after, LOAD).await {
            Ok(items) => {
                let now = self.clock.now();
                let items = items.into_iter().map(|item| not_from_the_future(item, now)).collect();
                Finished::Loaded { items, complete }
            }
            Err(error) => Finished::Ledger { error, step: None },
        }
    }

    /// Writes down until when the service asked for a pause.
    pub(super) async fn keep_pause(
        self: Arc<Self>,
        endpoint: Endpoint,
        until: Timestamp,
    ) -> Finished {
        Finished::PauseKept(self.ledger.pause(self.fence, endpoint, until).await)
    }

    /// Asks something that costs nothing, to see whether the service answers.
    pub(super) async fn probe(self: Arc<Self>) -> Finished {
        Finished::Probed(verdict::probed(probe(self.api.as_ref()).await))
    }
}

/// An item that is unknown, or was moved by something else, is left alone.
fn resolved(
    id: ItemId,
    attempt: u32,
    result: Result<Option<(Item, Micros)>, LedgerError>,
) -> Finished {
    match result {
        Ok(change) => {
            let change = change.map(|(item, before)| (Box::new(item), before));
            Finished::Resolved { id, attempt, change }
        }
        Err(LedgerError::Illegal { .. } | LedgerError::UnknownItem(_)) => {
            Finished::Resolved { id, attempt, change: None }
        }
        Err(error) => Finished::Unresolved { id, attempt, error },
    }
}

/// Asks for the status of a request that does not exist. Free; also used at preflight.
pub async fn probe(api: &dyn RestoreApi) -> StatusOutcome {
    let known = Known { request_id: crate::core::RequestId(PROBE_ID.into()), polling_url: None };
    api.status(&known).await
}

/// Returns true for sources that the service can read as they are.
pub(super) fn is_public(source: &str) -> bool {
    let starts = |scheme: &str| {
        source.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts("http://") || starts("https://")
}
