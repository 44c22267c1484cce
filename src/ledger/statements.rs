//! What the writer does to the database, apart from [steps](super::steps): sessions,
//! editions, imports.
//!
//! Each function runs inside a transaction that the [writer](super::writer) has
//! begun, and changes the [`Head`] along with the tables. When one fails, the writer
//! rolls back and reads the head anew.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    contract::LedgerResult,
    counts,
    head::Head,
    import::{Known, Plan, plan},
    record::{EditionHeader, Imported, NewRow},
    rows::{ItemInsert, ItemMove, ItemRenewal, RowInsert, RowReader, hex, to_json, to_json_array},
};
use crate::core::{Edition, Endpoint, Fence, ItemId, ItemKey, collision_key};

const KNOWN_ITEMS: &str = "SELECT items.key, items.id, items.edition, items.state, \
     items.failure ->> '$.code' \
     FROM json_each(?1) AS given CROSS JOIN items ON items.key = unhex(given.value)";

const KNOWN_STEMS: &str = "SELECT stems.stem_key, stems.items \
     FROM json_each(?1) AS given CROSS JOIN stems ON stems.stem_key = given.value";

/// With an id that is there already: a bad row that was corrected.
const INSERT_ITEMS: &str = "INSERT INTO items \
     (id, key, edition, source, scale, version, stem, ordinal, state, failure, settlement) \
     SELECT value ->> '$.id', unhex(value ->> '$.key'), ?2, value ->> '$.source', \
     value ->> '$.scale', value ->> '$.version', value ->> '$.stem', value ->> '$.ordinal', \
     value ->> '$.state', value ->> '$.failure', value ->> '$.settlement' \
     FROM json_each(?1) WHERE true \
     ON CONFLICT (id) DO UPDATE SET edition = excluded.edition, source = excluded.source, \
     scale = excluded.scale, version = excluded.version, stem = excluded.stem, \
     ordinal = excluded.ordinal, state = excluded.state, failure = excluded.failure, \
     settlement = excluded.settlement";

const MOVE_ITEMS: &str = "UPDATE items SET edition = ?2, settlement = given.value ->> '$.settlement' \
     FROM json_each(?1) AS given WHERE items.id = given.value ->> '$.id'";

const RENEW_ITEMS: &str = "UPDATE items SET source = given.value ->> '$.source', \
     scale = given.value ->> '$.scale', version = given.value ->> '$.version', \
     state = given.value ->> '$.state', staged_url = given.value ->> '$.staged_url' \
     FROM json_each(?1) AS given WHERE items.id = given.value ->> '$.id'";

const EXTEND_SUBMIT_PAUSE: &str =
    "UPDATE job SET submit_paused_until = max(coalesce(submit_paused_until, ?1), ?1)";

const EXTEND_POLL_PAUSE: &str =
    "UPDATE job SET poll_paused_until = max(coalesce(poll_paused_until, ?1), ?1)";

const UPSERT_STEMS: &str = "INSERT INTO stems (stem_key, items) \
     SELECT value ->> '$[0]', value ->> '$[1]' FROM json_each(?1) WHERE true \
     ON CONFLICT (stem_key) DO UPDATE SET items = excluded.items";

const INSERT_ROWS: &str = "INSERT INTO rows (edition, line, item, first, cells) \
     SELECT ?2, value ->> '$.line', value ->> '$.item', value ->> '$.first', value -> '$.cells' \
     FROM json_each(?1)";

/// Reads the fence anew, because another process may have begun a session.
pub(super) async fn load_fence(connection: &mut SqliteConnection) -> LedgerResult<Fence> {
    Ok(Fence(sqlx::query_scalar("SELECT fence FROM job").fetch_one(connection).await?))
}

/// Begins a session. The head is read anew: another session may have written since.
pub(super) async fn begin_session(
    connection: &mut SqliteConnection,
    head: &mut Head,
) -> LedgerResult<Fence> {
    sqlx::query("UPDATE job SET fence = fence + 1, settlement = max(settlement, ?1)")
        .bind(head.last_settlement)
        .execute(&mut *connection)
        .await?;
    *head = counts::load_head(connection).await?;
    // A ledger of an earlier version has none yet.
    counts::save(connection, head).await?;
    Ok(head.fence)
}

/// Remembers the service.
pub(super) async fn bind_service(
    connection: &mut SqliteConnection,
    service: &str,
) -> LedgerResult<()> {
    sqlx::query("UPDATE job SET service = ?1").bind(service).execute(connection).await?;
    Ok(())
}

