//! Reads records out of rows.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::record::{Callback, IdempotencyKey, Record, ResultFacts};
use crate::{api::wire::Status, core::Micros, sqlite::SqliteError};

const ACCOUNTS: &str = "SELECT name, spent FROM accounts ORDER BY name";

/// Ids begin with the time of acceptance, so that this is the order of the queue.
const REQUESTS: &str = "SELECT * FROM requests ORDER BY id";

const BY_KEY: &str = "SELECT * FROM requests WHERE account = ?1 AND idempotency_key = ?2";

/// Everything that was kept.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Kept {
    /// What each account has spent.
    pub(in crate::gateway) spent: Vec<(Arc<str>, Micros)>,
    /// The oldest first.
    pub(in crate::gateway) records: Vec<Record>,
}

/// Reads everything.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Kept, SqliteError> {
    let spent: Vec<(String, i64)> = sqlx::query_as(ACCOUNTS).fetch_all(&mut *connection).await?;
    let rows = sqlx::query(REQUESTS).fetch_all(connection).await?;
    Ok(Kept {
        spent: spent.into_iter().map(|(name, spent)| (name.into(), Micros(spent))).collect(),
        records: rows.iter().map(record).collect::<Result<_, _>>()?,
    })
}

/// Reads the request that a key of an account names.
pub(super) async fn by_key(
    connection: &mut SqliteConnection,
    account: &str,
    key: &str,
) -> Result<Option<Record>, SqliteError> {
    let found = sqlx::query(BY_KEY).bind(account).bind(key).fetch_optional(connection).await?;
    found.as_ref().map(record).transpose()
}

fn record(row: &SqliteRow) -> Result<Record, SqliteError> {
    let word: &str = row.try_get("state")?;
    let report: Option<&str> = row.try_get("report")?;
    Ok(Record {
        id: row.try_get("id")?,
        account: row.try_get::<&str, _>("account")?.into(),
        submit: row.try_get("submit")?,
        img: row.try_get("img")?,
        scale: row.try_get("scale")?,
        version: row.try_get("version")?,
        status: Status::parse(word).ok_or_else(|| damaged(&format!("`{word}` is no state")))?,
        created_at: time(row, "created_at")?.ok_or_else(|| damaged("no time of acceptance"))?,
        updated_at: time(row, "updated_at")?.ok_or_else(|| damaged("no time of change"))?,
        completed_at: time(row, "completed_at")?,
        error: row.try_get("error")?,
        result: result(row)?,
        report: report.map(serde_json::from_str).transpose().map_err(|_| damaged("no JSON"))?,
        starts: row.try_get("starts")?,
        charged: Micros(row.try_get("charged")?),
        idempotency: idempotency(row)?,
        callback: callback(row)?,
    })
}

fn result(row: &SqliteRow) -> Result<Option<ResultFacts>, SqliteError> {
    let bytes: Option<i64> = row.try_get("result_bytes")?;
    let blake3 = hash(row, "result_blake3")?;
    Ok(bytes.zip(blake3).map(|(bytes, blake3)| ResultFacts { bytes: bytes.unsigned_abs(), blake3 }))
}

fn idempotency(row: &SqliteRow) -> Result<Option<IdempotencyKey>, SqliteError> {
    let key: Option<String> = row.try_get("idempotency_key")?;
    Ok(key.zip(hash(row, "body_blake3")?).map(|(key, body)| IdempotencyKey { key, body }))
}

fn callback(row: &SqliteRow) -> Result<Option<Callback>, SqliteError> {
    let Some(url) = row.try_get("callback_url")? else { return Ok(None) };
    let attempts = row.try_get("callback_attempts")?;
    Ok(Some(Callback { url, attempts, due: time(row, "callback_due")? }))
}

fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, SqliteError> {
    let millis: Option<i64> = row.try_get(column)?;
    millis.map(Timestamp::from_millisecond).transpose().map_err(|_| damaged("no time"))
}

fn hash(row: &SqliteRow, column: &str) -> Result<Option<blake3::Hash>, SqliteError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(blake3::Hash::from_slice).transpose().map_err(|_| damaged("no hash"))
}

fn damaged(what: &str) -> SqliteError {
    SqliteError::Damaged(what.to_owned())
}
