//! When to poll next.
//!
//! A poll costs a part of the poll rate, and each second that a finished request waits for
//! its poll keeps a place at the service and, at the end, the whole job. With the service
//! time `s` of a request, which was not done at the age `a`, a poll at the age `t` finds it
//! done with the chance `F(t) = P(s <= t | s > a)`, and late by `E[(t - s)+ | s > a]`. If a
//! poll costs as much as `p` seconds of waiting, the poll that pays best is the one with
//! the least cost for each request found,
//!
//! ```text
//! c(t) = (p + E[(t - s)+ | s > a]) / F(t),      t >= a + interval.
//! ```
//!
//! That is the one-step rule of renewal theory: tries that cost `p` plus their lateness and
//! succeed with the chance `F(t)` cost `c(t)` for each success. It is exact when a try that
//! fails leaves things as they were, which is so for times without memory. For log-normal
//! times (median 8 s, sigma 0.4, interval 5 s) it differs from the optimum found by dynamic
//! programming over all polls to come by less than 1 % of the cost: both poll first at 8.5
//! s, and then every 5 s.
//!
//! What is known of `s` comes from [`ServiceTimes`]: what the service itself says, or else
//! what the polls have shown. The price `p` is what makes polls scarce:
//!
//! - [`POLL_PRICE`] while there are enough of them;
//! - more by the line when polls stand in line, because each makes all others wait: they
//!   go to requests that are more surely done, the line becomes shorter, and in the end
//!   each request is polled hardly more than once;
//! - [`LAST_POLL_PRICE`] when nothing is left to submit: then the last request decides how
//!   long the job takes, and polls are plenty. The last ones also come *together*. If the
//!   polls of each request had a beat of their own, the job would end with the latest of
//!   several waits between 0 and one interval; with one beat for all it ends with one such
//!   wait, half an interval on average.
//!
//! What bounds the end: if `M` is when all other requests are done, the last one was last
//! polled at the earliest at `M + u - interval`, for the best `u`, even if `M` is known
//! beforehand. For 200 requests as above, submitted at 20/s, that costs 7.2 % of the time
//! of a client that knows when each is done; no client that keeps the interval can be
//! nearer. One beat for all, without knowing `M`, costs 8.2 %, and beats of their own 9.4 %.
//!
//! Until enough is known, and for requests that take longer than nearly all others did, the
//! wait stretches with the age of the request, by a tenth of it: one that has waited for
//! five minutes will rarely be done in the next five seconds.

use std::time::Duration;

use super::service_time::ServiceTimes;

/// What a poll is worth in seconds that a finished request waits, when polls are plenty.
/// Simulated with log-normal, bimodal and heavy-tailed times: below one second polls
/// rise steeply, above three the waiting does.
const POLL_PRICE: Duration = Duration::from_millis(1_500);

/// The same when nothing is left to submit.
const LAST_POLL_PRICE: Duration = Duration::from_millis(100);

/// How many times the longest interval the first poll of a request may be away. A long
/// one saves polls of a slow service; a limit finds out when it has become quick.
const FIRST_POLL: u32 = 4;

/// The first poll may come after this part of the interval: the service asks for time
/// between two polls, and a quick one is done long before.
const EARLIEST: u32 = 10;

/// With callbacks a request is polled when so large a part of all would be done.
const NEARLY_ALL: f64 = 0.98;

/// Returns what a poll costs, in seconds that a finished request waits, when one that is
/// due stands in line for `line`; `last` when nothing is left to submit.
#[must_use]
pub fn poll_price(line: Duration, last: bool) -> Duration {
    line + if last { LAST_POLL_PRICE } else { POLL_PRICE }
}

/// A request that is not known to be done; times are ages, counted from its submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRequest {
    /// Its age now.
    pub age: Duration,
    /// The greatest age at which it was seen not to be done; zero when it never was.
    pub open_at: Duration,
    /// The age at which it may be polled.
    pub soonest: Duration,
}

/// The rhythm of status requests for one item.
///
/// The service's page says "every 5-10 s".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Shortest time between two polls of one item.
    pub interval: Duration,
    /// Longest time between two polls of one item.
    pub max_interval: Duration,
}

impl Cadence {
    /// Returns the age at which a request is polled next, when a poll costs `price`.
    #[must_use]
    pub fn next_poll(&self, open: OpenRequest, known: &ServiceTimes, price: Duration) -> Duration {
        let first = open.open_at.is_zero();
        let earliest = open.soonest.max(self.interval / EARLIEST);
        let longest = self.longest() * if first { FIRST_POLL } else { 1 };
        let wanted = match known.best_poll(open.open_at, earliest, price) {
            Some(best) => best.min(open.age + longest),
            None if first => self.interval,
            None => open.age + (open.open_at / 10).clamp(self.interval, self.longest()),
        };
        wanted.max(earliest)
    }

    /// Returns the age at which a request is polled about which the service will call
    /// back: polls are only for the callback that never comes.
    #[must_use]
    pub fn with_callbacks(&self, open: OpenRequest, known: &ServiceTimes) -> Duration {
        let overdue = known.quantile(NEARLY_ALL).filter(|_| open.open_at.is_zero());
        let longest = self.longest() * FIRST_POLL;
        let wanted = match overdue {
            Some(overdue) => (overdue + self.interval).min(open.age + longest),
            None => open.age + self.longest(),
        };
        wanted.max(open.soonest)
    }

