//! The shape of a database file: how it is opened, recognised and brought up to date.
//!
//! Migrations go forward only. Each is one SQL file, run in one transaction, and
//! ends by setting `PRAGMA user_version` to its number.

use std::{path::Path, time::Duration};

use futures::future::BoxFuture;
use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use uuid::Uuid;

use super::error::SqliteError;

/// How long a connection waits for another process before it gives up. Only a
/// program that should not be there, or a checkpoint at close, makes us wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest file whose structure is checked whenever it is opened: about half a million
/// photos of a ledger, checked in half a second. Damage in a larger one shows when it is
/// read.
const CHECKED: u64 = 256 << 20;

/// One step from a version to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// The SQL; its last statement sets `user_version`.
    pub(crate) sql: &'static str,
    /// A statement whose `?1` gets 32 random bytes, in the same transaction.
    pub(crate) secret: Option<&'static str>,
    /// What SQL cannot do; runs after it, in the same transaction.
    pub(crate) then: Option<Then>,
}

/// The part of a migration that is no SQL.
pub(crate) type Then =
    for<'c> fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), SqliteError>>;

/// What a file of one kind looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// Tells our files from other programs' databases, and our kinds from each other.
    pub(crate) application_id: i64,
    /// All migrations; the index plus one is the schema version it leads to.
    pub(crate) migrations: &'static [Migration],
}

/// What a file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Empty,
    Ours { version: i64 },
    Other,
}

/// Returns how the one writing connection is opened. The folder must exist.
pub(crate) fn writer_options(path: &Path, thread: &'static str) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // NORMAL would lose the last commits in a power cut, and with them requests
        // that are paid for; group commit makes FULL cheap.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // Almost everything is written at the end of a table, and the log is folded in
        // often, so that whoever writes next does not wait long: 8 and 16 MiB of pages.
        .pragma("cache_size", "-8192")
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "16777216")
        // Pages that a failed statement would restore; on disk by default.
        .pragma("temp_store", "MEMORY")
        .thread_name(move |_| thread.to_owned())
}

/// Returns how reading connections are opened.
pub(crate) fn reader_options(path: &Path, threads: &'static str) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        // A page of a thousand rows is handed over without its reader and its thread
        // waking each other for every fifty.
        .row_buffer_size(1_000)
        .thread_name(move |number| format!("{threads}-{number}"))
}

impl Schema {
    /// Newest version this program knows.
    pub(crate) fn version(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }

    /// Makes the file one of the newest version, in write-ahead mode.
    ///
    /// # Errors
    ///
    /// [`SqliteError::Newer`], [`SqliteError::Foreign`] and [`SqliteError::Damaged`] leave
    /// it untouched.
    pub(crate) async fn migrate(
        &self,
        connection: &mut SqliteConnection,
        path: &Path,
    ) -> Result<(), SqliteError> {
        let version = match self.inspect(connection).await? {
            Found::Empty => 0,
            Found::Ours { version } if version > self.version() => return Err(self.newer(version)),
            Found::Ours { version } => version,
            Found::Other => return Err(SqliteError::Foreign),
        };
        check_structure(connection, path).await?;
        sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await?;
        // A large table may have to be sorted anew, which would take as much memory.
        sqlx::raw_sql("PRAGMA temp_store = FILE").execute(&mut *connection).await?;
        for migration in self.migrations.iter().skip(usize::try_from(version).unwrap_or(0)) {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(migration.sql).execute(&mut *transaction).await?;
            if let Some(statement) = migration.secret {
                let kept = sqlx::query(statement).bind(random_bytes().to_vec());
                kept.execute(&mut *transaction).await?;
            }
            if let Some(then) = migration.then {
                then(&mut transaction).await?;
            }
            transaction.commit().await?;
        }
        sqlx::raw_sql("PRAGMA temp_store = MEMORY").execute(&mut *connection).await?;
        if version == 0 {
            fill_holes(connection).await?;
        }
        Ok(())
    }

    /// Checks that this program can read the file as it is.
    ///
    /// # Errors
    ///
    /// [`SqliteError::Newer`], [`SqliteError::Outdated`], [`SqliteError::Foreign`],
    /// [`SqliteError::Damaged`].
    pub(crate) async fn check(
        &self,
        connection: &mut SqliteConnection,
        path: &Path,
    ) -> Result<(), SqliteError> {
        match self.inspect(connection).await? {
            Found::Ours { version } if version == self.version() => {
                check_structure(connection, path).await
            }
            Found::Ours { version } if version > self.version() => Err(self.newer(version)),
            Found::Other => Err(SqliteError::Foreign),
            Found::Empty | Found::Ours { .. } => Err(SqliteError::Outdated),
        }
    }

