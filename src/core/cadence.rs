//! When to poll next.

use std::time::Duration;

/// The rhythm of status requests for one item.
///
/// The service's page says "every 5-10 s". The first poll comes one `interval`
/// after the submit; later ones stretch slowly with the age of the request, by a
/// tenth of it, because an item that has waited for five minutes will rarely be
/// done in the next five seconds. The stretch ends at `max_interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Shortest time between two polls of one item.
    pub interval: Duration,
    /// Longest time between two polls of one item.
    pub max_interval: Duration,
}

impl Cadence {
    /// Returns how long to wait until the next poll of a request of this age.
    #[must_use]
    pub fn next_poll(&self, age: Duration) -> Duration {
        (age / 10).clamp(self.interval, self.longest())
    }

    /// Returns how long to wait until the next poll of a request about which the service
    /// will call back: polls are only for the callback that never comes.
    #[must_use]
    pub fn with_callbacks(&self) -> Duration {
        self.longest()
    }

    fn longest(&self) -> Duration {
        self.max_interval.max(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_closer_than_the_interval_and_never_further_than_the_longest() {
        let secs = Duration::from_secs;
        let cadence = Cadence { interval: secs(5), max_interval: secs(30) };
        let waits = [0, 10, 50, 100, 10_000].map(|age| cadence.next_poll(secs(age)).as_secs());
        assert_eq!(waits, [5, 5, 5, 10, 30]);
        let odd = Cadence { interval: secs(60), max_interval: secs(30) };
        assert_eq!(odd.next_poll(secs(0)), secs(60));
        assert_eq!([cadence, odd].map(|cadence| cadence.with_callbacks()), [secs(30), secs(60)]);
    }
}
