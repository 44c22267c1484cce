//! The last requests of a job are polled together.
//!
//! [`Cadence`](crate::core::Cadence) says why. When as few are left as can be polled in two
//! seconds, each waits once for the next beat that all of them share; the beat is one
//! interval and one answer long, so that who was polled at a beat may be polled at the
//! next. Who misses one, because its answer was slow or polls stood in line, is polled as
//! soon as it may be.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::core::ItemId;

/// More than an answer takes longer than the last ones.
const SPARE: Duration = Duration::from_millis(20);

/// What is left of the slowest answer with each new one.
const FADING: f64 = 0.9;

/// The beat of the last polls.
#[derive(Debug, Default)]
pub(super) struct LastPolls {
    next: Option<Instant>,
    met: BTreeSet<ItemId>,
    /// The slowest of the last answers to a poll.
    answer: Duration,
}

impl LastPolls {
    /// A poll was answered so long after it had left.
    pub(super) fn answered(&mut self, took: Duration) {
        self.answer = took.max(self.answer.mul_f64(FADING));
    }

    /// Returns when an item is polled that may be polled from `wanted` on.
    pub(super) fn together(
        &mut self,
        id: ItemId,
        wanted: Instant,
        interval: Duration,
        now: Instant,
    ) -> Instant {
        let beat = interval + self.answer.min(interval / 2) + SPARE;
        let next = next_beat(self.next.unwrap_or(wanted), beat, now);
        self.next = Some(next);
        let at = next_beat(next, beat, wanted);
        let is_new = self.met.insert(id);
        let comes_up = wanted > now && at - wanted <= interval / 2;
        if is_new || comes_up { at } else { wanted }
    }
}

/// Returns the first beat at or after `from`, when there is one at `some`.
fn next_beat(some: Instant, beat: Duration, from: Instant) -> Instant {
    let behind = from.saturating_duration_since(some);
    let beats = behind.as_nanos().div_ceil(beat.as_nanos().max(1));
    some + beat * u32::try_from(beats).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn items_meet_at_the_next_beat_and_stay_together() {
        let start = Instant::now();
        let mut last = LastPolls::default();
        last.answered(millis(100));
        let mut join = |id, at: u64, wanted: u64| {
            let (now, wanted) = (start + millis(at), start + millis(wanted));
            last.together(ItemId(id), wanted, INTERVAL, now) - start
        };
        assert_eq!(join(1, 0, 3_000), millis(3_000));
        assert_eq!(join(2, 1, 2_000), millis(3_000));
        assert_eq!(join(3, 2, 3_001), millis(8_120));
        // Polled at 3 s, answered after 80 and 100 ms.
        assert_eq!(join(1, 3_080, 8_080), millis(8_120));
        assert_eq!(join(2, 3_100, 8_100), millis(8_120));
        // This one answered slowly, and does not wait for another beat.
        assert_eq!(join(3, 8_500, 13_500), millis(13_500));
        // One that is not wanted soon comes with a later beat, which moves nothing.
        assert_eq!(join(4, 8_501, 40_000), millis(3_000 + 8 * 5_120));
        assert_eq!(join(1, 8_600, 13_200), millis(13_240));
        // Its beat has come, and it does not wait for another.
        assert_eq!(join(1, 13_241, 13_241), millis(13_241));
    }

    #[test]
    fn a_slow_answer_is_forgotten() {
        let mut last = LastPolls::default();
        last.answered(Duration::from_mins(1));
        (0..100).for_each(|_| last.answered(millis(10)));
        assert_eq!(last.answer, millis(10));
    }
}
