//! Turns what `SQLite` and JSON say into what a ledger's caller does next.

use std::path::Path;

use super::contract::LedgerError;
use crate::sqlite::{SqliteError, WriteError};

/// What a person should do with a damaged ledger.
const KEEP_IT: &str = "keep the file, it is the only record of what was paid; restore a backup, \
                       or try `sqlite3 FILE .recover`";

impl From<SqliteError> for LedgerError {
    fn from(error: SqliteError) -> Self {
        match error {
            SqliteError::Newer { found, known } => Self::Newer { found, known },
            SqliteError::Foreign => {
                Self::Corrupt(format!("{error}; choose another folder with `--state`"))
            }
            SqliteError::Damaged(what) => damaged(what),
            SqliteError::Outdated => Self::Unavailable(format!("{error}; run the job once more")),
            SqliteError::Replaced => Self::Unavailable(format!(
                "{error}; put it back before the next run, because only it knows what is paid for"
            )),
            SqliteError::Full
            | SqliteError::Locked
            | SqliteError::Uncertain(_)
            | SqliteError::Unavailable(_) => unavailable(error),
        }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        SqliteError::from(error).into()
    }
}

impl WriteError for LedgerError {
    fn ends_transaction(&self) -> bool {
        match self {
            Self::Illegal { .. }
            | Self::StaleFence
            | Self::NotReading(_)
            | Self::UnknownItem(_) => false,
            Self::Newer { .. } | Self::Corrupt(_) | Self::Unavailable(_) => true,
        }
    }
}

/// Creates the error for stored data that cannot be what was written.
pub(super) fn damaged(what: impl std::fmt::Display) -> LedgerError {
    LedgerError::Corrupt(format!("{what}; {KEEP_IT}"))
}

/// Creates the error for a database that does not work now.
pub(super) fn unavailable(what: impl std::fmt::Display) -> LedgerError {
    LedgerError::Unavailable(format!("{what}, then run the same command again"))
}

/// Adds the file to an error that arose when it was opened.
pub(super) fn at_path(error: LedgerError, path: &Path) -> LedgerError {
    let path = path.display();
    match error {
        LedgerError::Corrupt(what) => LedgerError::Corrupt(format!("`{path}`: {what}")),
        LedgerError::Unavailable(what) => LedgerError::Unavailable(format!("`{path}`: {what}")),
        other => other,
    }
}
