//! How long the service takes for a request, learned from those that were polled.
//!
//! Only the requests that are done tell how long they took, and the quick ones are done
//! first: whoever counts them alone believes in a quick service. So what is learned is the
//! *hazard*: of the requests that were open at the beginning of a step of time, which part
//! was done at its end. A request that is still open is counted in each step it has
//! outlived. The chance to outlive several steps is the product over them (E. L. Kaplan and
//! P. Meier, "Nonparametric estimation from incomplete observations", 1958).
//!
//! Where little or nothing is known, a request that has waited for a time waits as long
//! again with a chance of one half, whatever the time (Lindy's law): each step is counted as
//! if [`SUPPOSED`] requests had met it and as many had ended as that law says.

use std::{ops::Range, time::Duration};

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
/// Requests after which everything known is halved, so that the last few hundred decide and
/// a service that has changed is known anew soon.
const MEMORY: f64 = 512.0;
/// Least number of requests that is believed.
const LEAST: f64 = 8.0;
/// Requests that each step is supposed to have met before any did: few, because many steps
/// lie before the time of a slow service.
const SUPPOSED: f64 = 0.1;
/// The part of them that ended in it by Lindy's law: 1 - 2^(-1/8).
const LINDY: f64 = 0.082_995_956_795_328_8;
/// Weight of everything that an earlier run has measured: enough to be believed, and
/// outweighed by the first requests of this run.
const RECALLED: f64 = 2.0 * LEAST;

/// The hazard over logarithmic steps of time, which forgets.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceTimes {
    /// Requests that met each step, and those of them that ended in it.
    met: [f64; STEPS],
    ended: [f64; STEPS],
}

impl Default for ServiceTimes {
    fn default() -> Self {
        Self { met: [0.0; STEPS], ended: [0.0; STEPS] }
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
    /// Learns that a request, last seen open at the age `open_at`, is still open at `age`.
    pub fn still_open(&mut self, open_at: Duration, age: Duration) {
        for step in step_of(open_at)..step_of(age) {
            self.met[step] += 1.0;
        }
        self.forget();
    }

    /// Learns from one request that is done.
    ///
    /// What the service says is believed as far as it agrees with what was seen. Where it
    /// says nothing, the request ended at some time between two polls, and is shared out
    /// over that time as others have ended in it (B. W. Turnbull, "The empirical
    /// distribution function with arbitrarily grouped, censored and truncated data", 1976;
    /// here one request at a time).
    pub fn learn(&mut self, seen: Observation) {
        let Observation { open_at, done_at, took } = seen;
        match took {
            Some(took) => {
                self.add(open_at, took.min(done_at).max(open_at), 1.0);
            }
            None => self.share_out(step_of(open_at)..step_of(done_at.max(open_at)) + 1),
        }
        self.forget();
    }

    /// Begins with what an earlier run has measured: the time until the picture was here,
    /// which is longer than the service took, by the wait for a poll and by the download.
    /// So it counts little, and what this run learns soon outweighs it.
    pub fn recall(&mut self, times: impl IntoIterator<Item = Duration>) {
        let times: Vec<_> = times.into_iter().collect();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let weight = (RECALLED / f64::from(count.max(1))).min(1.0);
        for time in times {
            self.add(Duration::ZERO, time, weight);
        }
    }

    fn add(&mut self, open_at: Duration, time: Duration, weight: f64) {
        let last = step_of(time);
        for step in step_of(open_at)..=last {
            self.met[step] += weight;
        }
        self.ended[last] += weight;
    }

    /// Adds one request that ended in one of these steps.
    fn share_out(&mut self, steps: Range<usize>) {
        let ends = 1.0 - steps.clone().map(|step| 1.0 - self.hazard(step)).product::<f64>();
        let (mut open, mut left) = (1.0, 1.0);
        for step in steps {
            let share = open * self.hazard(step) / ends;
            open *= 1.0 - self.hazard(step);
            self.met[step] += left;
            self.ended[step] += share;
            left -= share;
        }
    }

    fn forget(&mut self) {
        if self.met[0] >= MEMORY {
            self.met.iter_mut().chain(&mut self.ended).for_each(|count| *count /= 2.0);
        }
    }

    /// Returns the chance that a request which meets a step ends in it.
    fn hazard(&self, step: usize) -> f64 {
        (self.ended[step] + LINDY * SUPPOSED) / (self.met[step] + SUPPOSED)
    }

    /// Returns true when enough requests were seen to say anything.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.met[0] >= LEAST
    }

