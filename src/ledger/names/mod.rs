//! Remembers which names are taken: the key of every item, with the item's id, and every
//! stem, with how many items have taken it.
//!
//! Names are hashes, so each row of a manifest asks for two places all over the table, and
//! fills two. In a B-tree of ten million names that is two pages read and written for
//! every row. Here nothing is changed in place: each import adds one sorted *segment*, and
//! a few segments of like size are merged into one from time to time, a slice in every
//! transaction (a log-structured merge tree; O'Neil et al. 1996). A name is written about
//! four times in all, always beside its neighbours. While a job's first manifest is read,
//! a filter in memory tells almost every new name from the known ones, so that nothing
//! is read; later editions look names up in the two or three segments that are left.
//!
//! ```text
//!  segment = buckets; a bucket = the names whose first bits say so, sorted, about 40
//!  find:   filter ─► of each segment the one bucket a name can be in ─► binary search
//!  merge:  the same range of hashes of several segments ─► sort ─► buckets of the new one
//! ```
//!
//! A merge moves range after range: what is moved is deleted in the same transaction, so
//! that every name is in some segment at every commit, and a crash loses no work.
//!
//! It does not know what a row or an item is. Called by the ledger's imports, inside a
//! transaction of the writer.

mod bucket;
mod filter;
mod merge;
mod name;
mod segment;
mod table;
#[cfg(test)]
mod tests;

pub(super) use name::{Entry, Name};
pub(super) use table::Names;
