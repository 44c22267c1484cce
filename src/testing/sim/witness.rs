//! What a ledger has acknowledged, written down beside it.
//!
//! The ledger says what is; this remembers how it came to that: every attempt with its
//! request and booking, what an operator allowed, and whether a session that was over
//! has still changed something.

use std::collections::BTreeMap;

use crate::core::{
    EventKind, Fence, Item, ItemId,
    invariant::{Attempted, Violation, fence_holds},
};

/// Everything a ledger was seen to do; outlives every crash.
#[derive(Debug, Default)]
pub(super) struct Witness {
    latest: Option<Fence>,
    attempts: BTreeMap<(ItemId, u32), Attempted>,
    /// How often each item was sent again on purpose: by an operator, or by policy.
    licences: BTreeMap<ItemId, Licences>,
    /// What has been seen first of what must not be.
    violation: Option<Violation>,
}

/// What was allowed to be submitted once more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Licences {
    /// Failed items that an operator wanted submitted anew.
    pub(super) retries: u32,
    /// Items in doubt sent again.
    pub(super) resubmits: u32,
}

impl Witness {
    pub(super) fn session_began(&mut self, fence: Fence) {
        self.latest = Some(fence);
    }

    /// A write of this session has, or has not, changed something.
    pub(super) fn wrote(&mut self, fence: Fence, changed: bool) {
        let latest = self.latest.unwrap_or(fence);
        if let Err(violation) = fence_holds(latest, fence, changed) {
            self.violation.get_or_insert(violation);
        }
    }

    /// An item was moved by this event.
    pub(super) fn moved(&mut self, event: EventKind, item: &Item) {
        let licences = self.licences.entry(item.id).or_default();
        match event {
            EventKind::RetrySubmit => licences.retries += 1,
            EventKind::Resubmit => licences.resubmits += 1,
            _ => {}
        }
        if let Some(attempt) = &item.attempt {
            let request = item.request.as_ref().map(|request| request.id.clone());
            let seen = Attempted { request, booking: attempt.booking };
            self.attempts.insert((item.id, attempt.number), seen);
        }
    }

    pub(super) fn attempts_of(&self, item: ItemId) -> Vec<Attempted> {
        self.attempts.range((item, 0)..=(item, u32::MAX)).map(|(_, seen)| seen.clone()).collect()
    }

    pub(super) fn licences_of(&self, item: ItemId) -> Licences {
        self.licences.get(&item).copied().unwrap_or_default()
    }

    /// Returns every item that was ever moved.
    pub(super) fn items(&self) -> impl Iterator<Item = ItemId> {
        self.licences.keys().copied()
    }

    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }
}
