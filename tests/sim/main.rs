//! Deterministic simulation: whole runs in milliseconds, with every fault and a crash
//! at every boundary. See `testing::sim` for what a world is.
//!
//! `SIM_SEEDS=20000 cargo test --test sim` runs more seeds. A seed that fails prints its
//! scenario and its trace; add it to `seeds.txt`, which every run repeats.

use restore_batch::{
    core::{HaltCause, InDoubtPolicy, ItemState},
    testing::sim::{Ending, Faults, Scenario, World},
};

/// Seeds a run tries when nothing else is said.
const FRESH: u64 = 200;

/// Seeds that once failed, one a line.
const REGRESSIONS: &str = include_str!("seeds.txt");

fn quiet() -> Scenario {
    Scenario {
        name: "quiet",
        items: 20,
        faults: Faults::default(),
        in_doubt: InDoubtPolicy::Hold,
        in_flight: 10,
        cap: None,
        retry: false,
        drain_after: None,
    }
}

/// A little of everything.
fn stormy() -> Scenario {
    Scenario {
        name: "stormy",
        items: 30,
        faults: Faults {
            refused: 0.05,
            throttled: 0.1,
            unavailable: 0.05,
            reply_lost: 0.05,
            server_error: 0.05,
            rejected: 0.05,
            failed: 0.05,
            error: 0.15,
            poll_lost: 0.1,
            early_unknown: 0.2,
            no_media: 0.1,
            stuck: 0.02,
            download_cut: 0.1,
            link_expired: 0.1,
            ..Faults::default()
        },
        ..quiet()
    }
}

fn scenarios() -> Vec<Scenario> {
    let storm = stormy().faults;
    vec![
        quiet(),
        stormy(),
        Scenario { name: "resubmit", in_doubt: InDoubtPolicy::Resubmit, ..stormy() },
        Scenario { name: "capped", cap: Some(12), ..stormy() },
        Scenario {
            name: "outage",
            faults: Faults { down_from: 3, down_for: 300, ..storm },
            ..stormy()
        },
        Scenario {
            name: "silence",
            faults: Faults { silent_from: 3, silent_for: 300, ..storm },
            ..stormy()
        },
        Scenario { name: "empty wallet", faults: Faults { wallet: 8, ..storm }, ..stormy() },
        Scenario {
            name: "no downloads",
            faults: Faults { media_down_from: 15, media_down_for: 600, ..storm },
            ..stormy()
        },
        // Without FAILED, which a retry pays for once more: everything else that has failed
        // is asked for again, or was free.
        Scenario {
            name: "retried",
            retry: true,
            faults: Faults { failed: 0.0, stuck: 0.2, download_cut: 0.5, ..storm },
            ..stormy()
        },
        Scenario { name: "drained", drain_after: Some(4), ..stormy() },
    ]
}

/// Runs a world to its end and says what is wrong with it, with all one needs to see why.
fn explain(world: &mut World, seed: u64, name: &str, note: &str) {
    let verdict =
        world.finish().and_then(|()| world.check().map_err(|violation| violation.to_string()));
    if let Err(what) = verdict {
        panic!("scenario `{name}`, seed {seed}{note}: {what}\n{}", world.trace());
    }
}

#[test]
fn every_scenario_holds_its_promises_under_many_seeds() {
    let fresh = std::env::var("SIM_SEEDS").ok().and_then(|count| count.parse().ok());
    let known = REGRESSIONS.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let seeds: Vec<u64> = known.chain(0..fresh.unwrap_or(FRESH)).collect();
    for scenario in scenarios() {
        for seed in &seeds {
            let mut world = World::new(*seed, scenario.clone());
            explain(&mut world, *seed, scenario.name, "");
        }
    }
}

