//! When to poll next.
//!
//! A poll costs a part of the poll rate, and each second that a finished request waits for
//! its poll keeps a place at the service and, at the end, the whole job. With the service
//! time `s` of a request, which was not done at the age `a`, a poll at the age `t` finds it
//! done with the chance `F(t) = P(s <= t | s > a)`, and late by `E[(t - s)+ | s > a]`. If a
//! poll costs as much as `p` seconds of waiting, and could be tried again at once, the best
//! one would have the least cost for each request found, `(p + E[(t - s)+]) / F(t)`: the
//! one-step rule of renewal theory. But a poll that comes too early makes the next one wait
//! for an interval, and what is quick waits with it. So two polls are weighed together, one
//! at `t` and, if it finds nothing, one at `u = t + interval`:
//!
//! ```text
//! c(t) = (p (2 - F(t)) + E[t - s; s <= t] + E[u - s; t < s <= u]) / F(u)
//! ```
//!
//! Of the optimum over all polls to come, found by dynamic programming for the price below,
//! this costs more by less than 0.1 % for log-normal times with a median of 1 s or 8 s
//! (sigma 0.4) or a heavy tail (sigma 1.2), by 4 % for 120 s and by 17 % for two kinds, 2 s
//! and 60 s; the one-step rule is 7 % and 30 % above it for 1 s and for two kinds.
//!
//! What is known of `s` comes from [`ServiceTimes`]: what the service itself says, or else
//! what the polls have shown. The price `p` is what makes polls scarce:
//!
//! - [`POLL_PRICE`] while there are enough of them;
//! - more by the line when polls stand in line, because each makes all others wait: they
//!   go to requests that are more surely done, the line becomes shorter, and in the end
//!   each request is polled hardly more than once;
//! - divided by the part of callbacks that get lost, where the service calls back: a poll
//!   finds only those requests, and only they wait for it;
//!
//! When all are submitted and few are left, only the end of the job counts. Requests that
//! were polled are polled as soon as they may be, and all *together*: if the polls of each
//! had a beat of their own, the job would end with the latest of several waits between 0
//! and one interval; with one beat for all it ends with one such wait, half an interval on
//! average. A first poll that finds nothing may make the job an interval longer, and as
//! long as others are open waiting costs nothing. If `n` requests were not polled yet and
//! each is done within an interval, the end is expected at `t + interval (1 - F(t)^n)`. That
//! is least where `n interval f(t) = 1`, and so is the cost above for `p = n interval`
//! ([`Cadence::last_first_poll`]).
//!
//! What bounds the end: if `M` is when all other requests are done, the last one was last
//! polled at the earliest at `M + u - interval`, for the best `u`, even if `M` is known
//! beforehand. For 200 requests as above, submitted at 20/s, that costs 7.2 % of the time
//! of a client that knows when each is done; no client that keeps the interval can be
//! nearer. One beat for all, without knowing `M`, costs 8.2 %, and beats of their own 9.3 %.
//!
//! What was decided when little was known is decided anew when the poll is due, so that of
//! many requests submitted at once only the first few scout.

use std::time::Duration;

use super::service_time::ServiceTimes;

/// What a poll is worth in seconds that a finished request waits, when polls are plenty.
/// Simulated with log-normal, bimodal and heavy-tailed times: below one second polls
/// rise steeply, above three the waiting does.
const POLL_PRICE: Duration = Duration::from_millis(1_500);

/// How many times the longest interval the first poll of a request may be away. A long
/// one saves polls of a slow service; a limit finds out when it has become quick.
const FIRST_POLL: u32 = 4;

/// The first poll may come after this part of the interval: the service asks for time
/// between two polls, and a quick one is done long before.
const EARLIEST: u32 = 10;

/// Returns what a poll costs, in seconds that a finished request waits, when one that is
/// due stands in line for `line`, and only the part `silent` of all requests would not be
/// heard of without it.
#[must_use]
pub fn poll_price(line: Duration, silent: f64) -> Duration {
    (POLL_PRICE + line).div_f64(silent.clamp(1e-3, 1.0))
}

