//! How fast pictures are done lately, to tell a client that met a full queue when to come
//! back.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What a picture takes before the first one is done: a guess for a small photo.
const FIRST_GUESS: Duration = Duration::from_secs(2);

/// Shortest and longest pause that is asked for. The longest is what clients' own limits
/// usually allow, and a queue may empty faster than it was estimated.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Weight of the newest picture in the moving average: the last ten or so count.
const NEWEST: f64 = 0.2;

/// Remembers how long pictures take.
#[derive(Debug)]
pub(super) struct Pace {
    workers: NonZeroUsize,
    /// Moving average of seconds a picture.
    seconds: Mutex<f64>,
}

impl Pace {
    pub(super) fn new(workers: NonZeroUsize) -> Self {
        Self { workers, seconds: Mutex::new(FIRST_GUESS.as_secs_f64()) }
    }

    /// Counts a picture that took so long.
    pub(super) fn took(&self, time: Duration) {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        *seconds += NEWEST * (time.as_secs_f64() - *seconds);
    }

    /// Estimates when a tenth of a queue of this length is done, so that clients that come
    /// back meet room for more than one of them.
    pub(super) fn until_room(&self, queued: u64) -> Duration {
        let seconds = *self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let pictures = (queued / 10).max(1);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let estimate = seconds * pictures as f64 / self.workers.get() as f64;
        let estimate = Duration::try_from_secs_f64(estimate).unwrap_or(PAUSES.1);
        estimate.clamp(PAUSES.0, PAUSES.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_follows_queue_workers_and_recent_time() {
        let pace = Pace::new(NonZeroUsize::new(2).unwrap());
        assert_eq!(pace.until_room(100), Duration::from_secs(10));
        assert_eq!(pace.until_room(0), Duration::from_secs(1));
        assert_eq!(pace.until_room(u64::MAX), Duration::from_mins(1));
        for _ in 0..100 {
            pace.took(Duration::from_secs(8));
        }
        let pause = pace.until_room(100).as_secs_f64();
        assert!((39.9..40.1).contains(&pause), "{pause}");
    }
}