    /// Returns the chance that a request is done at the age `at` that was not at the age
    /// `open_at`.
    #[must_use]
    pub fn chance(&self, open_at: Duration, at: Duration) -> f64 {
        let steps = first_after(open_at)..first_after(at);
        1.0 - steps.map(|step| 1.0 - self.hazard(step)).product::<f64>()
    }

    /// Returns the age at which a poll pays best for a request that was not done at the
    /// age `open_at` and may not be polled before `earliest`, and after that only after
    /// each `interval`; `None` when too little is known.
    ///
    /// A poll costs as much as a finished request that waits for `poll_price`. Of all
    /// ages `t` the one is chosen at which a poll and, if it finds nothing, another one at
    /// `u = t + interval` cost least for each request found done,
    ///
    /// ```text
    /// (poll_price (1 + P(s > t)) + E[t - s; s <= t] + E[u - s; t < s <= u]) / P(s <= u)
    /// ```
    ///
    /// where `s` is the service time, given that `s > open_at`. [`Cadence`](super::Cadence)
    /// says why.
    #[must_use]
    pub fn best_poll(
        &self,
        open_at: Duration,
        earliest: Duration,
        interval: Duration,
        poll_price: Duration,
    ) -> Option<Duration> {
        let [price, earliest, interval] =
            [poll_price, earliest, interval].map(|time| time.as_secs_f64());
        let mut later = self.outlooks(open_at).peekable();
        let mut second = Outlook::default();
        let mut best: Option<(f64, f64)> = None;
        for first in self.outlooks(open_at) {
            // Between two steps nothing more is found: the best age is a step's end.
            let at = first.age.max(earliest);
            let again = at + interval;
            while let Some(next) = later.next_if(|next| next.age <= again) {
                second = next;
            }
            // The scale may end before the second poll.
            let found = second.found.max(first.found);
            let late = first.late_at(at) + second.late_at(again) - first.late_at(again);
            let cost = (price * (2.0 - first.found) + late.max(0.0)) / found;
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, at));
            }
        }
        best.filter(|_| self.is_known()).map(|(_, at)| Duration::from_secs_f64(at))
    }

    /// Returns for the end of each step what is done by then of what was open at `open_at`.
    fn outlooks(&self, open_at: Duration) -> impl Iterator<Item = Outlook> {
        let begin = Outlook::default();
        self.steps(first_after(open_at)).scan(begin, |done, (step, middle)| {
            let share = (1.0 - done.found) * self.hazard(step);
            done.found += share;
            done.spent += share * middle;
            // What ends in the first step may have ended at any time before.
            done.age = if step == 0 { 0.0 } else { middle * HALF_STEP };
            Some(*done)
        })
    }

    /// Returns the steps from `first` on, with their middles in seconds.
    fn steps(&self, first: usize) -> impl Iterator<Item = (usize, f64)> {
        let middles = std::iter::successors(Some(middle_of(first)), |middle| Some(middle * STEP));
        (first..self.met.len()).zip(middles)
    }
}

/// What is done at an age, of all that were open before.
#[derive(Debug, Clone, Copy, Default)]
struct Outlook {
    age: f64,
    /// The part that is done.
    found: f64,
    /// The sum of its service times.
    spent: f64,
}

impl Outlook {
    /// Returns how long what is done has waited at the age `at`, in sum.
    fn late_at(&self, at: f64) -> f64 {
        self.found * at - self.spent
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the step is clamped to the scale, and casts from floats saturate"
)]
fn step_of(age: Duration) -> usize {
    let step = (age.as_secs_f64().max(SHORTEST) / SHORTEST).log2() * STEPS_PER_DOUBLING;
    (step as usize).min(STEPS - 1)
}

