//! A ledger with a bug.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use restore_batch::{
    core::{Edition, Endpoint, EventKind, Fence, Item, ItemEvent, ItemId, ItemState},
    ledger::{
        Audit, EditionHeader, Imported, JobRecord, Ledger, LedgerResult, Money, NewRow, RowFilter,
        RowRecord, SettledRow, Totals,
    },
};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// It says that this event was written, and does not write it.
    Forgets(EventKind),
    /// It lets every session write.
    IgnoresFences,
    /// It says that a pause was written, and does not write it.
    ForgetsPauses,
    /// It knows of no money.
    ForgetsMoney,
    /// It has a failed item submitted again that should be asked for again.
    PaysAgain,
    /// It does not believe that FAILED is charged.
    DoubtsFailed,
}

/// A ledger with a bug.
pub(crate) struct BuggyLedger {
    pub(crate) inner: Arc<dyn Ledger>,
    pub(crate) bug: Bug,
}

impl Ledger for BuggyLedger {
    fn begin_session(&self) -> BoxFuture<'_, LedgerResult<Fence>> {
        self.inner.begin_session()
    }

    fn job(&self) -> BoxFuture<'_, LedgerResult<JobRecord>> {
        self.inner.job()
    }

    fn bind_service(&self, fence: Fence, service: String) -> BoxFuture<'_, LedgerResult<()>> {
        self.inner.bind_service(fence, service)
    }

    fn pause(
        &self,
        fence: Fence,
        endpoint: Endpoint,
        until: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        match self.bug {
            Bug::ForgetsPauses => Box::pin(async { Ok(()) }),
            _ => self.inner.pause(fence, endpoint, until),
        }
    }

    fn begin_edition(
        &self,
        fence: Fence,
        header: EditionHeader,
    ) -> BoxFuture<'_, LedgerResult<Edition>> {
        self.inner.begin_edition(fence, header)
    }

    fn import(
        &self,
        fence: Fence,
        edition: Edition,
        rows: Vec<NewRow>,
    ) -> BoxFuture<'_, LedgerResult<Imported>> {
        self.inner.import(fence, edition, rows)
    }

    fn finish_edition(
        &self,
        fence: Fence,
        edition: Edition,
        content: String,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        self.inner.finish_edition(fence, edition, content)
    }

    fn open_items(
        &self,
        states: Vec<ItemState>,
        after: ItemId,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<Item>>> {
        self.inner.open_items(states, after, limit)
    }

    fn item(&self, id: ItemId) -> BoxFuture<'_, LedgerResult<Item>> {
        self.inner.item(id)
    }

    fn advance(
        &self,
        fence: Fence,
        item: ItemId,
        event: ItemEvent,
        now: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<Item>> {
        let event = match (self.bug, event) {
            (Bug::PaysAgain, ItemEvent::RetryPoll) => ItemEvent::RetrySubmit,
            (Bug::DoubtsFailed, ItemEvent::ServiceFailed(why)) => ItemEvent::PollGaveUp(why),
            (_, event) => event,
        };
        match self.bug {
            Bug::Forgets(kind) if event.kind() == kind => Box::pin(async move {
                let known = self.inner.item(item).await?;
                Ok(known.apply(event, now).expect("an event that is possible"))
            }),
            Bug::IgnoresFences => Box::pin(async move {
                // Sessions are numbered; the one that may write is among the next ones.
                let mut result = self.inner.advance(fence, item, event.clone(), now).await;
                for later in 1..=3 {
                    if result.is_ok() {
                        break;
                    }
                    let later = Fence(fence.0 + later);
                    result = self.inner.advance(later, item, event.clone(), now).await;
                }
                result
            }),
            _ => self.inner.advance(fence, item, event, now),
        }
    }

    fn totals(&self) -> BoxFuture<'_, LedgerResult<Totals>> {
        match self.bug {
            Bug::ForgetsMoney => Box::pin(async {
                Ok(Totals { money: Money::default(), ..self.inner.totals().await? })
            }),
            _ => self.inner.totals(),
        }
    }

    fn settled_rows(
        &self,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<SettledRow>>> {
        self.inner.settled_rows(after, limit)
    }

    fn rows(
        &self,
        filter: RowFilter,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<RowRecord>>> {
        self.inner.rows(filter, after, limit)
    }

    fn recent_times(&self, limit: usize) -> BoxFuture<'_, LedgerResult<Vec<Duration>>> {
        self.inner.recent_times(limit)
    }

    fn audit(&self) -> BoxFuture<'_, LedgerResult<Audit>> {
        self.inner.audit()
    }
}
