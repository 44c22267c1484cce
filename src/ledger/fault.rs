//! Turns what `SQLite` and JSON say into what a caller does next.

use std::path::Path;

use super::contract::LedgerError;

/// What a person should do with a damaged ledger.
const KEEP_IT: &str = "keep the file, it is the only record of what was paid; restore a backup, \
                       or try `sqlite3 FILE .recover`";

// SQLite's primary result codes, from https://www.sqlite.org/rescode.html.
const SQLITE_BUSY: i32 = 5;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnDecode { index, source } => {
                damaged(format!("column {index}: {source}"))
            }
            sqlx::Error::Database(database) => match primary_code(database.as_ref()) {
                SQLITE_CORRUPT | SQLITE_NOTADB => damaged(database.message()),
                SQLITE_FULL => unavailable("the disk is full; free some space"),
                SQLITE_BUSY => unavailable("another program has locked it; end that program"),
                _ => unavailable(database),
            },
            _ => unavailable(error),
        }
    }
}

/// Returns the code without the extension in its upper bits; 0 when there is none.
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> i32 {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.unwrap_or_default() & 0xFF
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
