//! A crash at every boundary.

use restore_batch::{
    core::InDoubtPolicy,
    testing::sim::{Ending, Retry, Scenario, Stopping, World},
};

use crate::{
    scenarios::{STORM, doubtful, stormy},
    seeds::{on_all_cores, setting, wanted},
};

/// Every scenario that is swept, for `seeds.txt`.
pub(crate) fn all() -> Vec<Scenario> {
    [small(), second_lives(), pairs()].concat()
}

/// Small worlds, each with a way to live that may be stopped anywhere.
fn small() -> Vec<Scenario> {
    let stormy = || Scenario { items: 5, ..stormy() };
    vec![
        Scenario { name: "sweep:quiet", items: 6, ..Scenario::default() },
        Scenario { name: "sweep:stormy", ..stormy() },
        Scenario { name: "sweep:resubmit", in_doubt: InDoubtPolicy::Resubmit, ..stormy() },
        Scenario { name: "sweep:importing", import_gap: 4, items: 10, ..stormy() },
        Scenario { name: "sweep:edited", edited: true, items: 7, ..stormy() },
        Scenario { name: "sweep:retried", retry: Some(Retry::InDoubtToo), ..stormy() },
        Scenario { name: "sweep:capped", cap: Some(3), ..stormy() },
        Scenario { name: "sweep:wrong-clock", wall_jumps: true, ..stormy() },
        Scenario { name: "sweep:webhooks", webhooks: true, faults: doubtful(), ..stormy() },
    ]
}

/// Worlds whose second life is stopped anywhere.
fn second_lives() -> Vec<Scenario> {
    let drained = |seconds| Scenario { stops: Stopping::DrainAfter(seconds), ..stormy() };
    vec![
        Scenario { name: "sweep:second-edited", edited: true, items: 7, ..drained(6) },
        Scenario { name: "sweep:second-drained", items: 5, ..drained(3) },
    ]
}

/// Tiny worlds that are stopped anywhere twice.
fn pairs() -> Vec<Scenario> {
    let tiny = || Scenario { items: 2, ..Scenario::default() };
    vec![
        Scenario { name: "sweep:pair-quiet", ..tiny() },
        Scenario { name: "sweep:pair-stormy", faults: STORM, ..tiny() },
        Scenario { name: "sweep:pair-resubmit", in_doubt: InDoubtPolicy::Resubmit, ..tiny() },
    ]
}

/// Returns how many boundaries the first `lives` lives of a world have, each.
fn boundaries(seed: u64, scenario: &Scenario) -> u64 {
    let mut whole = World::new(seed, scenario.clone());
    whole.must_live(None);
    whole.boundaries()
}

/// Stops everything at boundary k, for every k, and lets the next life go on.
#[test]
fn a_crash_at_every_boundary_costs_nothing() {
    let seeds = setting("SIM_SEEDS").map_or(2, |seeds| seeds.div_ceil(1_000).max(2));
    let mut jobs = Vec::new();
    for scenario in wanted(small()) {
        for seed in 0..seeds {
            let count = boundaries(seed, &scenario);
            assert!(count > 30, "the sweep must have something to sweep: {count}");
            jobs.extend((1..=count).map(|boundary| (scenario.clone(), seed, boundary)));
        }
    }
    on_all_cores(&jobs, |(scenario, seed, boundary)| {
        let mut world = World::new(*seed, scenario.clone());
        let ending = world.must_live(Some(*boundary));
        assert!(matches!(ending, Ending::Crashed), "{boundary}: {ending:?}");
        world.prove();
    });
}

/// Crashes in the second life: of the edited manifest, and of a retry.
#[test]
fn a_crash_at_every_boundary_of_the_second_life_costs_nothing() {
    let mut jobs = Vec::new();
    for scenario in wanted(second_lives()) {
        for seed in 0..2 {
            let mut whole = World::new(seed, scenario.clone());
            whole.must_live(None);
            whole.must_live(None);
            let count = whole.boundaries();
            jobs.extend((1..=count).map(|boundary| (scenario.clone(), seed, boundary)));
        }
    }
    on_all_cores(&jobs, |(scenario, seed, boundary)| {
        let mut world = World::new(*seed, scenario.clone());
        world.must_live(None);
        world.must_live(Some(*boundary));
        world.prove();
    });
}

/// Crashes at boundary k, and then at boundary j of the next life, for all k and j.
#[test]
fn two_crashes_anywhere_cost_nothing() {
    let mut jobs = Vec::new();
    for scenario in wanted(pairs()) {
        let count = boundaries(1, &scenario);
        for first in 1..=count {
            jobs.extend((1..=count).map(|second| (scenario.clone(), first, second)));
        }
    }
    on_all_cores(&jobs, |(scenario, first, second)| {
        let mut world = World::new(1, scenario.clone());
        world.must_live(Some(*first));
        // The second life may be over before.
        world.must_live(Some(*second));
        world.prove();
    });
}

/// Crashes again and again, each life a little longer than the last.
#[test]
fn many_crashes_in_a_row_still_end() {
    for seed in 0..20 {
        let mut world = World::new(seed, Scenario { items: 8, ..stormy() });
        for life in 1..30 {
            if let Ending::Returned(_) = world.must_live(Some(life * 7)) {
                break;
            }
        }
        world.prove();
    }
}
