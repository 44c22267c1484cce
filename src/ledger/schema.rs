//! The shape of a ledger file: how it is opened, recognised and brought up to date.
//!
//! Migrations go forward only. Each is one SQL file, run in one transaction, and
//! ends by setting `PRAGMA user_version` to its number.

use std::{path::Path, time::Duration};

use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use uuid::Uuid;

use super::{
    contract::{LedgerError, LedgerResult},
    fault::damaged,
};

/// "RBLG": tells our files from other programs' `SQLite` databases.
const APPLICATION_ID: i64 = 0x5242_4C47;

/// All migrations; the index plus one is the schema version it leads to.
const MIGRATIONS: [&str; 2] = [
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_callbacks_and_pauses.sql"),
];

/// Newest schema version this program knows.
const VERSION: i64 = 2;

/// The schema version from which on a job has a secret for its callback addresses.
const CALLBACK_SECRET_SINCE: usize = 2;

/// How long a connection waits for another process before it gives up. Only a
/// program that should not be there, or a checkpoint at close, makes us wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest file whose structure is checked whenever it is opened: about half a million
/// photos, checked in half a second. Damage in a larger one shows when it is read.
const CHECKED: u64 = 256 << 20;

/// What a file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Empty,
    Ledger { version: i64 },
    Other,
}

/// Returns how the one writing connection is opened. The folder must exist.
pub(super) fn writer_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // NORMAL would lose the last commits in a power cut, and with them request
        // ids that are paid for; group commit makes FULL cheap.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // Keys are hashes, so that each imported row touches another page of their
        // index: 64 MiB of pages keep it in memory up to some million items, and a log
        // of about as much lets a page be changed often before it is copied back.
        .pragma("cache_size", "-65536")
        .pragma("wal_autocheckpoint", "16000")
        .pragma("journal_size_limit", "67108864")
        // Pages that a failed statement would restore; on disk by default.
        .pragma("temp_store", "MEMORY")
        .thread_name(|_| "ledger-writer".to_owned())
}

/// Returns how reading connections are opened.
pub(super) fn reader_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .thread_name(|number| format!("ledger-reader-{number}"))
}

/// Makes the file a ledger of the newest version, in write-ahead mode.
///
/// # Errors
///
/// [`LedgerError::Newer`], [`LedgerError::Corrupt`] for a file that is none of ours;
/// both leave it untouched.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> LedgerResult<()> {
    let version = match inspect(connection).await? {
        Found::Empty => 0,
        Found::Ledger { version } if version > VERSION => return Err(newer(version)),
        Found::Ledger { version } => version,
        Found::Other => return Err(not_a_ledger(path)),
    };
    check_structure(connection, path).await?;
    sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await?;
    let done = usize::try_from(version).unwrap_or(0);
    for (index, migration) in MIGRATIONS.into_iter().enumerate().skip(done) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        if index + 1 == CALLBACK_SECRET_SINCE {
            let secret = random_bytes();
            let kept = sqlx::query("UPDATE job SET callback_secret = ?1").bind(&secret[..]);
            kept.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// Returns 32 bytes from 244 bits of the system's randomness.
fn random_bytes() -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(Uuid::new_v4().as_bytes());
    hasher.update(Uuid::new_v4().as_bytes());
    hasher.finalize().into()
}

/// Checks that the file is a ledger which this program can read as it is.
///
/// # Errors
///
/// [`LedgerError::Newer`]; [`LedgerError::Corrupt`] for a file that is none of ours;
/// [`LedgerError::Unavailable`] when it has to be brought up to date first.
pub(super) async fn check(connection: &mut SqliteConnection, path: &Path) -> LedgerResult<()> {
    match inspect(connection).await? {
        Found::Ledger { version: VERSION } => check_structure(connection, path).await,
        Found::Ledger { version } if version > VERSION => Err(newer(version)),
        Found::Other => Err(not_a_ledger(path)),
        Found::Empty | Found::Ledger { .. } => Err(LedgerError::Unavailable(format!(
            "`{}` was left by an older version or an interrupted start; run the job once more",
            path.display()
        ))),
    }
}

async fn inspect(connection: &mut SqliteConnection) -> LedgerResult<Found> {
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let objects: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok(match (application, version, objects) {
        (APPLICATION_ID, version, _) => Found::Ledger { version },
        (0, 0, 0) => Found::Empty,
        _ => Found::Other,
    })
}

/// Walks through every page before anything is written: a damaged one that is met only
/// later may be met after money was spent.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] with the first thing that is wrong.
async fn check_structure(connection: &mut SqliteConnection, path: &Path) -> LedgerResult<()> {
    let page: u64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
    let length = async |path: &Path| tokio::fs::metadata(path).await.map_or(0, |file| file.len());
    // A page that is missing in part counts as whole, with zeros. With a log beside it that
    // is no damage: a crash may come while the log is folded in.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let size = length(path).await;
    if size % page != 0 && length(Path::new(&log)).await == 0 {
        return Err(damaged("it was cut off in the middle of a page"));
    }
    if size > CHECKED {
        return Ok(());
    }
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    let first = found.lines().next().unwrap_or_default();
    if first == "ok" { Ok(()) } else { Err(damaged(first)) }
}

fn newer(found: i64) -> LedgerError {
    LedgerError::Newer { found, known: VERSION }
}

fn not_a_ledger(path: &Path) -> LedgerError {
    LedgerError::Corrupt(format!(
        "`{}` is another program's database; choose another folder with `--state`",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_migration_sets_its_version_and_the_last_is_ours() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (index, migration) in MIGRATIONS.into_iter().enumerate() {
            sqlx::raw_sql(migration).execute(&mut connection).await.unwrap();
            let found = inspect(&mut connection).await.unwrap();
            assert_eq!(found, Found::Ledger { version: i64::try_from(index).unwrap() + 1 });
        }
        assert_eq!(MIGRATIONS.len(), usize::try_from(VERSION).unwrap());
        check(&mut connection, Path::new("x")).await.unwrap();
    }

    #[tokio::test]
    async fn a_ledger_of_an_older_version_gets_a_secret_of_its_own() {
        let mut secrets = Vec::new();
        for _ in 0..2 {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            sqlx::raw_sql(MIGRATIONS[0]).execute(&mut connection).await.unwrap();
            sqlx::raw_sql("UPDATE job SET fence = 7").execute(&mut connection).await.unwrap();
            for _ in 0..2 {
                migrate(&mut connection, Path::new("x")).await.unwrap();
                let job: (i64, Vec<u8>) = sqlx::query_as("SELECT fence, callback_secret FROM job")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                assert_eq!((job.0, job.1.len()), (7, 32), "the rest is as it was");
                secrets.push(job.1);
            }
        }
        assert_eq!(secrets[0], secrets[1], "and keeps it");
        assert_eq!(secrets[2], secrets[3]);
        assert_ne!(secrets[0], secrets[2]);
    }

    #[tokio::test]
    async fn migrating_twice_changes_nothing() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        migrate(&mut connection, Path::new("x")).await.unwrap();
        migrate(&mut connection, Path::new("x")).await.unwrap();
    }
}
