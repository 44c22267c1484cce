//! The names of one ledger: which segments there are, and what is in them.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use sqlx::SqliteConnection;

use super::{
    bucket,
    filter::Filter,
    name::{Entry, Name},
    segment::Segment,
};
use crate::{
    ledger::bulk::{Bulk, Values},
    sqlite::SqliteError,
};

const BUCKETS: Bulk =
    Bulk { insert: "INSERT INTO buckets (id, entries)", columns: 2, on_conflict: "" };

/// Buckets that one slice of a merge writes: about 40,000 names, in some milliseconds. An
/// import of 4,000 rows adds 8,000 names, each of which is merged three times at most before
/// a manifest of ten million rows ends, so that merges keep up.
const SLICE: u64 = 1_024;

/// In the order of the table, whose pages are then each read once.
const FIND: &str = "SELECT buckets.entries \
     FROM json_each(?1) AS given CROSS JOIN buckets ON buckets.id = given.value";

/// What the writer knows of the tables `segments` and `buckets`.
pub(in crate::ledger) struct Names {
    pub(super) segments: Vec<Segment>,
    /// Holds every name there is, while the first manifest is read.
    pub(super) filter: Option<Filter>,
    /// Buckets that one slice of a merge writes.
    pub(super) slice: u64,
}

impl Names {
    /// Reads which segments there are.
    pub(in crate::ledger) async fn load(
        connection: &mut SqliteConnection,
    ) -> Result<Self, SqliteError> {
        let list = "SELECT id, entries, buckets, built, target FROM segments ORDER BY id";
        let rows: Vec<(i64, u64, u64, u64, Option<i64>)> =
            sqlx::query_as(list).fetch_all(connection).await?;
        let segments = rows.into_iter().map(|(id, entries, buckets, built, target)| Segment {
            id,
            entries,
            buckets,
            built,
            target,
        });
        Ok(Self { segments: segments.collect(), filter: None, slice: SLICE })
    }

    /// A manifest is about to be read. Of a job's first one no name is known yet.
    pub(in crate::ledger) fn begin_edition(&mut self) {
        self.filter = self.segments.is_empty().then(Filter::new);
    }

    /// A manifest was read: gives back memory.
    pub(in crate::ledger) fn end_edition(&mut self) {
        self.filter = None;
    }

    /// Returns those of `names` that are taken, with their numbers.
    pub(in crate::ledger) async fn find(
        &self,
        connection: &mut SqliteConnection,
        names: impl Iterator<Item = Name>,
    ) -> Result<HashMap<Name, u64>, SqliteError> {
        let may_hold =
            |name: &Name| self.filter.as_ref().is_none_or(|filter| filter.may_hold(*name));
        let mut names: Vec<Name> = names.filter(may_hold).collect();
        names.sort_unstable();
        names.dedup();
        let mut rows = Vec::with_capacity(names.len() * self.segments.len());
        for segment in &self.segments {
            rows.extend(names.iter().map(|name| segment.row_of(*name)));
        }
        // Both are in growing order, and so are the rows.
        rows.dedup();
        let mut found = HashMap::new();
        if rows.is_empty() {
            return Ok(found);
        }
        let mut buckets = sqlx::query_scalar(FIND).bind(json(&rows)).fetch(connection);
        while let Some(bytes) = buckets.try_next().await? {
            let bytes: Vec<u8> = bytes;
            bucket::find(&bytes, &names, |entry| {
                let value = found.entry(entry.name).or_default();
                *value = entry.value.max(*value);
            })?;
        }
        Ok(found)
    }

    /// Remembers names: new ones, and known ones with larger numbers.
    pub(in crate::ledger) async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        mut entries: Vec<Entry>,
    ) -> Result<(), SqliteError> {
        if entries.is_empty() {
            return Ok(());
        }
        entries.sort_unstable();
        let mut segment = Segment::sized(self.next_id(), entries.len() as u64);
        segment.built = segment.buckets;
        write_buckets(connection, &segment, &entries).await?;
        insert_segment(connection, &segment).await?;
        self.segments.push(segment);
        if let Some(filter) = &mut self.filter {
            for entry in entries {
                filter.insert(entry.name);
            }
        }
        Ok(())
    }

    pub(super) fn next_id(&self) -> i64 {
        self.segments.iter().map(|segment| segment.id).max().unwrap_or(0) + 1
    }
}

/// Writes a list of integers as JSON.
fn json(list: &[i64]) -> String {
    format!("{list:?}")
}

/// Writes those buckets of a segment that sorted entries fall into.
pub(super) async fn write_buckets(
    connection: &mut SqliteConnection,
    segment: &Segment,
    entries: &[Entry],
) -> Result<(), SqliteError> {
    let buckets = entries
        .chunk_by(|one, next| segment.row_of(one.name) == segment.row_of(next.name))
        .collect::<Vec<_>>();
    let bind = |query: Values, entries: &[Entry]| {
        Ok(query.bind(segment.row_of(entries[0].name)).bind(bucket::encode(entries)))
    };
    BUCKETS.write(connection, buckets, bind).await
}

pub(super) async fn insert_segment(
    connection: &mut SqliteConnection,
    segment: &Segment,
) -> Result<(), SqliteError> {
    sqlx::query("INSERT INTO segments (id, entries, buckets, built) VALUES (?1, ?2, ?3, ?4)")
        .bind(segment.id)
        .bind(integer(segment.entries))
        .bind(integer(segment.buckets))
        .bind(integer(segment.built))
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts of names stay far below what an integer holds.
pub(super) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
