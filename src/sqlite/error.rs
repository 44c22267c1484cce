//! Turns what `SQLite` says into what a caller does next.

use super::writer::WriteError;

// SQLite's primary result codes, from https://www.sqlite.org/rescode.html.
const SQLITE_BUSY: i32 = 5;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

/// A database does not do what it should. Which file it is, and what helps, is said by the
/// caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SqliteError {
    /// A newer version of this program has written it.
    #[error("it has schema version {found}, and this program knows versions up to {known}")]
    Newer { found: i64, known: i64 },
    /// It has to be brought up to date first.
    #[error("it was left by an older version or an interrupted start")]
    Outdated,
    /// It is none of ours.
    #[error("it is another program's database")]
    Foreign,
    /// What is stored cannot be what was written.
    #[error("{0}")]
    Damaged(String),
    /// There is no room. Nothing of the transaction was written.
    #[error("the disk is full; free some space")]
    Full,
    /// Another program keeps us out.
    #[error("another program has locked it; end that program")]
    Locked,
    /// The file is no longer where it was opened.
    #[error("it was deleted or replaced while it was in use")]
    Replaced,
    /// The commit has failed in the middle: what was written may be there or not.
    #[error("it is not known whether this was written: {0}")]
    Uncertain(String),
    /// Anything else; nothing of the transaction was written.
    #[error("{0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for SqliteError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnDecode { index, source } => {
                Self::Damaged(format!("column {index}: {source}"))
            }
            sqlx::Error::Database(database) => match primary_code(database.as_ref()) {
                SQLITE_CORRUPT | SQLITE_NOTADB => Self::Damaged(database.message().to_owned()),
                SQLITE_FULL => Self::Full,
                SQLITE_BUSY => Self::Locked,
                _ => Self::Unavailable(database.to_string()),
            },
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl SqliteError {
    /// Returns what a failed commit says of what was to be written.
    pub(crate) fn at_commit(error: sqlx::Error) -> Self {
        match Self::from(error) {
            certain @ (Self::Full | Self::Locked) => certain,
            other => Self::Uncertain(other.to_string()),
        }
    }
}

/// Where no command is refused for its own sake, every error is the database's.
impl WriteError for SqliteError {
    fn ends_transaction(&self) -> bool {
        true
    }
}

/// Returns the code without the extension in its upper bits; 0 when there is none.
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> i32 {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.unwrap_or_default() & 0xFF
}
