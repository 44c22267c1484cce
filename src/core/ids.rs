//! Names of things: items, requests, sessions, contents.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The ledger's number for one item; grows in manifest order within an edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub i64);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What makes two manifest rows the same item: the first 16 bytes of a BLAKE3
/// hash over (source, scale, version), or over the row's own `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey(pub [u8; 16]);

impl ItemKey {
    /// Hashes the parts of an identity. Each part is written with its length, so
    /// that moving a character from one part to the next gives another key.
    #[must_use]
    pub fn of(kind: &str, parts: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in std::iter::once(&kind).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut key = [0; 16];
        hasher.finalize_xof().fill(&mut key);
        Self(key)
    }
}

/// The service's name for one request, such as `gfpgan_019d…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of the session that may write to a ledger.
///
/// Each run that opens a job for writing gets a higher one. A write with an older
/// number changes nothing (invariant I6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// Number of the manifest's content as the ledger last read it.
///
/// A manifest that was edited between two runs is a new edition of the same job:
/// its rows replace the old ones, while the items, and so the money, stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edition(pub i64);

/// BLAKE3 of a file's bytes, written as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(pub String);

impl From<blake3::Hash> for ContentHash {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.to_hex().to_string())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_depend_on_where_parts_are_cut() {
        assert_ne!(ItemKey::of("s", &["ab", "c"]), ItemKey::of("s", &["a", "bc"]));
        assert_ne!(ItemKey::of("s", &["ab"]), ItemKey::of("id", &["ab"]));
        assert_eq!(ItemKey::of("s", &["a", "2"]), ItemKey::of("s", &["a", "2"]));
    }
}
