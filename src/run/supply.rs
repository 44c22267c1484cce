//! The next items: read from the ledger a page at a time, while the manifest is still
//! being read into it.

use super::step::Action;
use crate::core::{Item, ItemId};

/// Read more when fewer than this are in hand.
const LOW: usize = 64;

/// Where in the ledger the supply stands.
#[derive(Debug)]
pub(super) struct Supply {
    cursor: ItemId,
    /// The manifest is in the ledger to its end.
    complete: bool,
    reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There may be more.
    Idle,
    /// A page is being read; it may miss rows that have arrived since.
    Loading { rows_arrived: bool },
    /// The last page was short: nothing more until rows arrive.
    Dry,
    /// Nothing more will come.
    Exhausted,
}

impl Default for Supply {
    fn default() -> Self {
        Self { cursor: ItemId(0), complete: false, reading: Reading::Idle }
    }
}

impl Supply {
    /// Rows have reached the ledger.
    pub(super) fn rows_arrived(&mut self, complete: bool) {
        self.complete |= complete;
        self.reading = match self.reading {
            Reading::Dry => Reading::Idle,
            Reading::Loading { .. } => Reading::Loading { rows_arrived: true },
            other @ (Reading::Idle | Reading::Exhausted) => other,
        };
    }

    /// A page was read. Only a short page whose reading began after the manifest's end
    /// proves that nothing is left.
    pub(super) fn loaded(&mut self, items: &[Item], complete: bool, page: usize) {
        if let Some(last) = items.last() {
            self.cursor = last.id;
        }
        let missed_rows = self.reading == Reading::Loading { rows_arrived: true };
        self.reading = match items.len() < page {
            true if complete => Reading::Exhausted,
            true if !missed_rows => Reading::Dry,
            _ => Reading::Idle,
        };
    }

    /// Returns the wish to read a page when `in_hand` is low.
    pub(super) fn want(&mut self, in_hand: usize) -> Option<Action> {
        if self.reading != Reading::Idle || in_hand >= LOW {
            return None;
        }
        self.reading = Reading::Loading { rows_arrived: false };
        Some(Action::Load { after: self.cursor, complete: self.complete })
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.reading == Reading::Exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_page_read_before_the_manifest_s_end_is_read_again() {
        let mut supply = Supply::default();
        let Some(Action::Load { complete, .. }) = supply.want(0) else { panic!("wants rows") };
        assert!(!complete);
        supply.rows_arrived(true);
        supply.loaded(&[], complete, 10);
        assert!(!supply.is_exhausted());
        let Some(Action::Load { complete, .. }) = supply.want(0) else { panic!("wants rows") };
        supply.loaded(&[], complete, 10);
        assert!(supply.is_exhausted());
        assert!(supply.want(0).is_none());
    }

    #[test]
    fn rows_that_arrive_while_a_page_is_read_are_not_left_waiting() {
        let mut supply = Supply::default();
        assert!(supply.want(0).is_some());
        supply.rows_arrived(false);
        assert!(supply.want(0).is_none(), "one page at a time");
        supply.loaded(&[], false, 10);
        assert!(supply.want(0).is_some());
    }

    #[test]
    fn a_dry_ledger_is_not_asked_until_rows_arrive() {
        let mut supply = Supply::default();
        assert!(supply.want(0).is_some());
        assert!(supply.want(0).is_none(), "one page at a time");
        supply.loaded(&[], false, 10);
        assert!(supply.want(0).is_none());
        supply.rows_arrived(false);
        assert!(supply.want(LOW).is_none(), "enough in hand");
        assert!(supply.want(0).is_some());
    }
}
