//! What the writer does with each command; how it batches and commits them is in
//! `sqlite`.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    record::{IdempotencyKey, Record},
    rows::by_key,
};
use crate::{
    core::Micros,
    sqlite::{self, Answers, Book, SqliteError, answer},
};

pub(super) type Reply<T = ()> = sqlite::Reply<T, SqliteError>;

const CHARGE: &str = "INSERT INTO accounts (name, spent) VALUES (?1, ?2) \
     ON CONFLICT (name) DO UPDATE SET spent = spent + excluded.spent";

const ACCEPT: &str = "INSERT INTO requests \
     (id, account, submit, img, scale, version, state, created_at, updated_at, charged, \
      idempotency_key, body_blake3, callback_url) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'QUEUED', ?7, ?7, ?8, ?9, ?10, ?11)";

/// Only once: what was not known to be written may have been written.
const END: &str = "UPDATE requests SET state = ?2, updated_at = ?3, completed_at = ?3, \
     error = ?4, result_bytes = ?5, result_blake3 = ?6, report = ?7, charged = ?8, \
     callback_due = ?9 WHERE id = ?1 AND state = 'QUEUED'";

/// Only while it has not ended.
const STARTS: &str = "UPDATE requests SET starts = ?2 WHERE id = ?1 AND state = 'QUEUED'";

const CALLBACK: &str =
    "UPDATE requests SET callback_attempts = ?2, callback_due = ?3 WHERE id = ?1";

const REMOVE: &str = "DELETE FROM requests WHERE id IN (SELECT value FROM json_each(?1))";

const PROBE: &str = "UPDATE probe SET probes = probes + 1";

/// One write, with where to answer it.
#[derive(Debug)]
pub(super) enum Command {
    /// A new row, and its price from the account; answered with the row that has its
    /// idempotency key already.
    Accept(Box<Record>, Reply<Option<Box<Record>>>),
    /// The row as it has ended, and what the account gets back.
    End(Box<Record>, Micros, Reply),
    /// How often work on a request was begun and not ended.
    Starts { id: Arc<str>, starts: u32, reply: Reply },
    /// How often a callback was tried, and when it is next.
    Callback { id: Arc<str>, attempts: u32, due: Option<Timestamp>, reply: Reply },
    /// These requests are forgotten.
    Remove(Vec<String>, Reply),
    /// Nothing, but durably.
    Probe(Reply),
}

/// Needs to know nothing of the tables: the book in memory has decided.
#[derive(Debug)]
pub(super) struct RequestBook;

impl Book for RequestBook {
    type Command = Command;
    type Error = SqliteError;

    async fn begin(&mut self, _: &mut SqliteConnection) -> Result<(), SqliteError> {
        Ok(())
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        command: Command,
        _: &mut VecDeque<Command>,
        answers: &mut Answers<SqliteError>,
    ) -> Result<(), SqliteError> {
        let (result, reply) = match command {
            Command::Accept(record, reply) => {
                return answers.keep(reply, accept(connection, &record).await);
            }
            Command::End(record, refund, reply) => (end(connection, &record, refund).await, reply),
            Command::Starts { id, starts, reply } => {
                (set_starts(connection, &id, starts).await, reply)
            }
            Command::Callback { id, attempts, due, reply } => {
                (callback(connection, &id, attempts, due).await, reply)
            }
            Command::Remove(ids, reply) => (remove(connection, &ids).await, reply),
            Command::Probe(reply) => (probe(connection).await, reply),
        };
        answers.keep(reply, result)
    }

    async fn end(&mut self, _: &mut SqliteConnection) -> Result<(), SqliteError> {
        Ok(())
    }

    fn settled(&mut self, _: bool) {}

    fn refuse(command: Command, error: SqliteError) {
        match command {
            Command::Accept(_, reply) => answer(reply, Err(error)),
            Command::End(.., reply)
            | Command::Starts { reply, .. }
            | Command::Callback { reply, .. }
            | Command::Remove(_, reply)
            | Command::Probe(reply) => answer(reply, Err(error)),
        }
    }
}

async fn accept(
    connection: &mut SqliteConnection,
    record: &Record,
) -> Result<Option<Box<Record>>, SqliteError> {
    if let Some(IdempotencyKey { key, .. }) = &record.idempotency
        && let Some(known) = by_key(connection, &record.account, key).await?
    {
        return Ok(Some(Box::new(known)));
    }
    let charge = sqlx::query(CHARGE).bind(&*record.account).bind(record.charged.0);
    charge.execute(&mut *connection).await?;
    let idempotency = record.idempotency.as_ref();
    sqlx::query(ACCEPT)
        .bind(&record.id)
        .bind(&*record.account)
        .bind(record.submit)
        .bind(&record.img)
        .bind(record.scale)
        .bind(&record.version)
        .bind(record.created_at.as_millisecond())
        .bind(record.charged.0)
        .bind(idempotency.map(|given| given.key.as_str()))
        .bind(idempotency.map(|given| &given.body.as_bytes()[..]))
        .bind(record.callback.as_ref().map(|callback| callback.url.as_str()))
        .execute(connection)
        .await?;
    Ok(None)
}

async fn end(
    connection: &mut SqliteConnection,
    record: &Record,
    refund: Micros,
) -> Result<(), SqliteError> {
    let result = record.result.as_ref();
    let due = record.callback.as_ref().and_then(|callback| callback.due);
    let ended = sqlx::query(END)
        .bind(&record.id)
        .bind(record.status.as_str())
        .bind(record.updated_at.as_millisecond())
        .bind(record.error.as_deref())
        .bind(result.map(|result| i64::try_from(result.bytes).unwrap_or(i64::MAX)))
        .bind(result.map(|result| &result.blake3.as_bytes()[..]))
        .bind(record.report.as_ref().map(ToString::to_string))
        .bind(record.charged.0)
        .bind(due.map(Timestamp::as_millisecond))
        .execute(&mut *connection)
        .await?;
    if ended.rows_affected() > 0 && refund > Micros::ZERO {
        let refund = sqlx::query(CHARGE).bind(&*record.account).bind(-refund.0);
        refund.execute(connection).await?;
    }
    Ok(())
}

async fn set_starts(
    connection: &mut SqliteConnection,
    id: &str,
    starts: u32,
) -> Result<(), SqliteError> {
    sqlx::query(STARTS).bind(id).bind(starts).execute(connection).await?;
    Ok(())
}

async fn callback(
    connection: &mut SqliteConnection,
    id: &str,
    attempts: u32,
    due: Option<Timestamp>,
) -> Result<(), SqliteError> {
    let due = due.map(Timestamp::as_millisecond);
    sqlx::query(CALLBACK).bind(id).bind(attempts).bind(due).execute(connection).await?;
    Ok(())
}

async fn remove(connection: &mut SqliteConnection, ids: &[String]) -> Result<(), SqliteError> {
    let ids = serde_json::Value::from(ids).to_string();
    sqlx::query(REMOVE).bind(ids).execute(connection).await?;
    Ok(())
}

async fn probe(connection: &mut SqliteConnection) -> Result<(), SqliteError> {
    sqlx::query(PROBE).execute(connection).await?;
    Ok(())
}