/// A request that is not known to be done; times are ages, counted from its submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRequest {
    /// The greatest age at which it was seen not to be done; zero when it never was.
    pub open_at: Duration,
    /// The age at which it may be polled.
    pub soonest: Duration,
    /// The service was asked to call back about it.
    pub expects_call: bool,
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
        let furthest = self.longest() * FIRST_POLL;
        let longest = match first {
            true => furthest,
            // Where calls come, as long again as it has waited.
            false if open.expects_call => open.open_at.clamp(self.longest(), furthest),
            false => self.longest(),
        };
        let unknown = if open.expects_call { self.longest() } else { self.interval };
        let wanted = match known.best_poll(open.open_at, earliest, self.interval, price) {
            Some(best) => best.min(open.open_at + longest),
            None => open.open_at + unknown,
        };
        wanted.max(earliest)
    }

    /// Returns when one of the last `left` requests is polled first: as otherwise, but for
    /// a service that is so quick that a miss costs more than waiting for nearly all.
    #[must_use]
    pub fn last_first_poll(
        &self,
        open: OpenRequest,
        known: &ServiceTimes,
        left: usize,
        otherwise: Duration,
    ) -> Duration {
        let price = self.interval.saturating_mul(u32::try_from(left).unwrap_or(u32::MAX));
        let surely = self.next_poll(open, known, price);
        if surely <= self.interval { surely.max(otherwise) } else { otherwise }
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
        OpenRequest { open_at: Duration::ZERO, soonest: Duration::ZERO, expects_call: false }
    }

    /// A request that a poll has just found open.
    fn polled_at(cadence: Cadence, age: Duration) -> OpenRequest {
        OpenRequest { open_at: age, soonest: age + cadence.interval, expects_call: false }
    }

    fn after(cadence: Cadence, age: u64, known: &ServiceTimes) -> u64 {
        let open = match age {
            0 => just_submitted(),
            age => polled_at(cadence, Duration::from_secs(age)),
        };
        cadence.next_poll(open, known, POLL_PRICE).saturating_sub(open.open_at).as_secs()
    }

    #[test]
    fn never_closer_than_the_interval_and_never_further_than_the_longest() {
        let nothing = ServiceTimes::default();
        let waits = [0, 10, 50, 100, 10_000].map(|age| after(CADENCE, age, &nothing));
        assert_eq!(waits, [5, 5, 5, 5, 5]);
        let slow = learned([8.0; 50]);
        let waits = [10, 50, 100, 10_000].map(|age| after(CADENCE, age, &slow));
        assert!(waits.is_sorted() && waits[0] == 5 && waits[2] > 10 && waits[3] == 30, "{waits:?}");
        let odd = Cadence { interval: Duration::from_mins(1), ..CADENCE };
        assert_eq!(after(odd, 0, &nothing), 60);
        let called = OpenRequest { expects_call: true, ..just_submitted() };
        let ages = [CADENCE, odd].map(|cadence| cadence.next_poll(called, &nothing, POLL_PRICE));
        assert_eq!(ages.map(|age| age.as_secs()), [30, 60]);
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
    fn a_line_of_polls_makes_them_later_and_so_do_calls_that_come() {
        let known = learned((60..600).map(|tenths| f64::from(tenths) / 10.0));
        let next = |line, silent| {
            let price = poll_price(Duration::from_secs(line), silent);
            CADENCE.next_poll(just_submitted(), &known, price).as_secs()
        };
        let ages = [next(0, 1.0), next(30, 1.0), next(0, 0.01)];
        assert!(ages[0] < ages[1] && ages[1] <= ages[2], "{ages:?}");
        assert!(
            (55..70).contains(&ages[2]),
            "{}: when nearly all should have been heard of",
            ages[2]
        );
    }

    #[test]
    fn of_two_kinds_the_slow_one_is_not_asked_for_in_between() {
        let known = learned((0..200).map(|number| if number % 2 == 0 { 2.0 } else { 60.0 }));
        assert_eq!(after(CADENCE, 0, &known), 2);
        let next = after(CADENCE, 3, &known);
        assert_eq!(next, 30, "as far as the longest interval lets it");
        assert!((25..35).contains(&after(CADENCE, 33, &known)));
    }

    #[test]
    fn of_the_last_ones_that_are_quick_hardly_any_is_missed() {
        let polled_at = |times: ServiceTimes| {
            let otherwise = CADENCE.next_poll(just_submitted(), &times, POLL_PRICE);
            let last = CADENCE.last_first_poll(just_submitted(), &times, 40, otherwise);
            assert!(last >= otherwise);
            [otherwise, last]
        };
        let spread = |median: f64| learned((0..200).map(move |n| median * 1.012_f64.powi(n - 100)));
        let [otherwise, last] = polled_at(spread(1.0));
        assert!(last > otherwise + Duration::from_millis(200), "{otherwise:?} {last:?}");
        let [otherwise, last] = polled_at(spread(8.0));
        assert_eq!(otherwise, last);
    }

    /// What a restart takes up may have been done long ago: it is asked for as soon as it
    /// may be, though nobody would wait for so old a request.
    #[test]
    fn a_request_of_an_earlier_run_is_polled_as_soon_as_it_may_be() {
        let soonest = Duration::from_secs(605);
        let open = OpenRequest { soonest, ..just_submitted() };
        for known in [ServiceTimes::default(), learned([8.0; 50])] {
            assert_eq!(CADENCE.next_poll(open, &known, POLL_PRICE), soonest);
        }
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
            let latest = open.soonest.max(open.open_at + CADENCE.longest() * FIRST_POLL);
            prop_assert!(next <= latest);
            // Decided anew when it is due, it is due.
            let due = OpenRequest { soonest: next, ..open };
            let again = CADENCE.next_poll(due, &known, Duration::from_millis(price));
            prop_assert!(again <= next.mul_f64(1.1) || again == next, "{again:?} after {next:?}");
        }
    }
}
