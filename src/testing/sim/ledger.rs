//! The in-memory ledger with a boundary before and after each write, a witness beside
//! it, and a disk that may fail below it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{
    Boundaries,
    books::picture_of,
    dice::What,
    scene::{Scene, lock},
    witness::Witness,
};
use crate::{
    core::{Edition, Endpoint, EventKind, Fence, Item, ItemEvent, ItemId, ItemState},
    ledger::{
        Audit, EditionHeader, Imported, JobRecord, Ledger, LedgerError, LedgerResult, NewRow,
        RowFilter, RowRecord, SettledRow, Totals,
    },
};

/// A ledger at which the world can stop.
pub struct BoundaryLedger {
    inner: Arc<dyn Ledger>,
    boundaries: Arc<Boundaries>,
    failing: Option<Failing>,
    watched: Option<Watched>,
}

/// What a ledger that belongs to a world knows of it.
#[derive(Debug)]
struct Watched {
    scene: Scene,
    witness: Arc<Mutex<Witness>>,
    writes: AtomicU32,
}

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Nothing was written.
    Lost,
    /// It was written, and nobody can say so: the disk failed while it was confirmed.
    Unsaid,
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
    pub fn new(inner: impl Ledger + 'static, boundaries: Arc<Boundaries>) -> Self {
        Self::around(Arc::new(inner), boundaries)
    }

    /// Wraps a ledger that others use too.
    #[must_use]
    pub fn around(inner: Arc<dyn Ledger>, boundaries: Arc<Boundaries>) -> Self {
        Self { inner, boundaries, failing: None, watched: None }
    }

    /// Lets the first `times` writes of this event of this item fail.
    #[must_use]
    pub fn failing(self, item: ItemId, event: EventKind, times: u32) -> Self {
        Self { failing: Some(Failing { item, event, times: AtomicU32::new(times) }), ..self }
    }

    /// Watches every write, and lets it fail while the scene's disk does.
    pub(super) fn watched(self, scene: Scene, witness: Arc<Mutex<Witness>>) -> Self {
        let watched = Watched { scene, witness, writes: AtomicU32::new(0) };
        Self { watched: Some(watched), ..self }
    }

    fn trouble(&self) -> Option<Trouble> {
        let Watched { scene, writes, .. } = self.watched.as_ref()?;
        if !scene.faults.ledger_down.has(scene.dice, scene.now()) {
            return None;
        }
        let number = writes.fetch_add(1, Ordering::Relaxed);
        Some(scene.dice.pick(What::Write, number, &[Trouble::Lost, Trouble::Unsaid]))
    }

    fn fails(&self, item: ItemId, event: EventKind) -> bool {
        self.failing.as_ref().is_some_and(|failing| {
            let left = |times: u32| times.checked_sub(1);
            (failing.item, failing.event) == (item, event)
                && failing.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
        })
    }

    /// Writes as the session of `fence`, and lets the witness see what came of it.
    async fn write<T>(
        &self,
        fence: Fence,
        call: BoxFuture<'_, LedgerResult<T>>,
        see: impl FnOnce(&mut Witness, &T),
    ) -> LedgerResult<T> {
        self.boundaries.pass().await;
        let trouble = self.trouble();
        let failed = || Err(LedgerError::Unavailable("simulated".to_owned()));
        if trouble == Some(Trouble::Lost) {
            return failed();
        }
        let result = call.await;
        if let Some(Watched { witness, .. }) = &self.watched {
            let mut witness = lock(witness);
            witness.wrote(fence, result.is_ok());
            if let Ok(done) = &result {
                see(&mut witness, done);
            }
        }
        self.boundaries.pass().await;
        if trouble.is_some() { failed() } else { result }
    }

    async fn begin(&self) -> LedgerResult<Fence> {
        self.boundaries.pass().await;
        if self.trouble().is_some() {
            return Err(LedgerError::Unavailable("simulated".to_owned()));
        }
        let fence = self.inner.begin_session().await?;
        if let Some(Watched { witness, .. }) = &self.watched {
            lock(witness).session_began(fence);
        }
        self.boundaries.pass().await;
        Ok(fence)
    }
}

impl Ledger for BoundaryLedger {
    fn begin_session(&self) -> BoxFuture<'_, LedgerResult<Fence>> {
        Box::pin(self.begin())
    }

    fn job(&self) -> BoxFuture<'_, LedgerResult<JobRecord>> {
        self.inner.job()
    }

    fn bind_service(&self, fence: Fence, service: String) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(fence, self.inner.bind_service(fence, service), |_, ()| {}))
    }

    fn pause(
        &self,
        fence: Fence,
        endpoint: Endpoint,
        until: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(fence, self.inner.pause(fence, endpoint, until), |_, ()| {}))
    }

    fn begin_edition(
        &self,
        fence: Fence,
        header: EditionHeader,
    ) -> BoxFuture<'_, LedgerResult<Edition>> {
        Box::pin(self.write(fence, self.inner.begin_edition(fence, header), |_, _| {}))
    }

    fn import(
        &self,
        fence: Fence,
        edition: Edition,
        rows: Vec<NewRow>,
    ) -> BoxFuture<'_, LedgerResult<Imported>> {
        Box::pin(self.write(fence, self.inner.import(fence, edition, rows), |_, _| {}))
    }

    fn finish_edition(
        &self,
        fence: Fence,
        edition: Edition,
        content: String,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(fence, self.inner.finish_edition(fence, edition, content), |_, ()| {}))
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
        let kind = event.kind();
        let books = self.watched.as_ref().map(|watched| watched.scene.books.clone());
        let see = move |witness: &mut Witness, item: &Item| {
            witness.moved(kind, item);
            if let Some(books) = books.filter(|_| kind == EventKind::SubmitIntent) {
                lock(&books).intended(picture_of(&item.source));
            }
        };
        Box::pin(self.write(fence, self.inner.advance(fence, item, event, now), see))
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

    fn recent_times(&self, limit: usize) -> BoxFuture<'_, LedgerResult<Vec<Duration>>> {
        self.inner.recent_times(limit)
    }

    fn audit(&self) -> BoxFuture<'_, LedgerResult<Audit>> {
        self.inner.audit()
    }
}