    async fn inspect(&self, connection: &mut SqliteConnection) -> Result<Found, SqliteError> {
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
        let application: i64 =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
        let objects: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
        Ok(match (application, version, objects) {
            (id, version, _) if id == self.application_id => Found::Ours { version },
            (0, 0, 0) => Found::Empty,
            _ => Found::Other,
        })
    }

    fn newer(&self, found: i64) -> SqliteError {
        SqliteError::Newer { found, known: self.version() }
    }
}

/// Removes the pages that tables of older versions have left in a new file, and empties its
/// log. Damage to an unused page is not found when the file is checked.
async fn fill_holes(connection: &mut SqliteConnection) -> Result<(), SqliteError> {
    let unused: i64 =
        sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *connection).await?;
    if unused > 0 {
        let statements = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";
        sqlx::raw_sql(statements).execute(connection).await?;
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

/// Walks through every page before anything is written: a damaged one that is met only
/// later may be met after money was spent.
///
/// # Errors
///
/// [`SqliteError::Damaged`] with the first thing that is wrong.
async fn check_structure(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), SqliteError> {
    let page: u64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
    let length = async |path: &Path| tokio::fs::metadata(path).await.map_or(0, |file| file.len());
    // A page that is missing in part counts as whole, with zeros. With a log beside it that
    // is no damage: a crash may come while the log is folded in.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let size = length(path).await;
    if size % page != 0 && length(Path::new(&log)).await == 0 {
        return Err(SqliteError::Damaged("it was cut off in the middle of a page".to_owned()));
    }
    if size > CHECKED {
        return Ok(());
    }
    // Each page is looked at once: to keep them all would only cost memory.
    let cache: i64 = sqlx::query_scalar("PRAGMA cache_size").fetch_one(&mut *connection).await?;
    sqlx::raw_sql("PRAGMA cache_size = -2000").execute(&mut *connection).await?;
    let found: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    let restore = format!("PRAGMA cache_size = {cache}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(restore)).execute(connection).await?;
    match found.lines().next() {
        Some("ok") => Ok(()),
        first => Err(SqliteError::Damaged(first.unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        application_id: 7,
        migrations: &[
            Migration {
                sql: "PRAGMA application_id = 7; CREATE TABLE a (secret BLOB); \
                      INSERT INTO a VALUES (NULL); PRAGMA user_version = 1",
                secret: None,
                then: None,
            },
            Migration {
                sql: "PRAGMA user_version = 2",
                secret: Some("UPDATE a SET secret = ?1"),
                then: None,
            },
        ],
    };

    async fn memory() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    #[tokio::test]
    async fn a_file_is_brought_up_to_date_once() {
        let (mut connection, path) = (memory().await, Path::new("x"));
        assert_eq!(SCHEMA.check(&mut connection, path).await, Err(SqliteError::Outdated));
        sqlx::raw_sql(SCHEMA.migrations[0].sql).execute(&mut connection).await.unwrap();
        assert_eq!(SCHEMA.check(&mut connection, path).await, Err(SqliteError::Outdated));
        let mut secrets = Vec::new();
        for _ in 0..2 {
            SCHEMA.migrate(&mut connection, path).await.unwrap();
            SCHEMA.check(&mut connection, path).await.unwrap();
            let secret = sqlx::query_scalar("SELECT secret FROM a");
            secrets.push(secret.fetch_one(&mut connection).await.unwrap());
        }
        let [first, second]: [Vec<u8>; 2] = secrets.try_into().unwrap();
        assert_eq!((first.len(), &first), (32, &second));
    }

    #[tokio::test]
    async fn newer_and_other_files_are_left_alone() {
        let (mut connection, path) = (memory().await, Path::new("x"));
        SCHEMA.migrate(&mut connection, path).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 3").execute(&mut connection).await.unwrap();
        let newer = Err(SqliteError::Newer { found: 3, known: 2 });
        assert_eq!(SCHEMA.migrate(&mut connection, path).await, newer);
        assert_eq!(SCHEMA.check(&mut connection, path).await, newer);
        sqlx::raw_sql("PRAGMA application_id = 8").execute(&mut connection).await.unwrap();
        assert_eq!(SCHEMA.migrate(&mut connection, path).await, Err(SqliteError::Foreign));
        assert_eq!(SCHEMA.check(&mut connection, path).await, Err(SqliteError::Foreign));
    }
}
