//! Every scenario under many seeds.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use restore_batch::testing::sim::{Scenario, World};

use crate::scenarios;

/// Seeds a run tries with every scenario when nothing else is said.
const FRESH: u64 = 500;

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

/// Returns the scenarios and seeds of `seeds.txt`.
fn regressions() -> Vec<(Scenario, u64)> {
    let all = scenarios::all();
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.filter_map(|line| line.trim().split_once(' '));
    words
        .map(|(name, seed)| {
            let scenario = all.iter().find(|scenario| scenario.name == name);
            let scenario = scenario.unwrap_or_else(|| panic!("no scenario `{name}`")).clone();
            (scenario, seed.trim().parse().unwrap_or_else(|_| panic!("no seed `{seed}`")))
        })
        .collect()
}

#[test]
fn every_scenario_holds_its_promises_under_many_seeds() {
    let from = setting("SIM_FROM").unwrap_or(0);
    let fresh = from..from + setting("SIM_SEEDS").unwrap_or(FRESH);
    let only = std::env::var("SIM_SCENARIO").ok();
    let wanted = |scenario: &Scenario| only.as_ref().is_none_or(|only| only == scenario.name);
    let mut jobs = regressions();
    for scenario in scenarios::all().into_iter().filter(wanted) {
        jobs.extend(fresh.clone().map(|seed| (scenario.clone(), seed)));
    }
    on_all_cores(&jobs, |(scenario, seed)| World::new(*seed, scenario.clone()).prove());
}

#[test]
fn the_names_of_scenarios_are_words_and_different() {
    let mut names: Vec<_> = scenarios::all().iter().map(|scenario| scenario.name).collect();
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
