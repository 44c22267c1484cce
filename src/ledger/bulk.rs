//! Writes many rows of one table with few statements.

use std::vec;

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use crate::sqlite::SqliteError;

/// Rows of one statement: enough that its fixed cost does not count, and with a dozen columns
/// far from the 32,766 parameters of a statement.
const ROWS: usize = 256;

/// A statement with one value for each column of each row.
///
/// One JSON array that the database unfolds is easier to call, but it is parsed anew for each
/// field of each row; and a statement of its own for each row changes threads for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bulk {
    /// `INSERT INTO table (columns)`.
    pub(super) insert: &'static str,
    pub(super) columns: usize,
    /// `ON CONFLICT …`, or nothing.
    pub(super) on_conflict: &'static str,
}

pub(super) type Values = Query<'static, Sqlite, SqliteArguments>;

impl Bulk {
    /// Writes rows, of which `bind` adds the values to a statement.
    ///
    /// Each statement is prepared while the database's thread executes the one before.
    pub(super) async fn write<T, E: From<SqliteError>>(
        &self,
        connection: &mut SqliteConnection,
        rows: Vec<T>,
        bind: impl Fn(Values, T) -> Result<Values, E>,
    ) -> Result<(), E> {
        let mut rows = rows.into_iter();
        let mut next = self.statement(&mut rows, &bind)?;
        while let Some(statement) = next {
            let executing = statement.execute(&mut *connection);
            let (executed, following) =
                futures::join!(executing, async { self.statement(&mut rows, &bind) });
            executed.map_err(SqliteError::from)?;
            next = following?;
        }
        Ok(())
    }

    /// Returns the statement for the next rows.
    fn statement<T, E>(
        &self,
        rows: &mut vec::IntoIter<T>,
        bind: &impl Fn(Values, T) -> Result<Values, E>,
    ) -> Result<Option<Values>, E> {
        let count = rows.len().min(ROWS);
        if count == 0 {
            return Ok(None);
        }
        // A remainder has another length every time, and would only fill the cache.
        let statement = sqlx::query(AssertSqlSafe(self.sql(count))).persistent(count == ROWS);
        rows.take(count).try_fold(statement, bind).map(Some)
    }

    /// No user's text is part of it.
    fn sql(&self, rows: usize) -> String {
        let values = format!("({}),", vec!["?"; self.columns].join(","));
        let mut values = values.repeat(rows);
        values.pop();
        format!("{} VALUES {values} {}", self.insert, self.on_conflict)
    }
}
