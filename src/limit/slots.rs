//! How many at once.

/// A count with a ceiling.
#[derive(Debug)]
pub(super) struct Slots {
    taken: usize,
    most: usize,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { taken: 0, most }
    }

    pub(super) fn free(&self) -> bool {
        self.taken < self.most
    }

    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    pub(super) fn give_back(&mut self) {
        debug_assert!(self.taken > 0, "a slot is given back once");
        self.taken = self.taken.saturating_sub(1);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}
