//! The ledger of simulations and tests: the same contract without a disk.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{
    contract::{Audit, Ledger, LedgerError, LedgerResult},
    head::{AttemptRecord, Head, Kept, whole_millis},
    import::{Known, PlannedItem, PlannedRow, RenewedItem, plan, stem_names},
    names::Name,
    record::{
        EditionHeader, Imported, JobRecord, Money, NewRow, Pauses, RowFilter, RowRecord,
        SettledRow, Totals,
    },
};
use crate::core::{
    Booking, CallbackSecret, Edition, Endpoint, Fence, Item, ItemEvent, ItemId, ItemKey, ItemState,
    Micros, Photo,
};

/// No secret at all: nobody calls a simulation from outside, and its runs are to be
/// repeatable.
const CALLBACK_SECRET: CallbackSecret = CallbackSecret::new(*b"every ledger in memory has this.");

/// A ledger in memory. Clones share one store, so that a simulation can drop
/// everything else, as a crash does, and go on with the clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger {
    store: Arc<Mutex<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    head: Head,
    service: Option<String>,
    paused: Pauses,
    /// Header of the edition begun last.
    header: Option<EditionHeader>,
    finished: Option<(Edition, String)>,
    items: BTreeMap<ItemId, Entry>,
    known: HashMap<ItemKey, Known>,
    stems: HashMap<Name, u64>,
    rows: BTreeMap<(Edition, i64), PlannedRow>,
    lines: BTreeSet<(ItemId, Edition, i64)>,
    settlements: BTreeMap<i64, ItemId>,
    attempts: BTreeMap<(ItemId, u32), AttemptRecord>,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    key: ItemKey,
}