/// Returns the first step whose middle is above `age`.
fn first_after(age: Duration) -> usize {
    let step = step_of(age);
    if middle_of(step) > age.as_secs_f64() { step } else { step + 1 }
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

    /// Two polls have five seconds between them.
    fn best_poll(
        times: &ServiceTimes,
        open_at: Duration,
        earliest: Duration,
        price: Duration,
    ) -> Option<Duration> {
        times.best_poll(open_at, earliest, secs(5.0), price)
    }

    fn near(found: Option<Duration>, expected: f64) {
        let found = found.unwrap().as_secs_f64();
        assert!((found / expected - 1.0).abs() < 0.1, "{found} is not near {expected}");
    }

    #[test]
    fn nothing_is_claimed_from_a_handful() {
        let few = learned([4.0; 7]);
        assert_eq!(best_poll(&few, secs(0.0), secs(5.0), secs(1.0)), None);
    }

    #[test]
    fn a_service_that_is_done_at_once_is_polled_as_soon_as_may_be() {
        let times = learned([0.0; 50]);
        let earliest = secs(0.001);
        assert_eq!(best_poll(&times, secs(0.0), earliest, secs(1.5)), Some(earliest));
    }

    #[test]
    fn a_poll_comes_right_after_the_end_of_a_service_that_always_takes_the_same() {
        let times = learned([30.0; 50]);
        near(best_poll(&times, secs(0.0), secs(1.0), secs(1.0)), 30.0);
        near(best_poll(&times, secs(20.0), secs(25.0), secs(1.0)), 30.0);
    }

    #[test]
    fn no_poll_comes_before_it_may() {
        let times = learned([2.0; 50]);
        assert_eq!(best_poll(&times, secs(0.0), secs(5.0), secs(1.0)), Some(secs(5.0)));
    }

    #[test]
    fn of_two_kinds_of_requests_the_quick_ones_are_asked_for_first() {
        let times = learned((0..100).map(|number| if number % 2 == 0 { 2.0 } else { 60.0 }));
        near(best_poll(&times, secs(0.0), secs(1.0), secs(2.0)), 2.0);
        // Not done after that: then it is one of the others.
        near(best_poll(&times, secs(2.2), secs(7.2), secs(2.0)), 60.0);
    }

    /// A miss costs the whole interval: of times far below it nearly all are waited for.
    #[test]
    fn what_is_quicker_than_the_interval_is_hardly_ever_missed() {
        let times = learned((0..100).map(|number| 0.5 + f64::from(number) / 100.0));
        near(best_poll(&times, secs(0.0), secs(0.1), secs(0.1)), 1.5);
        let without = times.best_poll(secs(0.0), secs(0.1), secs(0.1), secs(0.1)).unwrap();
        assert!(without < secs(1.2), "{without:?}: could be tried again soon");
    }

    #[test]
    fn dear_polls_come_later() {
        let times = learned((40..400).map(|tenths| f64::from(tenths) / 10.0));
        let ages = [0.5, 2.0, 10.0]
            .map(|price| best_poll(&times, secs(0.0), secs(1.0), secs(price)).unwrap());
        assert!(ages.is_sorted() && ages[0] < ages[2], "{ages:?}");
    }

    /// After 5 s only the quick ones are done. The others count, too, or a service of 8 s
    /// would be taken for one of 4 s.
    #[test]
    fn the_quick_ones_are_not_taken_for_all() {
        let mut times = ServiceTimes::default();
        for number in 0..40 {
            if number % 8 == 0 {
                times.learn(Observation { done_at: secs(5.0), ..said(4.5) });
            } else {
                times.still_open(secs(0.0), secs(5.0));
            }
        }
        let chance = times.chance(secs(0.0), secs(5.0));
        assert!((chance - 0.125).abs() < 0.1, "{chance}");
        let first = best_poll(&times, secs(0.0), secs(1.0), secs(1.5)).unwrap();
        assert!((6.0..14.0).contains(&first.as_secs_f64()), "{first:?}: beyond what is known");
    }

    #[test]
    fn of_those_slower_than_all_others_nothing_is_known_but_their_age() {
        let times = learned((0..300).map(|_| 8.0));
        let half = times.chance(secs(100.0), secs(200.0));
        assert!((half - 0.5).abs() < 0.05, "{half}");
        let waits = [100.0, 1_000.0].map(|age| {
            let next = best_poll(&times, secs(age), secs(age + 5.0), secs(1.5)).unwrap();
            next.as_secs_f64() - age
        });
        assert!(waits[0] > 8.0 && waits[0] < 30.0 && waits[1] > 2.0 * waits[0], "{waits:?}");
    }

    #[test]
    fn a_service_that_has_changed_is_known_anew() {
        let mut times = learned([60.0; 2_000]);
        (0..2_000).for_each(|_| times.learn(said(6.0)));
        near(best_poll(&times, secs(0.0), secs(5.0), secs(1.5)), 6.0);
        (0..2_000).for_each(|_| times.learn(said(60.0)));
        near(best_poll(&times, secs(0.0), secs(5.0), secs(1.5)), 60.0);
    }

    #[test]
    fn the_ends_of_the_scale_hold_everything() {
        let shortest = learned([0.0, 0.000_1].repeat(10));
        near(best_poll(&shortest, secs(0.0), secs(0.05), secs(1.0)), 0.05);
        let longest = learned([1e9; 20]);
        assert!(best_poll(&longest, secs(0.0), secs(5.0), secs(1.0)).unwrap() > secs(4.0));
        assert_eq!(best_poll(&longest, secs(1e9), secs(1e9), secs(1.0)), None);
        assert!(longest.chance(secs(1e8), secs(1e9)).abs() < 1e-9);
    }

    #[test]
    fn what_the_service_says_is_held_against_what_was_seen() {
        let mut times = ServiceTimes::default();
        for took in [0.0, 1e6] {
            let seen = Observation { took: Some(secs(took)), ..between(10.0, 10.2) };
            for _ in 0..10 {
                times.still_open(secs(0.0), secs(10.0));
                times.learn(seen);
            }
        }
        near(best_poll(&times, secs(0.0), secs(1.0), secs(1.0)), 10.2);
    }

    /// Two polls in a row never see more than the interval between them; many such
    /// intervals that lie differently show the time nevertheless.
    #[test]
    fn a_service_that_says_nothing_is_known_from_the_polls_alone() {
        let mut times = ServiceTimes::default();
        let truth = 8.0;
        for number in 0..400 {
            let mut open_at = 0.0;
            let mut age = f64::from(number % 50) / 10.0 + 1.0;
            while age < truth {
                times.still_open(secs(open_at), secs(age));
                open_at = age;
                age += 5.0;
            }
            times.learn(between(open_at, age));
        }
        let first = best_poll(&times, secs(0.0), secs(1.0), secs(1.0)).unwrap();
        assert!((truth..10.0).contains(&first.as_secs_f64()), "{first:?}");
        let chances = [7.0, 9.0].map(|at| times.chance(secs(0.0), secs(at)));
        assert!(chances[0] < 0.2 && chances[1] > 0.8, "{chances:?}");
    }

    #[test]
    fn a_chance_grows_from_nothing_to_nearly_one() {
        let times = learned((40..400).map(|tenths| f64::from(tenths) / 10.0));
        let chances = [0.1, 4.0, 20.0, 60.0].map(|at| times.chance(secs(0.0), secs(at)));
        assert!(chances.is_sorted() && chances[1] < 0.05 && chances[3] > 0.98, "{chances:?}");
        let open = times.chance(secs(20.0), secs(30.0));
        assert!((open - 0.5).abs() < 0.1, "{open} of those open at 20 s");
        assert!(times.chance(secs(100.0), secs(50.0)).abs() < 1e-9);
    }

    #[test]
    fn what_an_earlier_run_has_measured_is_soon_outweighed() {
        let mut times = ServiceTimes::default();
        times.recall([secs(60.0); 256]);
        near(best_poll(&times, secs(0.0), secs(1.0), secs(1.0)), 60.0);
        (0..100).for_each(|_| times.learn(said(8.0)));
        near(best_poll(&times, secs(0.0), secs(1.0), secs(1.0)), 8.0);
        let mut few = ServiceTimes::default();
        few.recall([secs(60.0); 3]);
        assert_eq!(best_poll(&few, secs(0.0), secs(1.0), secs(1.0)), None, "three are too few");
        few.recall([]);
    }
}