    fn longest(&self) -> Duration {
        self.max_interval.max(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::Observation;

    const CADENCE: Cadence =
        Cadence { interval: Duration::from_secs(5), max_interval: Duration::from_secs(30) };

    fn learned(times: impl IntoIterator<Item = f64>) -> ServiceTimes {
        let mut known = ServiceTimes::default();
        for took in times {
            let took = Some(Duration::from_secs_f64(took));
            known.learn(Observation { open_at: Duration::ZERO, done_at: Duration::MAX, took });
        }
        known
    }

    fn just_submitted() -> OpenRequest {
        OpenRequest { age: Duration::ZERO, open_at: Duration::ZERO, soonest: Duration::ZERO }
    }

    /// A request that a poll has just found open.
    fn polled_at(cadence: Cadence, age: Duration) -> OpenRequest {
        OpenRequest { age, open_at: age, soonest: age + cadence.interval }
    }

    fn after(cadence: Cadence, age: u64, known: &ServiceTimes) -> u64 {
        let open = match age {
            0 => just_submitted(),
            age => polled_at(cadence, Duration::from_secs(age)),
        };
        (cadence.next_poll(open, known, POLL_PRICE) - open.age).as_secs()
    }

    #[test]
    fn never_closer_than_the_interval_and_never_further_than_the_longest() {
        let nothing = ServiceTimes::default();
        let waits = [0, 10, 50, 100, 10_000].map(|age| after(CADENCE, age, &nothing));
        assert_eq!(waits, [5, 5, 5, 10, 30]);
        let odd = Cadence { interval: Duration::from_secs(60), ..CADENCE };
        assert_eq!(after(odd, 0, &nothing), 60);
        let called = |cadence: Cadence| cadence.with_callbacks(just_submitted(), &nothing);
        assert_eq!([CADENCE, odd].map(|cadence| called(cadence).as_secs()), [30, 60]);
    }

    #[test]
    fn what_is_known_places_the_first_poll_and_bounds_the_others() {
        let slow = learned([60.0; 50]);
        assert!((58..66).contains(&after(CADENCE, 0, &slow)));
        assert_eq!(after(CADENCE, 20, &slow), 30);
        let quick = learned([1.0; 50]);
        assert_eq!(after(CADENCE, 0, &quick), 1);
        assert_eq!(after(CADENCE, 1, &quick), 5, "only the first may come so soon");
        assert_eq!(after(CADENCE, 0, &learned([3_600.0; 50])), 120);
    }

    #[test]
    fn a_line_of_polls_makes_them_later() {
        let known = learned((60..600).map(|tenths| f64::from(tenths) / 10.0));
        let waits = [0, 30].map(|line| {
            let price = poll_price(Duration::from_secs(line), false);
            CADENCE.next_poll(just_submitted(), &known, price)
        });
        assert!(waits[0] < waits[1], "{waits:?}");
        let last = CADENCE.next_poll(just_submitted(), &known, poll_price(Duration::ZERO, true));
        assert!(last < waits[0], "{last:?}");
    }

    #[test]
    fn of_two_kinds_the_slow_one_is_not_asked_for_in_between() {
        let known = learned((0..200).map(|number| if number % 2 == 0 { 2.0 } else { 60.0 }));
        assert_eq!(after(CADENCE, 0, &known), 2);
        let next = after(CADENCE, 3, &known);
        assert_eq!(next, 30, "as far as the longest interval lets it");
        assert!((25..35).contains(&after(CADENCE, 33, &known)));
    }

    /// What a restart takes up may have been done long ago: it is asked for as soon as it
    /// may be, though nobody would wait for so old a request.
    #[test]
    fn a_request_of_an_earlier_run_is_polled_as_soon_as_it_may_be() {
        let soonest = Duration::from_secs(605);
        let open = OpenRequest { age: Duration::from_mins(10), soonest, ..just_submitted() };
        for known in [ServiceTimes::default(), learned([8.0; 50])] {
            assert_eq!(CADENCE.next_poll(open, &known, POLL_PRICE), soonest);
        }
    }

    #[test]
    fn with_callbacks_a_poll_waits_until_one_is_overdue() {
        let slow = learned([100.0; 50]);
        let first = CADENCE.with_callbacks(just_submitted(), &slow).as_secs();
        assert!((103..112).contains(&first), "{first}");
        let open = polled_at(CADENCE, Duration::from_secs(110));
        assert_eq!(CADENCE.with_callbacks(open, &slow).as_secs(), 140);
    }

    proptest! {
        /// Whatever is known, no poll comes before it may, nor is one put off for ever.
        #[test]
        fn no_poll_comes_too_soon_nor_too_late(
            times in prop::collection::vec(0.0..4_000.0, 0..100),
            age in 0_u64..4_000_000,
            polled in any::<bool>(),
            price in 0_u64..100_000,
        ) {
            let known = learned(times);
            let age = Duration::from_millis(age);
            let open = if polled { polled_at(CADENCE, age) } else { just_submitted() };
            let next = CADENCE.next_poll(open, &known, Duration::from_millis(price));
            prop_assert!(next >= open.soonest);
            prop_assert!(next <= open.age.max(open.soonest) + CADENCE.longest() * FIRST_POLL);
            let called = CADENCE.with_callbacks(open, &known);
            prop_assert!(called >= open.soonest);
            prop_assert!(called <= open.age.max(open.soonest) + CADENCE.longest() * FIRST_POLL);
        }
    }
}
