//! Requests whose poll is due: when polls are scarce, the one that is most likely done
//! comes first, because only a poll that finds something gives a place at the service back.
//!
//! The chance that a request is done grows while it stands in line, with all others, so
//! they are weighed anew once a second. Who has stood in line twice as long as a fair line
//! would have taken comes first whatever its chance. A poll costs a look into three
//! ordered maps.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::Asked;
use crate::core::{Item, ItemId, ServiceTimes};

/// How old the order of the line may be.
const WEIGH_AGAIN: Duration = Duration::from_secs(1);

/// Chances are told apart by this part of one.
const GRAIN: f64 = 1_000.0;

/// A request whose poll is due.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) item: Item,
    pub(super) asked: Asked,
    /// When it was submitted.
    pub(super) since: Instant,
    /// When it comes first in any case.
    pub(super) latest: Instant,
}

impl Due {
    fn weight(&self, times: &ServiceTimes, now: Instant) -> Weight {
        let age = now.saturating_duration_since(self.since);
        let chance = if self.asked.called { 1.0 } else { times.chance(self.asked.open_at, age) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        Reverse((chance * GRAIN) as u32)
    }
}

/// The most likely first.
type Weight = Reverse<u32>;

/// The weight of a request that the service has called back about.
const SURE: Weight = Reverse(1_000);

/// The line.
#[derive(Debug, Default)]
pub(super) struct PollLine {
    waiting: BTreeMap<ItemId, (Weight, Due)>,
    likely: BTreeSet<(Weight, ItemId)>,
    fair: BTreeSet<(Instant, ItemId)>,
    weighed: Option<Instant>,
}

impl PollLine {
    pub(super) fn join(&mut self, due: Due, times: &ServiceTimes, now: Instant) {
        let id = due.item.id;
        self.take(id);
        let weight = due.weight(times, now);
        self.likely.insert((weight, id));
        self.fair.insert((due.latest, id));
        self.waiting.insert(id, (weight, due));
    }

    /// Returns the request to be polled next.
    pub(super) fn next(&mut self, times: &ServiceTimes, now: Instant) -> Option<Due> {
        if self.weighed.is_none_or(|at| now >= at + WEIGH_AGAIN) {
            self.weigh(times, now);
        }
        let overdue = self.fair.first().filter(|(latest, _)| *latest <= now);
        let id = overdue.map(|(_, id)| *id).or(self.likely.first().map(|(_, id)| *id))?;
        self.take(id)
    }

    /// The service has called back about an attempt. Returns false when its item is not in
    /// the line.
    pub(super) fn called(&mut self, id: ItemId, attempt: u32) -> bool {
        let Some((weight, due)) = self.waiting.get_mut(&id) else { return false };
        if due.item.attempts() == attempt {
            due.asked = due.asked.called();
            self.likely.remove(&(*weight, id));
            *weight = SURE;
            self.likely.insert((SURE, id));
        }
        true
    }

    fn take(&mut self, id: ItemId) -> Option<Due> {
        let (weight, due) = self.waiting.remove(&id)?;
        self.likely.remove(&(weight, id));
        self.fair.remove(&(due.latest, id));
        Some(due)
    }

    fn weigh(&mut self, times: &ServiceTimes, now: Instant) {
        self.weighed = Some(now);
        self.likely.clear();
        for (id, (weight, due)) in &mut self.waiting {
            *weight = due.weight(times, now);
            self.likely.insert((*weight, *id));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ItemId> {
        self.waiting.keys().copied()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::Observation, testing::samples::submitted};

    fn known(times: impl IntoIterator<Item = f64>) -> ServiceTimes {
        let mut known = ServiceTimes::default();
        for took in times {
            let took = Some(Duration::from_secs_f64(took));
            known.learn(Observation { open_at: Duration::ZERO, done_at: Duration::MAX, took });
        }
        known
    }

    fn due(id: i64, since: Instant, open_at: u64, latest: Instant) -> Due {
        let asked = Asked { open_at: Duration::from_secs(open_at), ..Asked::never(since) };
        Due { item: submitted(id, since_epoch()), asked, since, latest }
    }

    /// The same, and the service has called back.
    fn called(id: i64, since: Instant, latest: Instant) -> Due {
        Due { asked: Asked::never(since).called(), ..due(id, since, 0, latest) }
    }

    fn since_epoch() -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn order(line: &mut PollLine, times: &ServiceTimes, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| line.next(times, now)).map(|due| due.item.id.0).collect()
    }

    #[test]
    fn the_likeliest_comes_first_and_the_called_before_all() {
        let times = known((0..200).map(|number| if number % 2 == 0 { 8.0 } else { 60.0 }));
        let start = Instant::now();
        let now = start + Duration::from_secs(100);
        let ago = |seconds| now - Duration::from_secs(seconds);
        let never = now + Duration::from_hours(1);
        let mut line = PollLine::default();
        // One of the slow kind, not done at 20 s: not before 60 s.
        line.join(due(1, ago(30), 20, never), &times, now);
        line.join(due(2, ago(20), 0, never), &times, now);
        line.join(due(3, ago(90), 20, never), &times, now);
        line.join(called(4, ago(1), never), &times, now);
        assert_eq!(line.len(), 4);
        assert_eq!(order(&mut line, &times, now), [4, 3, 2, 1]);
        assert!(line.is_empty());
    }

    #[test]
    fn nobody_waits_for_ever() {
        let times = known([8.0; 50]);
        let start = Instant::now();
        let mut line = PollLine::default();
        let latest = start + Duration::from_secs(40);
        // Slower than all others: nobody can say when it will be done.
        line.join(due(1, start, 20, latest), &times, start);
        let mut polled = Vec::new();
        for second in 0_u32..60 {
            let now = start + Duration::from_secs(second.into());
            // There is always one that is surely done.
            let since = now.checked_sub(Duration::from_secs(30)).unwrap_or(now);
            let id = i64::from(second) + 2;
            line.join(called(id, since, now + Duration::from_hours(1)), &times, now);
            polled.push(line.next(&times, now).unwrap().item.id.0);
        }
        assert_eq!(polled.iter().position(|id| *id == 1), Some(40));
    }

    #[test]
    fn the_order_follows_the_time() {
        let times = known((0..100).map(|number| 5.0 + f64::from(number) / 10.0));
        let start = Instant::now();
        let never = start + Duration::from_hours(1);
        let mut line = PollLine::default();
        line.join(due(1, start + Duration::from_secs(2), 0, never), &times, start);
        line.join(due(2, start, 0, never), &times, start);
        // Both had no chance when they came.
        assert_eq!(order(&mut line, &times, start + Duration::from_secs(9)), [2, 1]);
    }

    #[test]
    fn who_joins_twice_is_polled_once() {
        let (times, now) = (known([8.0; 50]), Instant::now());
        let mut line = PollLine::default();
        line.join(due(1, now, 0, now), &times, now);
        line.join(called(1, now, now), &times, now);
        assert_eq!(order(&mut line, &times, now), [1]);
        line.join(due(1, now, 0, now), &times, now);
        assert_eq!(line.ids().count(), 1);
        line.clear();
        assert!(line.next(&times, now).is_none());
    }
}
