//! How long the service takes for a request, learned from those it has finished.

use std::time::Duration;

/// Lower end of the scale in seconds. What is quicker is polled too late anyway.
const SHORTEST: f64 = 0.1;
/// Steps of the scale for each doubling: each is 9 % longer than the one before.
const STEPS_PER_DOUBLING: f64 = 8.0;
/// From one step to the next: 2^(1/8).
const STEP: f64 = 1.090_507_732_665_257_7;
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
/// Weight of everything that an earlier run has measured: enough to be believed, and
/// outweighed by the first requests of this run.
const RECALLED: f64 = 2.0 * LEAST;

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

/// What is known of one request that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The greatest age at which it was seen not to be done; zero when it never was.
    pub open_at: Duration,
    /// The age at which it was seen to be done.
    pub done_at: Duration,
    /// How long it has taken by the service's own clock, when the service says.
    pub took: Option<Duration>,
}

impl ServiceTimes {
    /// Learns from one request that is done.
    ///
    /// What the service says is believed as far as it agrees with what was seen. Where it
    /// says nothing, the request ended at some time between two polls, and that time is
    /// shared out as the times so far are: B. W. Turnbull, "The empirical distribution
    /// function with arbitrarily grouped, censored and truncated data", 1976, one request
    /// at a time.
    pub fn learn(&mut self, seen: Observation) {
        let Observation { open_at, done_at, took } = seen;
        match took {
            Some(took) => self.add(took.max(open_at).min(done_at.max(open_at)), 1.0),
            None => self.share_out(step_of(open_at.as_secs_f64()), step_of(done_at.as_secs_f64())),
        }
        if self.total() >= MEMORY {
            self.weights.iter_mut().for_each(|weight| *weight /= 2.0);
        }
    }

    /// Begins with what an earlier run has measured: the time until the picture was here,
    /// which is longer than the service took, by the wait for a poll and by the download.
    /// So it counts little, and what this run learns soon outweighs it.
    pub fn recall(&mut self, times: impl IntoIterator<Item = Duration>) {
        let times: Vec<_> = times.into_iter().collect();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let weight = (RECALLED / f64::from(count.max(1))).min(1.0);
        times.into_iter().for_each(|time| self.add(time, weight));
    }

    fn add(&mut self, time: Duration, weight: f64) {
        self.weights[step_of(time.as_secs_f64())] += weight;
    }

    /// Adds one request that ended in one of the steps from `first` to `last`.
    fn share_out(&mut self, first: usize, last: usize) {
        let steps = &mut self.weights[first..=last.max(first)];
        #[expect(clippy::cast_precision_loss, reason = "a count of steps")]
        let even = 1.0 / steps.len() as f64;
        let known: f64 = steps.iter().sum();
        // As if one request were known to have ended anywhere between the two.
        steps.iter_mut().for_each(|weight| *weight += (*weight + even) / (known + 1.0));
    }

    /// Returns the chance that a request is done at the age `at` that was not at the age
    /// `open_at`.
    ///
    /// Of requests slower than nearly all others nothing is known but their age, and the
    /// chance is the one that Lindy's law gives: a time as long as the age passes with a
    /// chance of one half.
    #[must_use]
    pub fn chance(&self, open_at: Duration, at: Duration) -> f64 {
        let (open_at, at) = (open_at.as_secs_f64(), at.as_secs_f64().max(SHORTEST));
        let left = self.left(open_at);
        if self.is_known(left) {
            return 1.0 - self.left(at) / left;
        }
        (1.0 - open_at / at).max(0.0)
    }

