//! The in-memory ledger with a boundary before and after each write.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::Boundaries;
use crate::{
    core::{Edition, EventKind, Fence, Item, ItemEvent, ItemId, ItemState},
    ledger::{
        Audit, EditionHeader, Imported, JobRecord, Ledger, LedgerError, LedgerResult, MemoryLedger,
        NewRow, RowFilter, RowRecord, SettledRow, Totals,
    },
};

/// A ledger at which the world can stop.
#[derive(Debug)]
pub struct BoundaryLedger {
    inner: MemoryLedger,
    boundaries: Arc<Boundaries>,
    failing: Option<Failing>,
}

/// A write that fails, so many more times.
#[derive(Debug)]
struct Failing {
    item: ItemId,
    event: EventKind,
    times: AtomicU32,
}

impl BoundaryLedger {
    /// Wraps a ledger that outlives this incarnation of the world.
    #[must_use]
    pub fn new(inner: MemoryLedger, boundaries: Arc<Boundaries>) -> Self {
        Self { inner, boundaries, failing: None }
    }

    /// Lets the first `times` writes of this event of this item fail.
    #[must_use]
    pub fn failing(self, item: ItemId, event: EventKind, times: u32) -> Self {
        Self { failing: Some(Failing { item, event, times: AtomicU32::new(times) }), ..self }
    }

    fn fails(&self, item: ItemId, event: EventKind) -> bool {
        self.failing.as_ref().is_some_and(|failing| {
            let left = |times: u32| times.checked_sub(1);
            (failing.item, failing.event) == (item, event)
                && failing.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
        })
    }

    async fn write<T>(&self, call: BoxFuture<'_, LedgerResult<T>>) -> LedgerResult<T> {
        self.boundaries.pass().await;
        let result = call.await;
        self.boundaries.pass().await;
        result
    }
}

impl Ledger for BoundaryLedger {
    fn begin_session(&self) -> BoxFuture<'_, LedgerResult<Fence>> {
        Box::pin(self.write(self.inner.begin_session()))
    }

    fn job(&self) -> BoxFuture<'_, LedgerResult<JobRecord>> {
        self.inner.job()
    }

    fn bind_service(&self, fence: Fence, service: String) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(self.inner.bind_service(fence, service)))
    }

    fn begin_edition(
        &self,
        fence: Fence,
        header: EditionHeader,
    ) -> BoxFuture<'_, LedgerResult<Edition>> {
        Box::pin(self.write(self.inner.begin_edition(fence, header)))
    }

    fn import(
        &self,
        fence: Fence,
        edition: Edition,
        rows: Vec<NewRow>,
    ) -> BoxFuture<'_, LedgerResult<Imported>> {
        Box::pin(self.write(self.inner.import(fence, edition, rows)))
    }

    fn finish_edition(
        &self,
        fence: Fence,
        edition: Edition,
        content: String,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(self.inner.finish_edition(fence, edition, content)))
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
        if self.fails(item, event.kind()) {
            return Box::pin(async { Err(LedgerError::Unavailable("simulated".to_owned())) });
        }
        Box::pin(self.write(self.inner.advance(fence, item, event, now)))
    }

    fn stem_ordinal(&self, item: ItemId) -> BoxFuture<'_, LedgerResult<u64>> {
        self.inner.stem_ordinal(item)
    }

    fn totals(&self) -> BoxFuture<'_, LedgerResult<Totals>> {
        self.inner.totals()
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

    fn audit(&self) -> BoxFuture<'_, LedgerResult<Audit>> {
        self.inner.audit()
    }
}
