//! Reads the database on connections that cannot write, at the same time as the
//! writer and without waiting for it.

use std::{path::Path, time::Duration};

use futures::TryStreamExt;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    contract::{Audit, LedgerError, LedgerResult},
    counts,
    record::{EditionHeader, JobRecord, Pauses, RowFilter, RowRecord, SettledRow, Totals},
    rows::{RowReader, item_columns, to_json_array},
};
use crate::core::{Edition, FailureCode, Item, ItemId, ItemState};

/// Reads that run at once; more wait. Pages are short, and a run has few readers.
const CONNECTIONS: u32 = 4;

/// One state, in id order, without sorting what lies after the page.
const OPEN_ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM items INDEXED BY items_by_state \
     WHERE state = ?1 AND edition = (SELECT max(edition) FROM editions) AND id > ?2 \
     ORDER BY id LIMIT ?3"
);

/// The same of the editions before, for states in which an item is owed: at most as many as
/// were in flight when the manifest was edited, so that they may be sorted.
const OLDER_ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM items INDEXED BY items_by_state \
     WHERE state = ?1 AND edition < (SELECT max(edition) FROM editions) AND id > ?2 \
     ORDER BY id LIMIT ?3"
);

const ONE_ITEM: &str = concat!("SELECT ", item_columns!(), " FROM items WHERE id = ?1");

/// Without the name of the index each item would cost a walk through all rows: nothing is
/// known of how many an edition has. Only the items of one page are joined and sorted.
const SETTLED_ROWS: &str = concat!(
    "SELECT items.settlement, rows.line, rows.cells, rows.first, ",
    item_columns!(),
    " FROM (SELECT * FROM items INDEXED BY items_by_settlement \
     WHERE edition = (SELECT max(edition) FROM editions) AND settlement > ?1 \
     ORDER BY settlement LIMIT ?2) AS items \
     CROSS JOIN rows INDEXED BY rows_by_item \
     ON rows.item = items.id AND rows.edition = items.edition \
     ORDER BY items.settlement, rows.line"
);

/// From the end of the index backwards; what is not done is left out only afterwards, so
/// that no run of other settlements makes the look longer.
const RECENT_TIMES: &str = "SELECT settled_at - submitted_at FROM (\
         SELECT state, submitted_at, settled_at FROM items INDEXED BY items_by_settlement \
         WHERE edition = (SELECT max(edition) FROM editions) AND settlement IS NOT NULL \
         ORDER BY settlement DESC LIMIT ?1) \
     WHERE state = ?2 AND settled_at >= submitted_at";

/// In the order of the index, so that one look tells of most jobs.
const FAILED_BUT_FOR: &str = "SELECT EXISTS (SELECT 1 FROM items INDEXED BY items_by_state \
     WHERE state = ?1 AND edition = (SELECT max(edition) FROM editions) \
     AND failure ->> '$.code' <> ?2)";

const ROWS: &str = concat!(
    "SELECT rows.line, rows.cells, rows.first, ",
    item_columns!(),
    " FROM rows CROSS JOIN items ON items.id = rows.item \
     WHERE rows.edition = (SELECT max(edition) FROM editions) AND rows.line > ?1 \
     AND items.state IN (SELECT value FROM json_each(?2)) \
     ORDER BY rows.line LIMIT ?3"
);

/// The reading end of a ledger.
#[derive(Debug)]
pub(super) struct Reader {
    pool: SqlitePool,
}

impl Reader {
    pub(super) async fn open(options: SqliteConnectOptions) -> LedgerResult<Self> {
        let pool =
            SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        Ok(Self { pool })
    }

    pub(super) async fn job(&self) -> LedgerResult<JobRecord> {
        let mut snapshot = self.pool.begin().await?;
        let job =
            "SELECT service, callback_secret, submit_paused_until, poll_paused_until FROM job";
        let job = sqlx::query(job).fetch_one(&mut *snapshot).await?;
        let mut job = RowReader::new(&job);
        let (service, callback_secret) = (job.value()?, job.callback_secret()?);
        let paused = Pauses { submit: job.time()?, poll: job.time()? };
        let newest = "SELECT edition, columns, source_column, base_dir FROM editions \
                      ORDER BY edition DESC LIMIT 1";
        let newest = sqlx::query(newest).fetch_optional(&mut *snapshot).await?;
        let finished = "SELECT edition, content FROM editions WHERE content IS NOT NULL \
                        ORDER BY edition DESC LIMIT 1";
        let finished: Option<(i64, String)> =
            sqlx::query_as(finished).fetch_optional(&mut *snapshot).await?;
        let newest = newest.map(|row| {
            let mut row = RowReader::new(&row);
            let edition = Edition(row.value()?);
            let columns = row.json()?;
            let source_column = usize::try_from(row.value::<i64>()?).unwrap_or(usize::MAX);
            let header = EditionHeader { columns, source_column, base_dir: row.value()? };
            Ok::<_, LedgerError>((edition, header))
        });
        let (begun, header) = newest.transpose()?.unzip();
        Ok(JobRecord {
            finished: finished.map(|(edition, content)| (Edition(edition), content)),
            begun,
            header,
            service,
            callback_secret,
            paused,
        })
    }

