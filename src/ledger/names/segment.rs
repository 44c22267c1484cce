//! A segment: names in as many buckets as hold about 40 each.

use std::ops::Range;

use super::name::Name;

/// Names of a bucket in the mean: four buckets of them fill a page of 4 KiB.
const BUCKET: u64 = 40;

/// Bits of a bucket's number; the segment's id is above them in the bucket's row id.
const NUMBER_BITS: u32 = 24;

/// Hashes are this many, as far as buckets tell them apart.
const HASHES: u128 = 1 << 64;

/// Some of the names, in the table `segments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) id: i64,
    /// Names in it, or more.
    pub(super) entries: u64,
    pub(super) buckets: u64,
    /// Buckets that are written; the others come when the merge that fills it goes on.
    pub(super) built: u64,
    /// The segment that it is being merged into.
    pub(super) target: Option<i64>,
}

impl Segment {
    /// Plans a segment for so many names.
    pub(super) fn sized(id: i64, entries: u64) -> Self {
        let most = (1 << NUMBER_BITS) - 1;
        let buckets = entries.div_ceil(BUCKET).clamp(1, most);
        Self { id, entries, buckets, built: 0, target: None }
    }

    pub(super) fn is_built(&self) -> bool {
        self.built == self.buckets
    }

    /// Returns the number of the bucket for names with these top bits; beyond the last for
    /// the end of all hashes. Grows with the name.
    pub(super) fn number(&self, top: u128) -> u64 {
        u64::try_from((top * u128::from(self.buckets)) >> 64).expect("there are fewer buckets")
    }

    /// Returns the row id of the bucket with this number.
    pub(super) fn row(&self, number: u64) -> i64 {
        let number = i64::try_from(number).expect("buckets are below 2^24");
        (self.id << NUMBER_BITS) + number
    }

    /// Returns the row id of the bucket that `name` is in, if it is in this segment.
    pub(super) fn row_of(&self, name: Name) -> i64 {
        self.row(self.number(u128::from(name.top())))
    }

    /// Returns the top bits that begin buckets with these numbers, and end them.
    pub(super) fn tops(&self, numbers: &Range<u64>) -> Range<u128> {
        let begin = |number: u64| (u128::from(number) * HASHES).div_ceil(u128::from(self.buckets));
        begin(numbers.start)..begin(numbers.end)
    }
}
