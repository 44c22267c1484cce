//! The spend cap: money is set aside before a request leaves, so that no number of
//! requests at once can overshoot it.

use super::Micros;

/// What a job has spent, has set aside, and may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    committed: Micros,
    cap: Option<Micros>,
}

impl Budget {
    /// Starts from what the ledger says is charged, possibly charged or reserved.
    #[must_use]
    pub fn new(committed: Micros, cap: Option<Micros>) -> Self {
        Self { committed, cap }
    }

    /// Returns true when one more request at `price` stays within the cap.
    #[must_use]
    pub fn allows(&self, price: Micros) -> bool {
        self.cap.is_none_or(|cap| self.committed + price <= cap)
    }

    /// Sets `price` aside for a request that is about to leave; false, and nothing
    /// set aside, when that would overshoot the cap.
    pub fn reserve(&mut self, price: Micros) -> bool {
        let allowed = self.allows(price);
        if allowed {
            self.committed += price;
        }
        allowed
    }

    /// Replaces what was set aside for an item by what its answer came to.
    pub fn settle(&mut self, set_aside: Micros, came_to: Micros) {
        self.committed = self.committed - set_aside + came_to;
    }

    /// Returns the cap, if there is one.
    #[must_use]
    pub fn cap(&self) -> Option<Micros> {
        self.cap
    }

    /// Returns what is charged, possibly charged or reserved.
    #[must_use]
    pub fn committed(&self) -> Micros {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_never_overshot() {
        let mut budget = Budget::new(Micros(5_000), Some(Micros(10_000)));
        assert!(budget.reserve(Micros(3_100)));
        assert!(!budget.reserve(Micros(3_100)));
        assert_eq!(budget.committed(), Micros(8_100));
        budget.settle(Micros(3_100), Micros::ZERO);
        assert!(budget.reserve(Micros(5_000)));
        assert!(!budget.allows(Micros(1)));
    }

    #[test]
    fn no_cap_allows_everything() {
        assert!(Budget::new(Micros(i64::MAX), None).allows(Micros(1)));
    }
}