    /// Returns the age at which so large a part of all requests is done; `None` when too
    /// little is known.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let enough = self.total() * part;
        let mut done = 0.0;
        let found = self.steps().find(|(_, weight)| {
            done += weight;
            done >= enough
        });
        let (middle, _) = found.filter(|_| self.total() >= LEAST)?;
        Some(Duration::from_secs_f64(middle * HALF_STEP))
    }

    /// Returns the weight of requests that take longer than `age` seconds.
    fn left(&self, age: f64) -> f64 {
        self.weights[first_after(age)..].iter().sum()
    }

    /// Returns true when enough is known of requests of which so much weight is left.
    fn is_known(&self, left: f64) -> bool {
        let total = self.total();
        total >= LEAST && left >= TAIL * total
    }

    /// Returns the age at which a poll pays best for a request that was not done at the
    /// age `open_at` and may not be polled before `earliest`; `None` when too little is
    /// known of requests that take so long.
    ///
    /// A poll costs as much as a finished request that waits for `poll_price`. Of all
    /// ages `t` the one is chosen at which the cost for each request found done,
    ///
    /// ```text
    /// (poll_price + E[(t - s)+ | s > open_at]) / P(s <= t | s > open_at)
    /// ```
    ///
    /// is least, where `s` is the service time. It is the one-step rule of renewal
    /// theory: the cost of a try over the chance that it ends the trying.
    #[must_use]
    pub fn best_poll(
        &self,
        open_at: Duration,
        earliest: Duration,
        poll_price: Duration,
    ) -> Option<Duration> {
        let (open_at, earliest) = (open_at.as_secs_f64(), earliest.as_secs_f64());
        let left = self.left(open_at);
        if !self.is_known(left) {
            return None;
        }
        let price = poll_price.as_secs_f64() * left;
        // Weight found done at an age, and that weight times its service times.
        let (mut found, mut spent) = (0.0, 0.0);
        let mut best: Option<(f64, f64)> = None;
        for (middle, weight) in self.steps().filter(|(middle, _)| *middle > open_at) {
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
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        let middles =
            std::iter::successors(Some(SHORTEST * HALF_STEP), |middle| Some(middle * STEP));
        middles.zip(self.weights)
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

/// Returns the first step whose middle is above `age` seconds.
fn first_after(age: f64) -> usize {
    let step = step_of(age);
    let begins = f64::from(u32::try_from(step).unwrap_or(u32::MAX));
    let middle = SHORTEST * ((begins + 0.5) / STEPS_PER_DOUBLING).exp2();
    if middle > age { step } else { step + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn learned(times: impl IntoIterator<Item = f64>) -> ServiceTimes {
        let mut learned = ServiceTimes::default();
        times.into_iter().for_each(|time| learned.learn(said(time)));
        learned
    }

    /// The service says how long it took.
    fn said(took: f64) -> Observation {
        Observation { open_at: Duration::ZERO, done_at: Duration::MAX, took: Some(secs(took)) }
    }

    /// The service says nothing.
    fn between(open_at: f64, done_at: f64) -> Observation {
        Observation { open_at: secs(open_at), done_at: secs(done_at), took: None }
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
        (0..2_000).for_each(|_| times.learn(said(6.0)));
        near(times.best_poll(secs(0.0), secs(5.0), secs(1.5)), 6.0);
    }

    #[test]
    fn the_ends_of_the_scale_hold_everything() {
        let shortest = learned([0.0, 0.000_1].repeat(10));
        near(shortest.best_poll(secs(0.0), secs(0.05), secs(1.0)), 0.109);
        let longest = learned([1e9; 20]);
        assert!(longest.best_poll(secs(0.0), secs(5.0), secs(1.0)).unwrap() > secs(90_000.0));
    }

    #[test]
    fn what_the_service_says_is_held_against_what_was_seen() {
        let mut times = ServiceTimes::default();
        for took in [0.0, 1e6] {
            let seen = Observation { took: Some(secs(took)), ..between(10.0, 10.2) };
            (0..10).for_each(|_| times.learn(seen));
        }
        near(times.best_poll(secs(0.0), secs(1.0), secs(1.0)), 10.2);
    }

    /// Two polls in a row never see more than the interval between them; many such
    /// intervals that lie differently show the time nevertheless.
    #[test]
    fn a_service_that_says_nothing_is_known_from_the_polls_alone() {
        let mut times = ServiceTimes::default();
        let truth = 8.0;
        for number in 0..400 {
            let first = f64::from(number % 50) / 10.0 + 1.0;
            let missed = ((truth - first) / 5.0_f64).ceil().max(0.0);
            let done_at = first + 5.0 * missed;
            times.learn(between(if missed > 0.0 { done_at - 5.0 } else { 0.0 }, done_at));
        }
        near(times.best_poll(secs(0.0), secs(1.0), secs(1.0)), truth);
        let chances = [7.0, 9.0].map(|at| times.chance(secs(0.0), secs(at)));
        assert!(chances[0] < 0.2 && chances[1] > 0.8, "{chances:?}");
    }

    #[test]
    fn a_chance_grows_from_nothing_to_nearly_one() {
        let times = learned((40..400).map(|tenths| f64::from(tenths) / 10.0));
        let chances = [0.1, 5.0, 20.0, 60.0].map(|at| times.chance(secs(0.0), secs(at)));
        assert!(chances.is_sorted() && chances[0] < 0.01 && chances[3] > 0.99, "{chances:?}");
        let open = times.chance(secs(20.0), secs(30.0));
        assert!((open - 0.5).abs() < 0.1, "{open} of those open at 20 s");
        // Beyond all that is known, and when nothing is.
        assert!((times.chance(secs(100.0), secs(200.0)) - 0.5).abs() < 1e-9);
        assert!((ServiceTimes::default().chance(secs(0.0), secs(1.0)) - 1.0).abs() < 1e-9);
        assert!(times.chance(secs(100.0), secs(50.0)).abs() < 1e-9);
    }

    #[test]
    fn what_an_earlier_run_has_measured_is_soon_outweighed() {
        let mut times = ServiceTimes::default();
        times.recall([secs(60.0); 256]);
        near(times.best_poll(secs(0.0), secs(1.0), secs(1.0)), 60.0);
        (0..100).for_each(|_| times.learn(said(8.0)));
        near(times.best_poll(secs(0.0), secs(1.0), secs(1.0)), 8.0);
        let mut few = ServiceTimes::default();
        few.recall([secs(60.0); 3]);
        assert_eq!(few.best_poll(secs(0.0), secs(1.0), secs(1.0)), None, "three are too few");
        few.recall([]);
    }

    #[test]
    fn a_quantile_is_an_age_at_which_so_many_are_done() {
        let times = learned((40..400).map(|tenths| f64::from(tenths) / 10.0));
        near(times.quantile(0.5), 22.0);
        near(times.quantile(0.98), 39.0);
        assert_eq!(ServiceTimes::default().quantile(0.5), None);
    }
}
