//! How long the service takes for a request, learned from those it has finished.

use std::time::Duration;

/// Lower end of the scale in seconds. What is quicker is polled too late anyway.
const SHORTEST: f64 = 0.1;
/// Steps of the scale for each doubling: each is 9 % longer than the one before.
const STEPS_PER_DOUBLING: f64 = 8.0;
/// From the middle of a step to its end: 2^(1/16).
const HALF_STEP: f64 = 1.044_273_782_427_413_8;
/// Steps of the scale; the last one begins at 0.1 s x 2^(159/8), about 27 hours.
const STEPS: usize = 160;
/// Weight after which everything known is halved, so that the last few hundred requests
/// decide and a service that has changed is known anew soon.
const MEMORY: f64 = 512.0;
/// Least weight that is believed. A handful of requests tells the median to within half
/// of the spread.
const LEAST: f64 = 8.0;
/// Smallest part of all requests that says how the slow ones go on. Of fewer, the next
/// end cannot be foretold.
const TAIL: f64 = 0.02;

/// A histogram of service times over logarithmic steps, which forgets.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceTimes {
    weights: [f64; STEPS],
}

impl Default for ServiceTimes {
    fn default() -> Self {
        Self { weights: [0.0; STEPS] }
    }
}

impl ServiceTimes {
    /// Learns that the service has taken so long for one request.
    pub fn record(&mut self, took: Duration) {
        self.weights[step_of(took.as_secs_f64())] += 1.0;
        if self.total() >= MEMORY {
            self.weights.iter_mut().for_each(|weight| *weight /= 2.0);
        }
    }

    /// Returns the age at which a poll pays best for a request that was not done at
    /// `age` and may not be polled before `earliest`; `None` when too little is known of
    /// requests that take so long.
    ///
    /// A poll costs as much as a finished request that waits for `poll_price`. Of all
    /// ages `t` the one is chosen at which the cost for each request found done,
    ///
    /// ```text
    /// (poll_price + E[(t - s) | s > age, s <= t] P(s <= t | s > age)) / P(s <= t | s > age)
    /// ```
    ///
    /// is least, where `s` is the service time. It is the one-step rule of renewal
    /// theory: the cost of a try over the chance that it ends the trying.
    #[must_use]
    pub fn best_poll(
        &self,
        age: Duration,
        earliest: Duration,
        poll_price: Duration,
    ) -> Option<Duration> {
        let total = self.total();
        let (age, earliest) = (age.as_secs_f64(), earliest.as_secs_f64());
        let open = || self.steps().filter(|(middle, _)| *middle > age);
        let left: f64 = open().map(|(_, weight)| weight).sum();
        if total < LEAST || left < TAIL * total {
            return None;
        }
        let price = poll_price.as_secs_f64() * left;
        // Weight found done at an age, and that weight times its service times.
        let (mut found, mut spent) = (0.0, 0.0);
        let mut best: Option<(f64, f64)> = None;
        for (middle, weight) in open() {
            found += weight;
            spent += weight * middle;
            // Between two steps nothing more is found: the best age is a step's end.
            let at = (middle * HALF_STEP).max(earliest);
            let cost = (price + found * at - spent) / found;
            if found > 0.0 && best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, at));
            }
        }
        best.map(|(_, at)| Duration::from_secs_f64(at))
    }

    fn total(&self) -> f64 {
        self.weights.iter().sum()
    }

    /// Returns the middle of each step in seconds, with its weight, shortest first.
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.weights.iter().enumerate().map(|(step, weight)| (middle_of(step), *weight))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the step is clamped to the scale, and casts from floats saturate"
)]
fn step_of(seconds: f64) -> usize {
    let step = (seconds.max(SHORTEST) / SHORTEST).log2() * STEPS_PER_DOUBLING;
    (step as usize).min(STEPS - 1)
}

/// Returns the middle of a step in seconds.
fn middle_of(step: usize) -> f64 {
    let step = f64::from(u32::try_from(step).unwrap_or(u32::MAX));
    SHORTEST * ((step + 0.5) / STEPS_PER_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn learned(times: impl IntoIterator<Item = f64>) -> ServiceTimes {
        let mut learned = ServiceTimes::default();
        times.into_iter().for_each(|time| learned.record(secs(time)));
        learned
    }

    fn near(found: Option<Duration>, expected: f64) {
        let found = found.unwrap().as_secs_f64();
        assert!((found / expected - 1.0).abs() < 0.1, "{found} is not near {expected}");
    }

    #[test]
    fn nothing_is_claimed_from_a_handful() {
        let few = learned([4.0; 7]);
        assert_eq!(few.best_poll(secs(0.0), secs(5.0), secs(1.0)), None);
    }

    #[test]
    fn a_poll_comes_right_after_the_end_of_a_service_that_always_takes_the_same() {
        let times = learned([30.0; 50]);
        near(times.best_poll(secs(0.0), secs(1.0), secs(1.0)), 30.0);
        near(times.best_poll(secs(20.0), secs(25.0), secs(1.0)), 30.0);
    }

    #[test]
    fn no_poll_comes_before_it_may() {
        let times = learned([2.0; 50]);
        assert_eq!(times.best_poll(secs(0.0), secs(5.0), secs(1.0)), Some(secs(5.0)));
    }

    #[test]
    fn of_two_kinds_of_requests_the_quick_ones_are_asked_for_first() {
        let times = learned((0..100).map(|number| if number % 2 == 0 { 2.0 } else { 60.0 }));
        near(times.best_poll(secs(0.0), secs(1.0), secs(2.0)), 2.0);
        // Not done after that: then it is one of the others.
        near(times.best_poll(secs(2.2), secs(7.2), secs(2.0)), 60.0);
    }

    #[test]
    fn dear_polls_come_later() {
        let times = learned((40..400).map(|tenths| f64::from(tenths) / 10.0));
        let ages = [0.5, 2.0, 10.0]
            .map(|price| times.best_poll(secs(0.0), secs(1.0), secs(price)).unwrap());
        assert!(ages.is_sorted() && ages[0] < ages[2], "{ages:?}");
    }

    #[test]
    fn how_the_slowest_go_on_is_not_claimed() {
        let times = learned((0..300).map(|_| 8.0).chain([600.0]));
        assert_eq!(times.best_poll(secs(20.0), secs(25.0), secs(1.0)), None);
    }

    #[test]
    fn a_service_that_has_changed_is_known_anew() {
        let mut times = learned([60.0; 2_000]);
        (0..2_000).for_each(|_| times.record(secs(6.0)));
        near(times.best_poll(secs(0.0), secs(5.0), secs(1.5)), 6.0);
    }

    #[test]
    fn the_ends_of_the_scale_hold_everything() {
        let shortest = learned([0.0, 0.000_1].repeat(10));
        near(shortest.best_poll(secs(0.0), secs(0.05), secs(1.0)), 0.109);
        let longest = learned([1e9; 20]);
        assert!(longest.best_poll(secs(0.0), secs(5.0), secs(1.0)).unwrap() > secs(90_000.0));
    }
}
