//! Counts and sums of the whole job: kept in the job's row, so that a ledger of ten million
//! rows opens as fast as one of ten, and recounted from the tables for the audit.
//!
//! What one event changes of them is decided by [`Head`]. The writer [saves](save) them in
//! the transaction of the events, so that they are never older than what they count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::{
    contract::{Audit, LedgerResult},
    fault::damaged,
    head::Head,
    record::{Money, Totals},
    rows::{RowReader, to_json},
};
use crate::core::{Edition, Fence, ItemState, Micros};

/// [`Totals`] as the job's row keeps them, without the rows, which the edition has.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    /// By the words of the states: their order may change with the program.
    #[serde(borrow)]
    items: BTreeMap<&'a str, u64>,
    charged: i64,
    possibly_charged: i64,
    reserved: i64,
    submits: u64,
}

impl Kept<'_> {
    fn of(totals: &Totals) -> Self {
        let states = ItemState::ALL.into_iter();
        Self {
            items: states.map(|state| (state.as_str(), totals.count(state))).collect(),
            charged: totals.money.charged.0,
            possibly_charged: totals.money.possibly_charged.0,
            reserved: totals.money.reserved.0,
            submits: totals.submits,
        }
    }

    fn totals(&self) -> Totals {
        let count = |state: ItemState| self.items.get(state.as_str()).copied().unwrap_or(0);
        Totals {
            items: ItemState::ALL.map(count),
            rows: 0,
            money: Money {
                charged: Micros(self.charged),
                possibly_charged: Micros(self.possibly_charged),
                reserved: Micros(self.reserved),
            },
            submits: self.submits,
        }
    }
}

/// Reads the head from the tables. Counts anew only in a ledger of an earlier version.
pub(super) async fn load_head(connection: &mut SqliteConnection) -> LedgerResult<Head> {
    let mut head = Head::default();
    let job = "SELECT fence, settlement, (SELECT max(id) FROM items), totals FROM job";
    let job = sqlx::query(job).fetch_one(&mut *connection).await?;
    let mut job = RowReader::new(&job);
    head.fence = Fence(job.value()?);
    head.last_settlement = job.value()?;
    head.last_item = job.value::<Option<i64>>()?.unwrap_or(0);
    let kept: Option<&str> = job.value()?;

    let edition = "SELECT edition, content IS NULL, rows FROM editions \
                   ORDER BY edition DESC LIMIT 1";
    if let Some(row) = sqlx::query(edition).fetch_optional(&mut *connection).await? {
        let mut row = RowReader::new(&row);
        head.edition = Edition(row.value()?);
        head.reading = row.value()?;
        head.totals.rows = row.value()?;
    }
    let rows = head.totals.rows;
    head.totals = match kept {
        Some(kept) => serde_json::from_str::<Kept<'_>>(kept).map_err(damaged)?.totals(),
        None => recount(connection, &head).await?.counted,
    };
    head.totals.rows = rows;
    Ok(head)
}

/// Keeps what `head` knows of the job as a whole.
pub(super) async fn save(connection: &mut SqliteConnection, head: &Head) -> LedgerResult<()> {
    sqlx::query("UPDATE job SET settlement = ?1, totals = ?2")
        .bind(head.last_settlement)
        .bind(to_json(&Kept::of(&head.totals))?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts everything from the tables, whatever is kept: for the audit.
pub(super) async fn audit(connection: &mut SqliteConnection) -> LedgerResult<Audit> {
    let head = load_head(connection).await?;
    let mut audit = recount(connection, &head).await?;
    let rows = "SELECT count(*) FROM rows WHERE edition = ?1";
    let rows = sqlx::query_scalar(rows).bind(head.edition.0).fetch_one(&mut *connection).await?;
    audit.counted.rows = rows;
    audit.by_items = sum_items(connection).await?;
    Ok(audit)
}

/// One pass over an index of the items, and one over the attempts.
async fn recount(connection: &mut SqliteConnection, head: &Head) -> LedgerResult<Audit> {
    let mut audit = sum_attempts(connection).await?;
    let counts = "SELECT edition, state, count(*) FROM items GROUP BY state, edition";
    for row in sqlx::query(counts).fetch_all(connection).await? {
        let mut row = RowReader::new(&row);
        let (edition, state) = (Edition(row.value()?), row.state()?);
        if head.offers(edition, state) {
            audit.counted.items[state as usize] += row.value::<u64>()?;
        }
    }
    Ok(audit)
}

/// Sums the money as the attempts tell it.
async fn sum_attempts(connection: &mut SqliteConnection) -> LedgerResult<Audit> {
    let sums = "SELECT count(*), \
         coalesce(sum(price) FILTER (WHERE booking = 'charged'), 0), \
         coalesce(sum(price) FILTER (WHERE booking = 'possibly-charged'), 0), \
         coalesce(sum(price) FILTER (WHERE booking = 'reserved'), 0), \
         count(request_id) FROM attempts";
    let row = sqlx::query(sums).fetch_one(connection).await?;
    let mut row = RowReader::new(&row);
    let attempts = row.value()?;
    let money = Money {
        charged: Micros(row.value()?),
        possibly_charged: Micros(row.value()?),
        reserved: Micros(row.value()?),
    };
    let counted = Totals { money, submits: row.value()?, ..Totals::default() };
    Ok(Audit { attempts, counted, by_items: Money::default() })
}

/// Sums the money as the items tell it.
async fn sum_items(connection: &mut SqliteConnection) -> LedgerResult<Money> {
    let sums = "SELECT coalesce(sum(charged), 0), coalesce(sum(possibly_charged), 0), \
         coalesce(sum(price) FILTER (WHERE booking = 'reserved'), 0) FROM items";
    let row = sqlx::query(sums).fetch_one(connection).await?;
    let mut row = RowReader::new(&row);
    Ok(Money {
        charged: Micros(row.value()?),
        possibly_charged: Micros(row.value()?),
        reserved: Micros(row.value()?),
    })
}
