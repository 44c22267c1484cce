//! Applies events to items on disk: many at once, in two statements.
//!
//! Runs inside a transaction of the [writer](super::writer), as
//! [statements](super::statements) do. What an event changes is decided by
//! [`Head::advance`], in memory, so that two events of one item in one transaction
//! build on each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    contract::{LedgerError, LedgerResult},
    given::Bulk,
    head::{AttemptRecord, Head, Kept},
    rows::{AttemptUpsert, ItemUpdate, RowReader, item_columns, to_json_array},
};
use crate::core::{Fence, Item, ItemEvent, ItemId};

/// One call of [`advance`](super::Ledger::advance).
#[derive(Debug)]
pub(super) struct Step {
    pub(super) fence: Fence,
    pub(super) item: ItemId,
    pub(super) event: ItemEvent,
    pub(super) now: Timestamp,
}

const SELECT_ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM json_each(?1) AS given CROSS JOIN items ON items.id = given.value"
);

static UPDATE_ITEMS: LazyLock<Bulk> = LazyLock::new(|| {
    let set = "UPDATE items SET state = column2, settlement = column3, staged_url = column4, \
         tries = column5, service_errors = column6, refreshes = column7, not_before = column8, \
         request_id = column9, polling_url = column10, media = column11, \
         submitted_at = column12, settled_at = column13, attempt = column14, \
         booking = column15, price = column16, charged = column17, \
         possibly_charged = column18, failure = column19, artifacts = column20 FROM";
    Bulk::new::<ItemUpdate<'_>>(set, "WHERE items.id = column1")
});

static UPSERT_ATTEMPTS: LazyLock<Bulk> = LazyLock::new(|| {
    let insert = "INSERT INTO attempts \
         (item, number, booking, price, request_id, submitted_at, booked_at, http_status) \
         SELECT column1, column2, column3, column4, column5, column6, column7, column8 FROM";
    let update = "WHERE column1 IS NOT NULL \
         ON CONFLICT (item, number) DO UPDATE SET booking = excluded.booking, \
         request_id = excluded.request_id, booked_at = excluded.booked_at, \
         http_status = excluded.http_status";
    Bulk::new::<AttemptUpsert<'_>>(insert, update)
});

/// Most items in [`InHand`]: more than any run has at the service, and some megabytes.
const MOST_IN_HAND: usize = 10_000;

/// Items as the last steps have left them, so that the next step of each need not read it.
///
/// True to the tables only while nothing else changes items: whoever does
/// [forgets](Self::forget) them, and so does the writer when a transaction fails.
#[derive(Debug, Default)]
pub(super) struct InHand {
    items: BTreeMap<ItemId, Kept>,
}

impl InHand {
    /// Reads every item anew from now on.
    pub(super) fn forget(&mut self) {
        self.items.clear();
    }

    /// Reads those of `ids` that are not here.
    async fn load(
        &mut self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = ItemId>,
    ) -> LedgerResult<()> {
        if self.items.len() > MOST_IN_HAND {
            self.forget();
        }
        let missing: BTreeSet<_> = ids.filter(|id| !self.items.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let ids = to_json_array(missing)?;
        for row in sqlx::query(SELECT_ITEMS).bind(ids).fetch_all(connection).await? {
            let kept = RowReader::new(&row).kept()?;
            self.items.insert(kept.item.id, kept);
        }
        Ok(())
    }

    /// Lets go of items that no step is expected for.
    fn release_settled(&mut self, changed: &BTreeSet<ItemId>) {
        for id in changed {
            if self.items.get(id).is_some_and(|kept| kept.item.state.is_settled()) {
                self.items.remove(id);
            }
        }
    }
}

/// Applies steps in order; returns what each is to be answered with. A refused step
/// changes nothing and does not hinder the others.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    head: &mut Head,
    in_hand: &mut InHand,
    steps: Vec<Step>,
) -> LedgerResult<Vec<LedgerResult<Item>>> {
    in_hand.load(connection, steps.iter().map(|step| step.item)).await?;
    let items = &mut in_hand.items;
    let mut changes = Changes::default();
    let answers = steps.into_iter().map(|step| changes.apply(step, head, items)).collect();
    changes.write(connection, items).await?;
    in_hand.release_settled(&changes.items);
    Ok(answers)
}

/// What a run of steps has changed.
#[derive(Default)]
struct Changes {
    items: BTreeSet<ItemId>,
    attempts: BTreeMap<(ItemId, u32), AttemptRecord>,
}

impl Changes {
    fn apply(
        &mut self,
        step: Step,
        head: &mut Head,
        items: &mut BTreeMap<ItemId, Kept>,
    ) -> LedgerResult<Item> {
        head.check_fence(step.fence)?;
        let kept = items.get_mut(&step.item).ok_or(LedgerError::UnknownItem(step.item))?;
        if let Some(attempt) = head.advance(kept, step.event, step.now)? {
            self.attempts.insert((attempt.item, attempt.number), attempt);
        }
        self.items.insert(step.item);
        Ok(kept.item.clone())
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        items: &BTreeMap<ItemId, Kept>,
    ) -> LedgerResult<()> {
        let changed = self.items.iter().filter_map(|id| items.get(id));
        let updates = changed.map(ItemUpdate::new).collect::<LedgerResult<Vec<_>>>()?;
        for query in UPDATE_ITEMS.queries(&updates) {
            query.execute(&mut *connection).await?;
        }
        let attempts: Vec<_> = self.attempts.values().map(AttemptUpsert::new).collect();
        for query in UPSERT_ATTEMPTS.queries(&attempts) {
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}