    pub(super) async fn copy_to(&self, path: &Path) -> LedgerResult<()> {
        let name = path.to_str().ok_or_else(|| {
            LedgerError::Unavailable("the path of the copy is not UTF-8".to_owned())
        })?;
        sqlx::query("VACUUM INTO ?1").bind(name).execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn open_items(
        &self,
        states: &[ItemState],
        after: ItemId,
        limit: usize,
    ) -> LedgerResult<Vec<Item>> {
        // One snapshot, or an item that moves between two states could be missed.
        let mut snapshot = self.pool.begin().await?;
        let mut items = Vec::new();
        for state in ItemState::ALL.into_iter().filter(|state| states.contains(state)) {
            let older = state.is_owed().then_some(OLDER_ITEMS);
            for query in [Some(OPEN_ITEMS), older].into_iter().flatten() {
                let rows = sqlx::query(query)
                    .bind(state.as_str())
                    .bind(after.0)
                    .bind(sql_limit(limit))
                    .fetch_all(&mut *snapshot)
                    .await?;
                for row in &rows {
                    items.push(RowReader::new(row).kept()?.item);
                }
            }
        }
        items.sort_unstable_by_key(|item| item.id);
        items.truncate(limit);
        Ok(items)
    }

    pub(super) async fn item(&self, id: ItemId) -> LedgerResult<Item> {
        let row = sqlx::query(ONE_ITEM).bind(id.0).fetch_optional(&self.pool).await?;
        let row = row.ok_or(LedgerError::UnknownItem(id))?;
        Ok(RowReader::new(&row).kept()?.item)
    }

    pub(super) async fn settled_rows(
        &self,
        after: i64,
        limit: usize,
    ) -> LedgerResult<Vec<SettledRow>> {
        let mut settled: Vec<SettledRow> = Vec::new();
        let mut rows =
            sqlx::query(SETTLED_ROWS).bind(after).bind(sql_limit(limit)).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            let mut row = RowReader::new(&row);
            let settlement = row.value()?;
            let is_next_item = settled.last().is_none_or(|last| last.settlement != settlement);
            if settled.len() >= limit && is_next_item {
                break;
            }
            settled.push(SettledRow { settlement, row: row.row_record()? });
        }
        Ok(settled)
    }

    pub(super) async fn recent_times(&self, limit: usize) -> LedgerResult<Vec<Duration>> {
        let times: Vec<u64> = sqlx::query_scalar(RECENT_TIMES)
            .bind(sql_limit(limit))
            .bind(ItemState::Done.as_str())
            .fetch_all(&self.pool)
            .await?;
        Ok(times.into_iter().map(Duration::from_millis).collect())
    }

    pub(super) async fn rows(
        &self,
        filter: RowFilter,
        after: i64,
        limit: usize,
    ) -> LedgerResult<Vec<RowRecord>> {
        let wanted = ItemState::ALL.into_iter().filter(|state| filter.wants(*state));
        let rows = sqlx::query(ROWS)
            .bind(after)
            .bind(to_json_array(wanted.map(ItemState::as_str))?)
            .bind(sql_limit(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| RowReader::new(row).row_record()).collect()
    }

    pub(super) async fn failed_but_for(&self, code: FailureCode) -> LedgerResult<bool> {
        let found = sqlx::query_scalar(FAILED_BUT_FOR)
            .bind(ItemState::Failed.as_str())
            .bind(code.as_str())
            .fetch_one(&self.pool);
        Ok(found.await?)
    }

    /// Returns what the last transaction has kept; for a ledger without a writer.
    pub(super) async fn totals(&self) -> LedgerResult<Totals> {
        let mut snapshot = self.pool.begin().await?;
        Ok(counts::load_head(&mut snapshot).await?.totals)
    }

    pub(super) async fn audit(&self) -> LedgerResult<Audit> {
        let mut snapshot = self.pool.begin().await?;
        counts::audit(&mut snapshot).await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

    use super::*;
    use crate::ledger::schema::SCHEMA;

    /// Returns what `SQLite` would do, a line for each step.
    async fn plan(connection: &mut SqliteConnection, query: &str) -> Vec<String> {
        let query = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let steps = sqlx::query(query).fetch_all(connection).await.unwrap();
        steps.iter().map(|step| step.get("detail")).collect()
    }

    /// Returns the tables that a plan walks through from end to end. What a query makes
    /// itself is short: a page of items, or a list of states.
    fn walked(plan: &[String]) -> Vec<&str> {
        let made: Vec<&str> = plan
            .iter()
            .filter_map(|step| {
                step.strip_prefix("CO-ROUTINE ").or_else(|| step.strip_prefix("MATERIALIZE "))
            })
            .collect();
        let is_made = |what: &str| {
            what.contains("VIRTUAL TABLE") || what.starts_with('(') || made.contains(&what)
        };
        let walks = plan.iter().filter_map(|step| step.strip_prefix("SCAN "));
        walks.filter(|what| !is_made(what)).collect()
    }

    #[tokio::test]
    async fn no_page_takes_a_walk_through_a_whole_table() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        SCHEMA.migrate(&mut connection, Path::new("x")).await.unwrap();
        for query in [OPEN_ITEMS, OLDER_ITEMS, ONE_ITEM, SETTLED_ROWS, RECENT_TIMES, ROWS] {
            let plan = plan(&mut connection, query).await;
            assert!(walked(&plan).is_empty(), "{query}: {plan:#?}");
            assert!(plan.iter().any(|step| step.starts_with("SEARCH ")), "{query}: {plan:#?}");
        }
        let unbounded = plan(&mut connection, "SELECT * FROM items WHERE price = ?1").await;
        assert_eq!(walked(&unbounded), ["items"], "such a walk is seen");
    }
}
