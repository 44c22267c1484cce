//! One delay queue for every item that waits: for its next poll, for another try of a
//! download, for a pause to pass.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue::Key};

use crate::core::ItemId;

/// Wakes items at their time.
#[derive(Debug, Default)]
pub(super) struct Poller {
    queue: DelayQueue<ItemId>,
    keys: BTreeMap<ItemId, Key>,
}

impl Poller {
    /// Wakes `item` at `at`; an item that already waits gets the new time.
    pub(super) fn park(&mut self, item: ItemId, at: Instant) {
        if let Some(key) = self.keys.get(&item) {
            self.queue.reset_at(key, at);
        } else {
            self.keys.insert(item, self.queue.insert_at(item, at));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the next item whose time has come; waits until there is one.
    /// Safe to drop and call again.
    pub(super) async fn due(&mut self) -> Option<ItemId> {
        let expired = self.queue.next().await?;
        let item = expired.into_inner();
        self.keys.remove(&item);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn items_come_back_in_order_of_time_and_once() {
        let mut poller = Poller::default();
        let at = |secs| Instant::now() + Duration::from_secs(secs);
        poller.park(ItemId(1), at(5));
        poller.park(ItemId(2), at(3));
        poller.park(ItemId(1), at(1));
        assert_eq!(poller.due().await, Some(ItemId(1)));
        assert_eq!(poller.due().await, Some(ItemId(2)));
        assert!(poller.is_empty());
        assert_eq!(poller.due().await, None);
    }
}
