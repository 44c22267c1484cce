//! What must come out of particular worlds, beyond that nothing is broken.

use restore_batch::{
    core::{HaltCause, ItemState},
    testing::sim::{Ending, Faults, FetchFaults, Scenario, SubmitFaults, Window, World},
};

fn quiet() -> Scenario {
    Scenario::default()
}

#[test]
fn a_quiet_world_restores_everything() {
    let mut world = World::new(1, quiet());
    world.prove();
    assert_eq!(world.count(ItemState::Done), 20);
}

/// An outage of five minutes leaves a handful of items in doubt, not hundreds.
#[test]
fn an_outage_leaves_a_handful_in_doubt() {
    let submit = SubmitFaults { server_error: 1.0, ..SubmitFaults::default() };
    let faults = Faults { submit, ..Faults::default() };
    let mut world = World::new(3, Scenario { items: 500, faults, ..quiet() });
    world.must_live(None);
    let doubtful = world.count(ItemState::InDoubt);
    assert!((3..=40).contains(&doubtful), "{doubtful} in doubt");
}

/// A service that takes requests and never answers leaves a handful in doubt, though
/// many more fit in the time until the first of them is given up.
#[test]
fn silence_leaves_a_handful_in_doubt() {
    let faults = Faults { silent: Window::new(10, 600), ..Faults::default() };
    let scenario = Scenario { name: "silence", items: 500, faults, in_flight: 400, ..quiet() };
    let mut world = World::new(5, scenario);
    world.prove();
    let doubtful = world.count(ItemState::InDoubt);
    assert!((1..=30).contains(&doubtful), "{doubtful} in doubt");
    assert_eq!(world.count(ItemState::Done), 500 - doubtful);
}

/// A service that is down for ten minutes costs no item anything: not its attempts, not
/// its result, and nobody has to start the program again.
#[test]
fn an_outage_of_connections_costs_no_item_its_attempts() {
    for seed in 0..20 {
        let faults =
            Faults { down: Window { from: 0, spread: 20, seconds: 600 }, ..Faults::default() };
        let mut world = World::new(seed, Scenario { items: 40, faults, ..quiet() });
        let ending = world.must_live(None);
        let Ending::Returned(outcome) = ending else { panic!("{ending:?}") };
        assert!(outcome.halted.is_none(), "{outcome:?}");
        assert_eq!(world.count(ItemState::Done), 40, "seed {seed}");
    }
}

/// What is paid for and cannot be downloaded helps nobody: submitting stops, and the job
/// halts in the end.
#[test]
fn an_outage_of_downloads_does_not_pay_for_the_archive() {
    let faults = Faults { media_down: Window::new(20, 1_000_000), ..Faults::default() };
    let mut world = World::new(7, Scenario { items: 500, faults, ..quiet() });
    let ending = world.must_live(None);
    let Ending::Returned(outcome) = ending else { panic!("{ending:?}") };
    assert!(matches!(outcome.halted, Some(HaltCause::Outage { .. })), "{outcome:?}");
    let unpaid = world.count(ItemState::Staged);
    assert!(unpaid > 400, "{unpaid} unpaid");
}

#[test]
fn no_picture_is_given_up_for_an_outage_of_downloads() {
    let faults = Faults { media_down: Window::new(20, 1_200), ..Faults::default() };
    let mut world = World::new(7, Scenario { name: "no-downloads", items: 200, faults, ..quiet() });
    world.prove();
    assert_eq!(world.count(ItemState::Done), 200);
}

/// A panic in a step costs that step; the next run delivers what was paid for.
#[test]
fn panics_in_downloads_lose_nothing() {
    let fetch = FetchFaults { panic: 0.3, ..FetchFaults::default() };
    let mut world =
        World::new(2, Scenario { faults: Faults { fetch, ..Faults::default() }, ..quiet() });
    world.prove();
    assert_eq!(world.count(ItemState::Done), 20);
}

/// Where the service calls back in time, nothing stays in doubt and nothing is paid twice.
#[test]
fn webhooks_heal_what_is_in_doubt() {
    let submit = SubmitFaults { reply_lost: 0.3, ..SubmitFaults::default() };
    let mut healed = 0;
    for seed in 0..50 {
        let faults = Faults { submit, ..Faults::default() };
        let scenario = Scenario { faults, webhooks: true, ..quiet() };
        let mut world = World::new(seed, scenario);
        world.prove();
        healed += world.trace().matches("Named").count();
        assert_eq!(world.count(ItemState::Done), 20, "seed {seed}");
    }
    assert!(healed > 100, "{healed} healed");
}
