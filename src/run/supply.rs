//! The next items: read from the ledger a page at a time, while the manifest is still
//! being read into it. First those that earlier runs have left at the service, if they are
//! more than may be in hand at once; nothing is submitted before all of them are in hand.

use super::step::Action;
use crate::core::{Item, ItemId};

/// Read more when fewer than this are in hand.
const LOW: usize = 64;

/// Where in the ledger the supply stands.
#[derive(Debug)]
pub(super) struct Supply {
    /// The last item in hand of those that are owed, unless all are.
    owed: Option<ItemId>,
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
        Self { owed: None, cursor: ItemId(0), complete: false, reading: Reading::Idle }
    }
}

impl Supply {
    /// More is owed than what was handed over, behind this item.
    pub(super) fn owes_after(&mut self, item: ItemId) {
        self.owed = Some(item);
    }

    /// Returns true while not all that is owed is in hand; what is loaded until then is.
    pub(super) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// Returns the wish to read a page of what is owed.
    pub(super) fn want_owed(&mut self) -> Option<Action> {
        let after = self.owed.filter(|_| self.reading == Reading::Idle)?;
        self.reading = Reading::Loading { rows_arrived: false };
        Some(Action::Load { owed: true, after, complete: self.complete })
    }

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
        if self.owed.is_some() {
            self.owed = items.last().filter(|_| items.len() == page).map(|last| last.id);
            self.reading = Reading::Idle;
            return;
        }
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
        if self.owes() || self.reading != Reading::Idle || in_hand >= LOW {
            return None;
        }
        self.reading = Reading::Loading { rows_arrived: false };
        Some(Action::Load { owed: false, after: self.cursor, complete: self.complete })
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.reading == Reading::Exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::samples;

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
    fn what_is_owed_comes_first_and_from_where_it_was_left() {
        let mut supply = Supply::default();
        assert!(supply.want_owed().is_none(), "all is in hand");
        supply.owes_after(ItemId(9));
        let page = |ids: [i64; 2]| ids.map(|id| Item { id: ItemId(id), ..samples::staged(1) });
        for (after, loaded) in [(9, page([10, 14])), (14, page([15, 16]))] {
            assert!(supply.want(0).is_none());
            let Some(Action::Load { owed: true, after: from, .. }) = supply.want_owed() else {
                panic!("wants what is owed")
            };
            assert_eq!(from, ItemId(after));
            assert!(supply.want_owed().is_none(), "one page at a time");
            supply.rows_arrived(true);
            supply.loaded(&loaded, true, 2);
        }
        assert!(supply.owes() && supply.want_owed().is_some());
        supply.loaded(&[], true, 2);
        assert!(!supply.owes() && !supply.is_exhausted());
        let Some(Action::Load { owed: false, after, .. }) = supply.want(0) else {
            panic!("wants what is new")
        };
        assert_eq!(after, ItemId(0));
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