impl MemoryLedger {
    /// Creates an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Never held across an await. A panic of one caller leaves no half-made change
    /// behind that the others could not read, so that poison is ignored.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn import(&mut self, rows: Vec<NewRow>) -> Imported {
        let edition = self.head.edition;
        let names = stem_names(&rows);
        let plan = plan(rows, &names, &mut self.known, &mut self.stems, &mut self.head);
        for planned in plan.items {
            self.settle(planned.id, planned.settlement);
            let key = planned.facts.key;
            let kept = new_item(planned, edition);
            self.items.insert(kept.item.id, Entry { kept, key });
        }
        for moved in plan.moved {
            self.settle(moved.id, moved.settlement);
            if let Some(entry) = self.items.get_mut(&moved.id) {
                entry.kept.item.edition = edition;
                entry.kept.settlement = moved.settlement;
            }
        }
        for renewed in plan.renewed {
            if let Some(entry) = self.items.get_mut(&renewed.id) {
                renew_item(&mut entry.kept.item, renewed);
            }
        }
        for row in plan.rows {
            self.lines.insert((row.item, edition, row.line));
            self.rows.insert((edition, row.line), row);
        }
        plan.imported
    }

    /// Replaces the number of an item's settlement.
    fn settle(&mut self, id: ItemId, settlement: Option<i64>) {
        let old = self.items.get(&id).and_then(|entry| entry.kept.settlement);
        if let Some(old) = old {
            self.settlements.remove(&old);
        }
        if let Some(settlement) = settlement {
            self.settlements.insert(settlement, id);
        }
    }

    fn advance(&mut self, id: ItemId, event: ItemEvent, now: Timestamp) -> LedgerResult<Item> {
        let entry = self.items.get(&id).ok_or(LedgerError::UnknownItem(id))?;
        let (mut kept, key) = (entry.kept.clone(), entry.key);
        if let Some(attempt) = self.head.advance(&mut kept, event, now)? {
            self.attempts.insert((id, attempt.number), attempt);
        }
        self.settle(id, kept.settlement);
        if let Some(known) = self.known.get_mut(&key) {
            known.state = kept.item.state;
            known.code = kept.item.failure.as_ref().map(|failure| failure.code);
        }
        let after = kept.item.clone();
        if let Some(entry) = self.items.get_mut(&id) {
            entry.kept = kept;
        }
        Ok(after)
    }

    fn record(&self, row: &PlannedRow) -> Option<RowRecord> {
        let entry = self.items.get(&row.item)?;
        Some(RowRecord {
            line: row.line,
            cells: row.cells.clone(),
            first: row.first,
            item: entry.kept.item.clone(),
        })
    }

    fn rows_of(&self, id: ItemId) -> impl Iterator<Item = RowRecord> {
        let edition = self.head.edition;
        self.lines
            .range((id, edition, i64::MIN)..=(id, edition, i64::MAX))
            .filter_map(move |(_, _, line)| self.rows.get(&(edition, *line)))
            .filter_map(|row| self.record(row))
    }

    fn settled_rows(&self, after: i64, limit: usize) -> Vec<SettledRow> {
        let mut settled = Vec::new();
        for (&settlement, &id) in self.settlements.range(after.saturating_add(1)..) {
            if settled.len() >= limit {
                break;
            }
            settled.extend(self.rows_of(id).map(|row| SettledRow { settlement, row }));
        }
        settled
    }

    fn rows(&self, filter: RowFilter, after: i64, limit: usize) -> Vec<RowRecord> {
        let edition = self.head.edition;
        self.rows
            .range((edition, after.saturating_add(1))..=(edition, i64::MAX))
            .filter_map(|(_, row)| self.record(row))
            .filter(|row| filter.wants(row.item.state))
            .take(limit)
            .collect()
    }

    fn recent_times(&self, limit: usize) -> Vec<Duration> {
        let entries = self.settlements.values().rev().filter_map(|id| self.items.get(id));
        let items = entries.map(|entry| &entry.kept.item);
        let current = items.filter(|item| item.edition == self.head.edition).take(limit);
        current.filter_map(Item::time_to_done).collect()
    }

    fn sum_items(&self) -> Money {
        let items = || self.items.values().map(|entry| &entry.kept.item);
        let charged = items().map(|item| item.charged).sum();
        let possibly_charged = items().map(|item| item.possibly_charged).sum();
        let committed: Micros = items().map(Item::committed).sum();
        Money { charged, possibly_charged, reserved: committed - charged - possibly_charged }
    }

    fn audit(&self) -> Audit {
        let sum = |booking| -> Micros {
            let booked = self.attempts.values().filter(|attempt| attempt.booking == booking);
            booked.map(|attempt| attempt.price).sum()
        };
        let money = Money {
            charged: sum(Booking::Charged),
            possibly_charged: sum(Booking::PossiblyCharged),
            reserved: sum(Booking::Reserved),
        };
        let edition = self.head.edition;
        let rows = self.rows.range((edition, i64::MIN)..=(edition, i64::MAX)).count() as u64;
        let accepted = self.attempts.values().filter(|attempt| attempt.request_id.is_some());
        let mut counted =
            Totals { money, rows, submits: accepted.count() as u64, ..Totals::default() };
        for Entry { kept: Kept { item, .. }, .. } in self.items.values() {
            counted.items[item.state as usize] +=
                u64::from(self.head.offers(item.edition, item.state));
        }
        Audit { attempts: self.attempts.len() as u64, counted, by_items: self.sum_items() }
    }
}

fn new_item(planned: PlannedItem, edition: Edition) -> Kept {
    let facts = planned.facts;
    let photo = Photo {
        source: facts.source,
        scale: facts.scale,
        version: facts.version,
        stem: facts.stem,
    };
    let mut item = Item::new(planned.id, edition, photo, planned.state);
    item.failure = planned.failure;
    item.ordinal = planned.ordinal;
    Kept { item, settlement: planned.settlement }
}

fn renew_item(item: &mut Item, renewed: RenewedItem) {
    item.source = renewed.source;
    item.scale = renewed.scale;
    item.version = renewed.version;
    item.state = renewed.state;
    item.staged_url = renewed.staged_url;
}