/// Keeps until when an endpoint pauses, unless a later time is there already.
pub(super) async fn pause(
    connection: &mut SqliteConnection,
    endpoint: Endpoint,
    until: Timestamp,
) -> LedgerResult<()> {
    let extend = match endpoint {
        Endpoint::Submit => EXTEND_SUBMIT_PAUSE,
        Endpoint::Poll => EXTEND_POLL_PAUSE,
        Endpoint::Fetch => return Ok(()),
    };
    sqlx::query(extend).bind(until.as_millisecond()).execute(connection).await?;
    Ok(())
}

/// Begins the next edition.
pub(super) async fn begin_edition(
    connection: &mut SqliteConnection,
    head: &mut Head,
    header: &EditionHeader,
) -> LedgerResult<Edition> {
    let edition = head.begin_edition();
    let source_column = i64::try_from(header.source_column).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO editions (edition, columns, source_column, base_dir) VALUES (?1, ?2, ?3, ?4)",
    )
    .bind(edition.0)
    .bind(to_json(&header.columns)?)
    .bind(source_column)
    .bind(&header.base_dir)
    .execute(connection)
    .await?;
    Ok(edition)
}

/// Ends an edition and drops the rows of all others.
pub(super) async fn finish_edition(
    connection: &mut SqliteConnection,
    head: &mut Head,
    content: &str,
) -> LedgerResult<()> {
    sqlx::query("UPDATE editions SET content = ?2 WHERE edition = ?1")
        .bind(head.edition.0)
        .bind(content)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM rows WHERE edition < ?1")
        .bind(head.edition.0)
        .execute(connection)
        .await?;
    head.reading = false;
    Ok(())
}

/// Imports rows into the current edition.
pub(super) async fn import(
    connection: &mut SqliteConnection,
    head: &mut Head,
    rows: Vec<NewRow>,
) -> LedgerResult<Imported> {
    let mut known = known_items(connection, &rows).await?;
    let mut stems = known_stems(connection, &rows).await?;
    let plan = plan(rows, &mut known, &mut stems, head);
    write_items(connection, head.edition, &plan).await?;
    if !plan.items.is_empty() {
        let stems = to_json_array(&stems)?;
        sqlx::query(UPSERT_STEMS).bind(stems).execute(&mut *connection).await?;
    }
    let rows = to_json_array(plan.rows.iter().map(RowInsert::new))?;
    sqlx::query(INSERT_ROWS).bind(rows).bind(head.edition.0).execute(&mut *connection).await?;
    sqlx::query("UPDATE editions SET rows = ?2 WHERE edition = ?1")
        .bind(head.edition.0)
        .bind(i64::try_from(head.totals.rows).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(plan.imported)
}

async fn known_items(
    connection: &mut SqliteConnection,
    rows: &[NewRow],
) -> LedgerResult<HashMap<ItemKey, Known>> {
    let keys = to_json_array(rows.iter().map(|row| hex(row.item.key)))?;
    let mut known = HashMap::new();
    for row in sqlx::query(KNOWN_ITEMS).bind(keys).fetch_all(connection).await? {
        let mut row = RowReader::new(&row);
        known.insert(
            row.key()?,
            Known {
                id: ItemId(row.value()?),
                edition: Edition(row.value()?),
                state: row.state()?,
                code: row.word()?,
            },
        );
    }
    Ok(known)
}

async fn known_stems(
    connection: &mut SqliteConnection,
    rows: &[NewRow],
) -> LedgerResult<HashMap<String, u64>> {
    let keys = to_json_array(rows.iter().map(|row| collision_key(&row.item.stem)))?;
    let mut stems = HashMap::new();
    for row in sqlx::query(KNOWN_STEMS).bind(keys).fetch_all(connection).await? {
        let mut row = RowReader::new(&row);
        stems.insert(row.value()?, row.value()?);
    }
    Ok(stems)
}

async fn write_items(
    connection: &mut SqliteConnection,
    edition: Edition,
    plan: &Plan,
) -> LedgerResult<()> {
    if !plan.items.is_empty() {
        let items = plan.items.iter().map(ItemInsert::new).collect::<LedgerResult<Vec<_>>>()?;
        sqlx::query(INSERT_ITEMS)
            .bind(to_json(&items)?)
            .bind(edition.0)
            .execute(&mut *connection)
            .await?;
    }
    if !plan.moved.is_empty() {
        sqlx::query(MOVE_ITEMS)
            .bind(to_json_array(plan.moved.iter().map(ItemMove::new))?)
            .bind(edition.0)
            .execute(&mut *connection)
            .await?;
    }
    if !plan.renewed.is_empty() {
        let renewed = to_json_array(plan.renewed.iter().map(ItemRenewal::new))?;
        sqlx::query(RENEW_ITEMS).bind(renewed).execute(connection).await?;
    }
    Ok(())
}
