//! A name, and what is remembered of it.

use crate::core::{ItemKey, collision_key};

/// The key of an item or of a stem: 16 bytes of a BLAKE3 hash, spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::ledger) struct Name(pub(super) u128);

impl Name {
    pub(in crate::ledger) fn of_item(key: ItemKey) -> Self {
        Self(u128::from_be_bytes(key.0))
    }

    /// Stems that some file system cannot tell apart have one name.
    pub(in crate::ledger) fn of_stem(stem: &str) -> Self {
        Self::of_stem_key(&collision_key(stem))
    }

    /// The same for what [`collision_key`] has returned: folding twice is not the same.
    pub(in crate::ledger) fn of_stem_key(stem_key: &str) -> Self {
        Self::of_item(ItemKey::of("stem", &[stem_key]))
    }

    /// The bits by which names are spread over buckets.
    pub(super) fn top(self) -> u64 {
        u64::try_from(self.0 >> 64).expect("64 bits are left")
    }

    /// The other bits.
    pub(super) fn low(self) -> u64 {
        u64::try_from(self.0 & u128::from(u64::MAX)).expect("64 bits are left")
    }
}

/// A name and its number: an item's id, or how many items have taken a stem. When a name
/// is there twice, the larger number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct Entry {
    pub(in crate::ledger) name: Name,
    pub(in crate::ledger) value: u64,
}
