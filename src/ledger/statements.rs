//! What the writer does to the database, apart from [steps](super::steps) and
//! [imports](super::import_rows): sessions and editions.
//!
//! Each function runs inside a transaction that the [writer](super::writer) has
//! begun, and changes the [`Head`] along with the tables. When one fails, the writer
//! rolls back and reads the head anew.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{contract::LedgerResult, counts, head::Head, record::EditionHeader, rows::to_json};
use crate::core::{Edition, Endpoint, Fence};

const EXTEND_SUBMIT_PAUSE: &str =
    "UPDATE job SET submit_paused_until = max(coalesce(submit_paused_until, ?1), ?1)";

const EXTEND_POLL_PAUSE: &str =
    "UPDATE job SET poll_paused_until = max(coalesce(poll_paused_until, ?1), ?1)";

const DROP_OLD_ROWS: &str = "DELETE FROM rows WHERE (edition, line) IN \
     (SELECT edition, line FROM rows WHERE edition < ?1 ORDER BY edition, line LIMIT ?2)";

/// Rows dropped in one transaction: some ten milliseconds, for which others wait.
const DROPPED_AT_ONCE: i64 = 4_000;

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
    // What this transaction has counted so far, and what a ledger of an earlier version has
    // not kept yet.
    counts::save(connection, head).await?;
    *head = counts::load_head(connection).await?;
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

/// Ends an edition.
pub(super) async fn finish_edition(
    connection: &mut SqliteConnection,
    head: &mut Head,
    content: &str,
) -> LedgerResult<()> {
    sqlx::query("UPDATE editions SET content = ?2 WHERE edition = ?1")
        .bind(head.edition.0)
        .bind(content)
        .execute(connection)
        .await?;
    head.reading = false;
    Ok(())
}

/// Drops some rows of editions before the current one; false when there were none.
pub(super) async fn drop_old_rows(
    connection: &mut SqliteConnection,
    head: &Head,
) -> LedgerResult<bool> {
    let dropped = sqlx::query(DROP_OLD_ROWS)
        .bind(head.edition.0)
        .bind(DROPPED_AT_ONCE)
        .execute(connection)
        .await?;
    Ok(dropped.rows_affected() > 0)
}