/// Stops everything at boundary k, for every k, and lets the next life go on.
#[test]
fn a_crash_at_every_boundary_costs_nothing() {
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|count| count.parse::<u64>().ok());
    for scenario in [quiet(), stormy()] {
        let scenario = Scenario { items: 6, ..scenario };
        for seed in 0..seeds.map_or(2, |seeds| seeds.div_ceil(1_000)) {
            let mut whole = World::new(seed, scenario.clone());
            whole.live(None).expect("an undisturbed life ends");
            let boundaries = whole.boundaries();
            assert!(boundaries > 60, "the sweep must have something to sweep: {boundaries}");
            for boundary in 1..=boundaries {
                let mut world = World::new(seed, scenario.clone());
                let ending = world.live(Some(boundary));
                assert!(matches!(ending, Ok(Ending::Crashed)), "{boundary}: {ending:?}");
                explain(&mut world, seed, scenario.name, &format!(", crash at {boundary}"));
            }
        }
    }
}

/// Crashes again and again, each life a little longer than the last.
#[test]
fn many_crashes_in_a_row_still_end() {
    for seed in 0..20 {
        let mut world = World::new(seed, Scenario { items: 8, ..stormy() });
        for life in 1..30 {
            if let Ending::Returned(_) = world.live(Some(life * 7)).expect("a life ends") {
                break;
            }
        }
        explain(&mut world, seed, "stormy", ", many crashes");
    }
}

#[test]
fn a_seed_repeats_its_run_exactly() {
    for seed in [1, 7, 42] {
        let trace = || {
            let mut world = World::new(seed, stormy());
            explain(&mut world, seed, "stormy", "");
            world.trace()
        };
        assert_eq!(trace(), trace());
    }
}

#[test]
fn a_quiet_world_restores_everything() {
    let mut world = World::new(1, quiet());
    explain(&mut world, 1, "quiet", "");
    assert_eq!(world.count(ItemState::Done), 20);
}

/// An outage of five minutes leaves a handful of items in doubt, not hundreds.
#[test]
fn an_outage_leaves_a_handful_in_doubt() {
    let faults = Faults { server_error: 1.0, ..Faults::default() };
    let mut world = World::new(3, Scenario { items: 500, faults, ..quiet() });
    world.live(None).expect("the run halts");
    let doubtful = world.count(ItemState::InDoubt);
    assert!((3..=40).contains(&doubtful), "{doubtful} in doubt");
}

/// A service that takes requests and never answers leaves a handful in doubt, though
/// many more fit in the time until the first of them is given up.
#[test]
fn silence_leaves_a_handful_in_doubt() {
    let faults = Faults { silent_from: 10, silent_for: 600, ..Faults::default() };
    let scenario = Scenario { items: 500, faults, in_flight: 400, ..quiet() };
    let mut world = World::new(5, scenario);
    explain(&mut world, 5, "silence", "");
    let doubtful = world.count(ItemState::InDoubt);
    assert!((1..=30).contains(&doubtful), "{doubtful} in doubt");
    assert_eq!(world.count(ItemState::Done), 500 - doubtful);
}

/// What is paid for and cannot be downloaded helps nobody: submitting stops, and the job
/// halts in the end.
#[test]
fn an_outage_of_downloads_does_not_pay_for_the_archive() {
    let faults = Faults { media_down_from: 20, media_down_for: 1_000_000, ..Faults::default() };
    let mut world = World::new(7, Scenario { items: 500, faults, ..quiet() });
    let ending = world.live(None).expect("the run halts");
    let Ending::Returned(outcome) = ending else { panic!("{ending:?}") };
    assert!(matches!(outcome.halted, Some(HaltCause::Outage { .. })), "{outcome:?}");
    let unpaid = world.count(ItemState::Staged);
    assert!(unpaid > 400, "{unpaid} unpaid");
}

#[test]
fn no_picture_is_given_up_for_an_outage_of_downloads() {
    let faults = Faults { media_down_from: 20, media_down_for: 1_200, ..Faults::default() };
    let mut world = World::new(7, Scenario { items: 200, faults, ..quiet() });
    explain(&mut world, 7, "no downloads", "");
    assert_eq!(world.count(ItemState::Done), 200);
}