impl Ledger for MemoryLedger {
    fn begin_session(&self) -> BoxFuture<'_, LedgerResult<Fence>> {
        Box::pin(async move {
            let head = &mut self.store().head;
            head.fence = Fence(head.fence.0 + 1);
            Ok(head.fence)
        })
    }

    fn job(&self) -> BoxFuture<'_, LedgerResult<JobRecord>> {
        Box::pin(async move {
            let store = self.store();
            Ok(JobRecord {
                finished: store.finished.clone(),
                begun: store.header.is_some().then_some(store.head.edition),
                header: store.header.clone(),
                service: store.service.clone(),
                callback_secret: CALLBACK_SECRET,
                paused: store.paused,
            })
        })
    }

    fn bind_service(&self, fence: Fence, service: String) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(async move {
            let mut store = self.store();
            store.head.check_fence(fence)?;
            store.service = Some(service);
            Ok(())
        })
    }

    fn pause(
        &self,
        fence: Fence,
        endpoint: Endpoint,
        until: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(async move {
            let mut store = self.store();
            store.head.check_fence(fence)?;
            store.paused.extend(endpoint, whole_millis(until));
            Ok(())
        })
    }

    fn begin_edition(
        &self,
        fence: Fence,
        header: EditionHeader,
    ) -> BoxFuture<'_, LedgerResult<Edition>> {
        Box::pin(async move {
            let mut store = self.store();
            store.head.check_fence(fence)?;
            store.header = Some(header);
            Ok(store.head.begin_edition())
        })
    }

    fn import(
        &self,
        fence: Fence,
        edition: Edition,
        rows: Vec<NewRow>,
    ) -> BoxFuture<'_, LedgerResult<Imported>> {
        Box::pin(async move {
            let mut store = self.store();
            store.head.check_import(fence, edition)?;
            Ok(store.import(rows))
        })
    }

    fn finish_edition(
        &self,
        fence: Fence,
        edition: Edition,
        content: String,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(async move {
            let mut store = self.store();
            store.head.check_import(fence, edition)?;
            store.head.reading = false;
            store.finished = Some((edition, content));
            store.rows.retain(|(of, _), _| *of == edition);
            store.lines.retain(|(_, of, _)| *of == edition);
            Ok(())
        })
    }

    fn open_items(
        &self,
        states: Vec<ItemState>,
        after: ItemId,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<Item>>> {
        Box::pin(async move {
            let store = self.store();
            let later = store.items.range(ItemId(after.0.saturating_add(1))..);
            let items = later
                .map(|(_, entry)| &entry.kept.item)
                .filter(|item| states.contains(&item.state))
                .filter(|item| store.head.offers(item.edition, item.state))
                .take(limit);
            Ok(items.cloned().collect())
        })
    }

    fn item(&self, id: ItemId) -> BoxFuture<'_, LedgerResult<Item>> {
        Box::pin(async move {
            let store = self.store();
            let entry = store.items.get(&id).ok_or(LedgerError::UnknownItem(id))?;
            Ok(entry.kept.item.clone())
        })
    }

    fn advance(
        &self,
        fence: Fence,
        item: ItemId,
        event: ItemEvent,
        now: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<Item>> {
        Box::pin(async move {
            let mut store = self.store();
            store.head.check_fence(fence)?;
            store.advance(item, event, now)
        })
    }

    fn totals(&self) -> BoxFuture<'_, LedgerResult<Totals>> {
        Box::pin(async move { Ok(self.store().head.totals) })
    }

    fn settled_rows(
        &self,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<SettledRow>>> {
        Box::pin(async move { Ok(self.store().settled_rows(after, limit)) })
    }

    fn rows(
        &self,
        filter: RowFilter,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<RowRecord>>> {
        Box::pin(async move { Ok(self.store().rows(filter, after, limit)) })
    }

    fn recent_times(&self, limit: usize) -> BoxFuture<'_, LedgerResult<Vec<Duration>>> {
        Box::pin(async move { Ok(self.store().recent_times(limit)) })
    }

    fn audit(&self) -> BoxFuture<'_, LedgerResult<Audit>> {
        Box::pin(async move { Ok(self.store().audit()) })
    }
}
