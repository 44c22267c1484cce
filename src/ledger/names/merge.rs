//! Makes one segment of several, a slice at a time.

use std::ops::Range;

use futures::TryStreamExt as _;
use sqlx::SqliteConnection;

use super::{
    bucket,
    name::Entry,
    segment::Segment,
    table::{Names, insert_segment, integer, write_buckets},
};
use crate::sqlite::SqliteError;

/// Segments of one size that are merged while a filter keeps names from being looked up in
/// them: many, so that a name is seldom written.
const MANY: usize = 16;

/// Segments are of one size when this power of two of their names is the same.
const SIZE_BITS: u32 = 4;

/// Without a filter a segment joins the smaller ones unless it is this many times larger
/// than all of them: few are left to look into.
const FACTOR: u64 = 4;

impl Names {
    /// Does one slice of the work that keeps segments few; false when there is none.
    pub(in crate::ledger) async fn tidy(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<bool, SqliteError> {
        let unfinished = self.segments.iter().position(|segment| !segment.is_built());
        let target = match unfinished {
            Some(target) => target,
            None => match self.begin_merge(connection).await? {
                Some(target) => target,
                None => return Ok(false),
            },
        };
        self.merge_slice(connection, target).await?;
        Ok(true)
    }

    /// Decides what to merge, and returns the place of the empty segment that it goes into.
    async fn begin_merge(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<usize>, SqliteError> {
        let sources = match self.filter {
            Some(_) => many_alike(&self.segments),
            None => smallest(&self.segments),
        };
        if sources.is_empty() {
            return Ok(None);
        }
        let entries = sources.iter().map(|segment| segment.entries).sum();
        let target = Segment::sized(self.next_id(), entries);
        insert_segment(connection, &target).await?;
        for source in sources {
            sqlx::query("UPDATE segments SET target = ?2 WHERE id = ?1")
                .bind(source.id)
                .bind(target.id)
                .execute(&mut *connection)
                .await?;
            for segment in self.segments.iter_mut().filter(|segment| segment.id == source.id) {
                segment.target = Some(target.id);
            }
        }
        self.segments.push(target);
        Ok(Some(self.segments.len() - 1))
    }

    /// Moves the names of the next buckets of the segment at `place` there.
    async fn merge_slice(
        &mut self,
        connection: &mut SqliteConnection,
        place: usize,
    ) -> Result<(), SqliteError> {
        let mut target = self.segments[place];
        let numbers = target.built..target.buckets.min(target.built + self.slice);
        let tops = target.tops(&numbers);
        let sources = || self.segments.iter().filter(|segment| segment.target == Some(target.id));
        let expected = sources().map(|source| source.entries).sum::<u64>()
            * (numbers.end - numbers.start)
            / target.buckets;
        let mut entries =
            Vec::with_capacity(usize::try_from(expected + expected / 16).unwrap_or(0));
        for source in sources() {
            take(connection, source, &tops, &mut entries).await?;
        }
        // The larger number of a name comes first, and only the first is kept.
        entries.sort_unstable_by(|one: &Entry, other| {
            one.name.cmp(&other.name).then(other.value.cmp(&one.value))
        });
        entries.dedup_by_key(|entry| entry.name);
        write_buckets(connection, &target, &entries).await?;
        target.built = numbers.end;
        sqlx::query("UPDATE segments SET built = ?2 WHERE id = ?1")
            .bind(target.id)
            .bind(integer(target.built))
            .execute(&mut *connection)
            .await?;
        self.segments[place] = target;
        if target.is_built() {
            sqlx::query("DELETE FROM segments WHERE target = ?1")
                .bind(target.id)
                .execute(connection)
                .await?;
            self.segments.retain(|segment| segment.target != Some(target.id));
        }
        Ok(())
    }
}

/// Reads the entries of a range, and deletes the buckets that end in it.
async fn take(
    connection: &mut SqliteConnection,
    source: &Segment,
    tops: &Range<u128>,
    entries: &mut Vec<Entry>,
) -> Result<(), SqliteError> {
    let first = source.row(source.number(tops.start));
    let last = source.row(source.number(tops.end - 1));
    let read = "SELECT entries FROM buckets WHERE id BETWEEN ?1 AND ?2";
    let mut buckets = sqlx::query_scalar(read).bind(first).bind(last).fetch(&mut *connection);
    while let Some(bytes) = buckets.try_next().await? {
        let bytes: Vec<u8> = bytes;
        let in_range = |entry: &Entry| tops.contains(&u128::from(entry.name.top()));
        entries.extend(bucket::decode(&bytes)?.filter(in_range));
    }
    drop(buckets);
    sqlx::query("DELETE FROM buckets WHERE id >= ?1 AND id < ?2")
        .bind(first)
        .bind(source.row(source.number(tops.end)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns all segments of the size of which there are many.
fn many_alike(segments: &[Segment]) -> Vec<Segment> {
    let size = |segment: &Segment| segment.entries.max(1).ilog2() / SIZE_BITS;
    let alike = |of: &Segment| -> Vec<Segment> {
        segments.iter().copied().filter(|segment| size(segment) == size(of)).collect()
    };
    segments.iter().map(alike).find(|alike| alike.len() >= MANY).unwrap_or_default()
}

/// Returns the smallest segments, up to the first that is much larger than those before.
fn smallest(segments: &[Segment]) -> Vec<Segment> {
    let mut segments = segments.to_vec();
    segments.sort_unstable_by_key(|segment| segment.entries);
    let mut entries = 0;
    let much_larger = |segment: &Segment| {
        let before = entries;
        entries += segment.entries;
        before > 0 && segment.entries > FACTOR * before
    };
    let end = segments.iter().position(much_larger).unwrap_or(segments.len());
    segments.truncate(if end > 1 { end } else { 0 });
    segments
}
