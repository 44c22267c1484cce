//! What a job has been through, seen in its ledger after every run: which photos were cut
//! off in the middle of a submit, which were done, and what was asked for again.

use std::collections::BTreeMap;

use restore_batch::{
    core::{InDoubtPolicy, Item, ItemState, MOST_DOUBTFUL_SUBMITS},
    gateway::BookedRequest,
};

use crate::{
    books::items,
    service::GatewayProcess,
    support::{World, audit},
};

/// Why photos may be paid for again, and which may not.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) policy: InDoubtPolicy,
    in_flight: u64,
    pub(crate) kills: u32,
    /// Number of the first submit that a `retry` can have made.
    retried_from: Option<i64>,
    /// How often `retry` was started.
    retries: u64,
    /// The operator has asked for photos in doubt to be sent again.
    pub(crate) retried_doubts: bool,
    /// How often each photo was cut off between its submit and the answer.
    cut_off: BTreeMap<String, u64>,
    /// Accepted requests of each photo when it was first seen to be done.
    done: BTreeMap<String, usize>,
}

impl History {
    pub(crate) fn new(policy: InDoubtPolicy, in_flight: u32) -> Self {
        Self {
            policy,
            in_flight: in_flight.into(),
            kills: 0,
            retried_from: None,
            retries: 0,
            retried_doubts: false,
            cut_off: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// The operator takes up what has failed once more, and pays anew for what is FAILED.
    pub(crate) fn retries(&mut self, service: &GatewayProcess, in_doubt_too: bool) {
        let next = service.books().last().map_or(0, |last| last.submit + 1);
        self.retried_from.get_or_insert(next);
        self.retries += 1;
        self.retried_doubts |= in_doubt_too;
    }

    /// Looks at a job after one of its runs.
    ///
    /// # Panics
    ///
    /// When more photos were cut off than can have been on the wire.
    pub(crate) fn look(&mut self, world: &World, service: &GatewayProcess) {
        let (items, books) = (items(world), service.books());
        let cut_off = items.iter().filter(|item| item.state == ItemState::Submitting);
        let mut count = 0;
        for item in cut_off {
            *self.cut_off.entry(item.source.clone()).or_default() += 1;
            count += 1;
        }
        assert!(count <= self.in_flight, "{count} of {} were cut off", self.in_flight);
        let results = audit(world, "photos.restored").results;
        if results.rows.is_empty() {
            return;
        }
        for img in results.column("img") {
            let known = || books.iter().filter(|request| request.img == img).count();
            self.done.entry(img.to_owned()).or_insert_with(known);
        }
    }

    /// Returns how many doubts the kills have left.
    pub(crate) fn doubts(&self) -> u64 {
        self.cut_off.values().sum()
    }

    pub(crate) fn cut_off(&self, img: &str) -> u64 {
        self.cut_off.get(img).copied().unwrap_or(0)
    }

    /// Checks that nothing was paid again for a photo that was done.
    #[track_caller]
    pub(crate) fn left_alone_what_was_done(&self, books: &[BookedRequest]) {
        for (img, count) in &self.done {
            let now = books.iter().filter(|request| request.img == *img).count();
            assert_eq!(now, *count, "a new request for {img}, which was done: {self:#?}");
        }
    }

    /// Returns how often one photo may be paid for at most.
    pub(crate) fn most_submits(&self) -> u64 {
        let by_itself = match self.policy {
            InDoubtPolicy::Hold => 1,
            InDoubtPolicy::Resubmit => u64::from(MOST_DOUBTFUL_SUBMITS),
        };
        by_itself + self.retries
    }

    /// Checks that each request that was paid for after another of the same photo had a
    /// reason: the other one had failed or was in doubt, and the policy or the operator
    /// wanted it sent again.
    #[track_caller]
    pub(crate) fn explains(
        &self,
        item: &Item,
        paid: &[&BookedRequest],
        loses_the_answer: impl Fn(i64) -> bool,
    ) {
        let mut cut_off = self.cut_off(&item.source);
        for pair in paid.windows(2) {
            let [before, again] = pair else { unreachable!("two of them") };
            let what = || format!("{} was paid for again: {paid:#?}, {self:#?}", item.id);
            let retried = self.retried_from.is_some_and(|from| again.submit >= from);
            if before.status == "FAILED" && retried {
                continue;
            }
            if !loses_the_answer(before.submit) {
                assert!(cut_off > 0, "no doubt: {}", what());
                cut_off -= 1;
            }
            let wanted = self.policy == InDoubtPolicy::Resubmit || retried && self.retried_doubts;
            assert!(wanted, "nobody asked for it: {}", what());
        }
    }
}
