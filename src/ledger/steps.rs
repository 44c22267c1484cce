//! Applies events to items on disk: many at once, in three statements.
//!
//! Runs inside a transaction of the [writer](super::writer), as
//! [statements](super::statements) do. What an event changes is decided by
//! [`Head::advance`], in memory, so that two events of one item in one transaction
//! build on each other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    contract::{LedgerError, LedgerResult},
    head::{AttemptRecord, Head, Kept},
    rows::{AttemptUpsert, ItemUpdate, RowReader, item_columns, to_json, to_json_array},
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

const UPDATE_ITEMS: &str = "UPDATE items SET \
     state = given.value ->> '$.state', settlement = given.value ->> '$.settlement', \
     staged_url = given.value ->> '$.staged_url', tries = given.value ->> '$.tries', \
     service_errors = given.value ->> '$.service_errors', \
     refreshes = given.value ->> '$.refreshes', \
     not_before = given.value ->> '$.not_before', \
     request_id = given.value ->> '$.request_id', polling_url = given.value ->> '$.polling_url', \
     media = given.value ->> '$.media', submitted_at = given.value ->> '$.submitted_at', \
     settled_at = given.value ->> '$.settled_at', attempt = given.value ->> '$.attempt', \
     booking = given.value ->> '$.booking', price = given.value ->> '$.price', \
     charged = given.value ->> '$.charged', \
     possibly_charged = given.value ->> '$.possibly_charged', \
     failure = given.value ->> '$.failure', artifacts = given.value ->> '$.artifacts' \
     FROM json_each(?1) AS given WHERE items.id = given.value ->> '$.id'";

const UPSERT_ATTEMPTS: &str = "INSERT INTO attempts \
     (item, number, booking, price, request_id, submitted_at, booked_at, http_status) \
     SELECT value ->> '$.item', value ->> '$.number', value ->> '$.booking', value ->> '$.price', \
     value ->> '$.request_id', value ->> '$.submitted_at', value ->> '$.booked_at', \
     value ->> '$.http_status' FROM json_each(?1) WHERE true \
     ON CONFLICT (item, number) DO UPDATE SET booking = excluded.booking, \
     request_id = excluded.request_id, booked_at = excluded.booked_at, \
     http_status = excluded.http_status";

/// Applies steps in order; returns what each is to be answered with. A refused step
/// changes nothing and does not hinder the others.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    head: &mut Head,
    steps: Vec<Step>,
) -> LedgerResult<Vec<LedgerResult<Item>>> {
    let ids = to_json_array(steps.iter().map(|step| step.item))?;
    let mut items = BTreeMap::new();
    for row in sqlx::query(SELECT_ITEMS).bind(ids).fetch_all(&mut *connection).await? {
        let kept = RowReader::new(&row).kept()?;
        items.insert(kept.item.id, kept);
    }
    let mut changes = Changes::default();
    let answers = steps.into_iter().map(|step| changes.apply(step, head, &mut items)).collect();
    changes.write(connection, &items).await?;
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
        let changed = items.values().filter(|kept| self.items.contains(&kept.item.id));
        let updates = changed.map(ItemUpdate::new).collect::<LedgerResult<Vec<_>>>()?;
        if !updates.is_empty() {
            sqlx::query(UPDATE_ITEMS).bind(to_json(&updates)?).execute(&mut *connection).await?;
        }
        if !self.attempts.is_empty() {
            let attempts = to_json_array(self.attempts.values().map(AttemptUpsert::new))?;
            sqlx::query(UPSERT_ATTEMPTS).bind(attempts).execute(connection).await?;
        }
        Ok(())
    }
}
