//! Statements that write many rows at once, given as plain parameters.
//!
//! `SQLite` prepares a statement for a fixed number of rows, so that there is one for each
//! power of two, and rows that are not given are NULL in every column. That is a fraction
//! of the work of unfolding JSON, which parses a row once for every column.

use sqlx::{Sqlite, query::Query, sqlite::SqliteArguments};

/// Most rows of one statement. The writer's batches are rarely larger, and it stays below
/// the 32,766 parameters of a statement (`SQLite` limits, section 9).
const MOST_ROWS: usize = 128;

/// A query that parameters are bound to.
pub(super) type Binding<'q> = Query<'q, Sqlite, SqliteArguments>;

/// One row of a [`Bulk`] statement.
pub(super) trait BulkRow {
    /// Parameters of a row, as many as [`bind`](Self::bind) binds.
    const COLUMNS: usize;

    /// Binds the parameters in order; the first is never NULL.
    fn bind<'q>(&self, to: Binding<'q>) -> Binding<'q>;
}

/// One statement for each number of rows.
#[derive(Debug)]
pub(super) struct Bulk {
    by_size: Vec<String>,
}

impl Bulk {
    /// `before` and `after` are the statement around its rows, which it knows as the table
    /// `given` with the columns `column1`, `column2`, …
    pub(super) fn new<R: BulkRow>(before: &str, after: &str) -> Self {
        let row = format!("(?{})", ", ?".repeat(R::COLUMNS - 1));
        let sizes = std::iter::successors(Some(1), |size| Some(size * 2));
        let by_size = sizes.take_while(|size| *size <= MOST_ROWS).map(|size| {
            let rows = vec![row.as_str(); size].join(", ");
            format!("{before} (VALUES {rows}) AS given {after}")
        });
        Self { by_size: by_size.collect() }
    }

    /// Returns the queries that write all of `rows`.
    pub(super) fn queries<'a, R: BulkRow>(
        &'static self,
        rows: &'a [R],
    ) -> impl Iterator<Item = Binding<'static>> + 'a {
        rows.chunks(MOST_ROWS).map(|rows| {
            let size = rows.len().next_power_of_two().trailing_zeros() as usize;
            let query = sqlx::query(self.by_size[size].as_str());
            rows.iter().fold(query, |query, row| row.bind(query))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection as _, Row as _, SqliteConnection};
    use std::sync::LazyLock;

    struct Pair(i64, Option<&'static str>);

    impl BulkRow for Pair {
        const COLUMNS: usize = 2;

        fn bind<'q>(&self, to: Binding<'q>) -> Binding<'q> {
            to.bind(self.0).bind(self.1.map(str::to_owned))
        }
    }

    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        let columns = "INSERT INTO pairs (id, word) SELECT column1, column2 FROM";
        Bulk::new::<Pair>(columns, "WHERE column1 IS NOT NULL")
    });

    #[tokio::test]
    async fn any_number_of_rows_is_written_and_no_other() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let create = "CREATE TABLE pairs (id INTEGER PRIMARY KEY, word TEXT) STRICT";
        sqlx::query(create).execute(&mut connection).await.unwrap();
        let mut next = 0;
        // More, then fewer: what an earlier query has bound must not come back.
        for count in [0, 1, 2, 3, 127, 128, 129, 300, 5, 1] {
            let rows: Vec<_> =
                (next..next + count).map(|id| Pair(id, (id % 2 == 0).then_some("even"))).collect();
            for query in INSERT.queries(&rows) {
                query.execute(&mut connection).await.unwrap();
            }
            next += count;
            let sums = "SELECT count(*), max(id), count(word) FROM pairs";
            let sums = sqlx::query(sums).fetch_one(&mut connection).await.unwrap();
            let (rows, last, even): (i64, Option<i64>, i64) =
                (sums.get(0), sums.get(1), sums.get(2));
            assert_eq!((rows, last.map_or(0, |last| last + 1), even), (next, next, (next + 1) / 2));
        }
    }
}
