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
    loading: bool,
    /// The manifest is in the ledger to its end.
    complete: bool,
    /// The last page was short: nothing more until rows arrive.
    dry: bool,
    exhausted: bool,
}

impl Default for Supply {
    fn default() -> Self {
        Self { cursor: ItemId(0), loading: false, complete: false, dry: false, exhausted: false }
    }
}

impl Supply {
    /// Rows have reached the ledger.
    pub(super) fn rows_arrived(&mut self, complete: bool) {
        self.complete |= complete;
        self.dry = false;
    }

    /// A page was read. Only a short page whose reading began after the manifest's end
    /// proves that nothing is left.
    pub(super) fn loaded(&mut self, items: &[Item], complete: bool, page: usize) {
        self.loading = false;
        if let Some(last) = items.last() {
            self.cursor = last.id;
        }
        if items.len() < page {
            self.exhausted = complete;
            self.dry = !(self.complete && !complete);
        }
    }

    /// Returns the wish to read a page when `in_hand` is low.
    pub(super) fn want(&mut self, in_hand: usize) -> Option<Action> {
        if self.loading || self.exhausted || self.dry || in_hand >= LOW {
            return None;
        }
        self.loading = true;
        Some(Action::Load { after: self.cursor, complete: self.complete })
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
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
