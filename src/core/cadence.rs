//! When to poll next.
//!
//! Each poll costs a part of the poll rate, and each second that a finished request waits
//! for its poll keeps a place at the service and, at the end, the whole job. What is known
//! of the service's times ([`ServiceTimes`]) says which poll finds most for its price:
//! [`ServiceTimes::best_poll`] has the rule. The price of a poll is [`POLL_PRICE`] while
//! there are enough of them; when polls stand in line, each makes the others wait as long
//! as the line is, so that is added, and polls go to requests that are more surely done.
//!
//! Until enough is known, and for requests that take longer than nearly all others did,
//! the wait stretches with the age of the request, by a tenth of it: one that has waited
//! for five minutes will rarely be done in the next five seconds.

use std::time::Duration;

use super::service_time::ServiceTimes;

/// What a poll is worth in seconds that a finished request waits, when polls are plenty.
/// Simulated with log-normal, bimodal and heavy-tailed times: below one second polls
/// rise steeply, above three the waiting does.
const POLL_PRICE: Duration = Duration::from_millis(1_500);

/// How many times the longest interval the first poll of a request may be away. A long
/// one saves polls of a slow service; a limit finds out when it has become quick.
const FIRST_POLL: u32 = 4;

/// The rhythm of status requests for one item.
///
/// The service's page says "every 5-10 s".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Shortest time between two polls of one item, and from the submit to the first.
    pub interval: Duration,
    /// Longest time between two polls of one item.
    pub max_interval: Duration,
}

impl Cadence {
    /// Returns how long to wait until the next poll of a request of this age, when a poll
    /// that is due stands in line for `line`.
    #[must_use]
    pub fn next_poll(&self, age: Duration, known: &ServiceTimes, line: Duration) -> Duration {
        match known.best_poll(age, age + self.interval, POLL_PRICE + line) {
            Some(best) if age < self.interval => {
                best.saturating_sub(age).clamp(self.interval, self.longest() * FIRST_POLL)
            }
            Some(best) => best.saturating_sub(age).clamp(self.interval, self.longest()),
            None => (age / 10).clamp(self.interval, self.longest()),
        }
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

    const CADENCE: Cadence =
        Cadence { interval: Duration::from_secs(5), max_interval: Duration::from_secs(30) };

    fn after(cadence: Cadence, age: u64, known: &ServiceTimes) -> u64 {
        cadence.next_poll(Duration::from_secs(age), known, Duration::ZERO).as_secs()
    }

    #[test]
    fn never_closer_than_the_interval_and_never_further_than_the_longest() {
        let nothing = ServiceTimes::default();
        let waits = [0, 10, 50, 100, 10_000].map(|age| after(CADENCE, age, &nothing));
        assert_eq!(waits, [5, 5, 5, 10, 30]);
        let odd = Cadence { interval: Duration::from_secs(60), ..CADENCE };
        assert_eq!(after(odd, 0, &nothing), 60);
        let called = [CADENCE, odd].map(|cadence| cadence.with_callbacks().as_secs());
        assert_eq!(called, [30, 60]);
    }

    #[test]
    fn what_is_known_places_the_first_poll_and_bounds_the_others() {
        let mut known = ServiceTimes::default();
        (0..50).for_each(|_| known.record(Duration::from_secs(60)));
        assert!((58..66).contains(&after(CADENCE, 0, &known)));
        assert_eq!(after(CADENCE, 20, &known), 30);
        (0..5_000).for_each(|_| known.record(Duration::from_secs(1)));
        assert_eq!(after(CADENCE, 0, &known), 5);
        (0..5_000).for_each(|_| known.record(Duration::from_hours(1)));
        assert_eq!(after(CADENCE, 0, &known), 120);
    }

    #[test]
    fn a_line_of_polls_makes_them_later() {
        let mut known = ServiceTimes::default();
        (60..600).for_each(|tenths| known.record(Duration::from_millis(tenths * 100)));
        let [free, busy] = [0, 30]
            .map(|line| CADENCE.next_poll(Duration::ZERO, &known, Duration::from_secs(line)));
        assert!(free < busy, "{free:?} {busy:?}");
    }
}
