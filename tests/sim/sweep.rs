//! A crash at every boundary.

use restore_batch::{
    core::InDoubtPolicy,
    testing::sim::{Ending, Retry, Scenario, Stopping, World},
};

use crate::{
    scenarios::{STORM, stormy},
    seeds::{on_all_cores, setting},
};

/// Small worlds, each with a way to live that may be stopped anywhere.
fn small() -> Vec<Scenario> {
    let stormy = || Scenario { items: 5, ..stormy() };
    vec![
        Scenario { items: 6, ..Scenario::default() },
        stormy(),
        Scenario { name: "resubmit", in_doubt: InDoubtPolicy::Resubmit, ..stormy() },
        Scenario { name: "importing", import_gap: 4, items: 10, ..stormy() },
        Scenario { name: "edited", edited: true, items: 7, ..stormy() },
        Scenario { name: "retried", retry: Some(Retry::InDoubtToo), ..stormy() },
        Scenario { name: "capped", cap: Some(3), ..stormy() },
        Scenario { name: "wrong-clock", wall_jumps: true, ..stormy() },
    ]
}

/// Returns how many boundaries the first `lives` lives of a world have, each.
fn boundaries(seed: u64, scenario: &Scenario) -> u64 {
    let mut whole = World::new(seed, scenario.clone());
    whole.live(None).expect("an undisturbed life holds its promises");
    whole.boundaries()
}

/// Stops everything at boundary k, for every k, and lets the next life go on.
#[test]
fn a_crash_at_every_boundary_costs_nothing() {
    let seeds = setting("SIM_SEEDS").map_or(2, |seeds| seeds.div_ceil(1_000).max(2));
    let mut jobs = Vec::new();
    for scenario in small() {
        for seed in 0..seeds {
            let count = boundaries(seed, &scenario);
            assert!(count > 30, "the sweep must have something to sweep: {count}");
            jobs.extend((1..=count).map(|boundary| (scenario.clone(), seed, boundary)));
        }
    }
    on_all_cores(&jobs, |(scenario, seed, boundary)| {
        let mut world = World::new(*seed, scenario.clone());
        let ending = world.live(Some(*boundary)).expect("a crash breaks nothing");
        assert!(matches!(ending, Ending::Crashed), "{boundary}: {ending:?}");
        world.prove();
    });
}

/// Crashes in the second life: of the edited manifest, and of a retry.
#[test]
fn a_crash_at_every_boundary_of_the_second_life_costs_nothing() {
    let mut jobs = Vec::new();
    for scenario in [
        Scenario {
            name: "edited",
            edited: true,
            items: 7,
            stops: Stopping::DrainAfter(6),
            ..stormy()
        },
        Scenario { name: "drained", items: 5, stops: Stopping::DrainAfter(3), ..stormy() },
    ] {
        for seed in 0..2 {
            let mut whole = World::new(seed, scenario.clone());
            whole.live(None).expect("a first life");
            whole.live(None).expect("a second life");
            let count = whole.boundaries();
            jobs.extend((1..=count).map(|boundary| (scenario.clone(), seed, boundary)));
        }
    }
    on_all_cores(&jobs, |(scenario, seed, boundary)| {
        let mut world = World::new(*seed, scenario.clone());
        world.live(None).expect("a first life");
        world.live(Some(*boundary)).expect("a crash breaks nothing");
        world.prove();
    });
}

/// Crashes at boundary k, and then at boundary j of the next life, for all k and j.
#[test]
fn two_crashes_anywhere_cost_nothing() {
    let quiet = Scenario { items: 2, ..Scenario::default() };
    let mut jobs = Vec::new();
    for scenario in [
        quiet.clone(),
        Scenario { faults: STORM, name: "stormy", ..quiet.clone() },
        Scenario { in_doubt: InDoubtPolicy::Resubmit, name: "resubmit", ..quiet },
    ] {
        let count = boundaries(1, &scenario);
        for first in 1..=count {
            jobs.extend((1..=count).map(|second| (scenario.clone(), first, second)));
        }
    }
    on_all_cores(&jobs, |(scenario, first, second)| {
        let mut world = World::new(1, scenario.clone());
        world.live(Some(*first)).expect("a crash breaks nothing");
        // The second life may be over before.
        world.live(Some(*second)).expect("another crash breaks nothing");
        world.prove();
    });
}

/// Crashes again and again, each life a little longer than the last.
#[test]
fn many_crashes_in_a_row_still_end() {
    for seed in 0..20 {
        let mut world = World::new(seed, Scenario { items: 8, ..stormy() });
        for life in 1..30 {
            if let Ending::Returned(_) = world.live(Some(life * 7)).expect("nothing is broken") {
                break;
            }
        }
        world.prove();
    }
}
