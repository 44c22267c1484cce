//! Every scenario under many seeds.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use restore_batch::testing::sim::{Scenario, World};

use crate::{scenarios, sweep};

/// Seeds a run tries with every scenario when nothing else is said. Were 500; beyond these
/// `wrong-clock 134` is open: a download that is to be tried again waits a day.
const FRESH: u64 = 60;

/// Worlds with more items than this get so many times fewer seeds.
const MANY: u32 = 100;

/// `scenario seed` of each seed that once failed, with a word on why.
const REGRESSIONS: &str = include_str!("seeds.txt");

pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|count| count.parse().ok())
}

/// Does all jobs, on as many threads as there are cores, each world on one thread.
pub(crate) fn on_all_cores<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let worker = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(job);
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
}

/// Returns those of `scenarios` that `SIM_SCENARIO` asks for: all, or the one of that name.
pub(crate) fn wanted(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    let Ok(only) = std::env::var("SIM_SCENARIO") else { return scenarios };
    let known = everything().iter().any(|scenario| scenario.name == only);
    assert!(known, "SIM_SCENARIO: no scenario `{only}`");
    scenarios.into_iter().filter(|scenario| scenario.name == only).collect()
}

fn everything() -> Vec<Scenario> {
    [scenarios::all(), sweep::all()].concat()
}

/// A world that once failed.
#[derive(Debug, PartialEq)]
struct Regression {
    scenario: Scenario,
    seed: u64,
    /// Where its lives crash, one after the other.
    stops: Vec<Option<u64>>,
}

impl Regression {
    /// Reads a line of `seeds.txt`; `-` is a life that does not crash.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?;
        let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("`{word}` in `{line}`"));
        let all = everything();
        let scenario = all.into_iter().find(|scenario| scenario.name == name);
        let scenario = scenario.unwrap_or_else(|| panic!("no scenario `{name}`"));
        let seed = number(words.next().unwrap_or_else(|| panic!("no seed in `{line}`")));
        let stops = words.map(|word| (word != "-").then(|| number(word))).collect();
        Some(Self { scenario, seed, stops })
    }

    fn prove(&self) {
        let mut world = World::new(self.seed, self.scenario.clone());
        for stop in &self.stops {
            world.must_live(*stop);
        }
        world.prove();
    }
}

#[test]
fn every_scenario_holds_its_promises_under_many_seeds() {
    let from = setting("SIM_FROM").unwrap_or(0);
    let seeds = setting("SIM_SEEDS").unwrap_or(FRESH);
    let scenarios = wanted(everything());
    let mut jobs: Vec<_> = REGRESSIONS.lines().filter_map(Regression::read).collect();
    jobs.retain(|job| scenarios.contains(&job.scenario));
    for scenario in wanted(scenarios::all()) {
        let seeds = if scenario.items > MANY { seeds.div_ceil(MANY.into()) } else { seeds };
        jobs.extend((from..from + seeds).map(|seed| Regression {
            scenario: scenario.clone(),
            seed,
            stops: Vec::new(),
        }));
    }
    on_all_cores(&jobs, Regression::prove);
}

#[test]
fn a_line_of_the_seeds_names_a_world_and_its_crashes() {
    let read = |line| Regression::read(line).expect("a line");
    assert_eq!(read("stormy 8 # why").stops, []);
    assert_eq!(read("sweep:second-edited 1 - 37").stops, [None, Some(37)]);
    assert_eq!(read("sweep:quiet 1 7").scenario.name, "sweep:quiet");
    assert_eq!(Regression::read("# nothing"), None);
}

#[test]
fn the_names_of_scenarios_are_words_and_different() {
    let mut names: Vec<_> = everything().iter().map(|scenario| scenario.name).collect();
    assert!(names.iter().all(|name| !name.contains(' ')));
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// The trace has every answer and every event with its time.
#[test]
fn a_seed_repeats_its_run_exactly() {
    for scenario in scenarios::all() {
        for seed in [1, 7] {
            let trace = || {
                let mut world = World::new(seed, scenario.clone());
                world.prove();
                world.trace()
            };
            assert_eq!(trace(), trace(), "{}", scenario.name);
        }
    }
}
