//! The one place a run takes its time from.
//!
//! The two HTTP clients, which decide nothing, read the wall clock by themselves when
//! an answer without a date of its own names the date at which to come back. The gateway
//! is a service of its own, and reads it too.
//!
//! Wall time is read once; after that it advances with tokio's monotonic clock. So
//! a wall clock that is set back while a job runs changes nothing, and a paused
//! tokio clock makes a whole run exact. Code that decides something takes `now` as
//! an argument and does not call this.

use std::time::Duration;

use governor::nanos::Nanos;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Monotonic and wall time of one process; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_at_start: Timestamp,
    start: Instant,
}

impl Clock {
    /// Starts from the machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// Starts from a given wall time; for simulation.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { wall_at_start: wall, start: Instant::now() }
    }

    /// Returns the wall time, for the ledger and for people.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.start.elapsed()).unwrap_or(SignedDuration::MAX);
        self.wall_at_start.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Returns the monotonic time, for waiting.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Returns the moment on the monotonic clock at which the wall clock will show
    /// `at`, but at most `longest` from now: a stored time may come from a machine
    /// whose clock was wrong.
    #[must_use]
    pub fn instant_of(&self, at: Timestamp, longest: Duration) -> Instant {
        let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO);
        self.instant() + wait.min(longest)
    }
}

/// Returns how much time has passed between two wall times, zero if it went backwards.
#[must_use]
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The clock governor reads, so that quotas follow a paused tokio clock too.
///
/// governor's own default clock goes on in real time while a simulation stands still.
impl governor::clock::Clock for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_and_quota_time_follow_the_paused_clock() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), "1970-01-01T00:01:30Z".parse().unwrap());
        assert_eq!(governor::clock::Clock::now(&clock), Nanos::from(Duration::from_secs(90)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stored_time_far_ahead_is_cut() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let longest = Duration::from_mins(1);
        assert_eq!(clock.instant_of(Timestamp::MAX, longest), clock.instant() + longest);
        assert_eq!(clock.instant_of(Timestamp::MIN, longest), clock.instant());
    }
}
