//! Writes many rows of one table with few statements.

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use crate::sqlite::SqliteError;

/// Rows of one statement: enough that its fixed cost does not count, and with a dozen columns
/// far from the 32,766 parameters of a statement.
const ROWS: usize = 256;

/// A statement with one value for each column of each row.
///
/// Against one JSON array that the database unfolds, which is as easy to call, this takes a
/// third of the time (`benches/import`), and against one statement a row a tenth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bulk {
    /// `INSERT INTO table (columns)`.
    pub(super) insert: &'static str,
    pub(super) columns: usize,
    /// `ON CONFLICT …`, or nothing.
    pub(super) on_conflict: &'static str,
}

pub(super) type Values<'q> = Query<'q, Sqlite, SqliteArguments>;

impl Bulk {
    /// Writes rows, of which `bind` adds the values of each to a statement.
    pub(super) async fn write<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: Vec<T>,
        bind: impl for<'q> Fn(Values<'q>, T) -> Values<'q>,
    ) -> Result<(), SqliteError> {
        let mut left = rows.len();
        let mut rows = rows.into_iter();
        while left > 0 {
            let count = left.min(ROWS);
            left -= count;
            let mut query = sqlx::query(AssertSqlSafe(self.sql(count)));
            for row in rows.by_ref().take(count) {
                query = bind(query, row);
            }
            // A remainder has another length every time, and would only fill the cache.
            query.persistent(count == ROWS).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// No user's text is part of it.
    fn sql(&self, rows: usize) -> String {
        let values = format!("({}),", vec!["?"; self.columns].join(","));
        let mut values = values.repeat(rows);
        values.pop();
        format!("{} VALUES {values} {}", self.insert, self.on_conflict)
    }
}
