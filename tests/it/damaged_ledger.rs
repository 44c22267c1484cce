//! A ledger that is damaged, missing or of another time: the program pays for nothing,
//! touches nothing and says what to do.

use std::{fs, sync::Arc};

use restore_batch::{core::Micros, testing::HeldEngine};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use super::support::{Command, Photos, Service, World, audit};

const LEDGER: &str = "photos.restored/.restore-batch/ledger.db";

/// Pages of the ledger.
const PAGE: usize = 4_096;

/// A job of which some is done, the rest capped.
fn half_done(world: &World) -> (Service, Photos) {
    let (service, photos) = (Service::start(world), Photos::start(world, 30));
    world.write("photos.csv", photos.manifest());
    let command = Command::new(world, &["photos.csv", "--max-spend=0.031"]);
    command.with(&service).run().code(4);
    assert_eq!(service.charged(), Micros(31_000));
    (service, photos)
}

/// Checks that every command refuses the ledger as it is and leaves it so.
#[track_caller]
fn is_refused(world: &World, service: &Service, what: &str) {
    let before = fs::read(world.path(LEDGER)).ok();
    for command in ["run", "status", "retry"] {
        let ended = Command::new(world, &[command, "photos.csv"]).with(service).run();
        let said = ended.said();
        assert_eq!(ended.status.code(), Some(7), "{what}, {command}: {said}");
        assert!(said.contains("ledger.db"), "{what}, {command}: {said}");
        assert!(said.contains("backup"), "{what}, {command} gives no advice: {said}");
    }
    assert_eq!(fs::read(world.path(LEDGER)).ok(), before, "{what}: it was touched");
    assert_eq!(service.accepted(), 10, "{what}: something was submitted");
}

#[test]
fn a_page_of_the_ledger_is_damaged() {
    let world = World::new();
    let (service, _photos) = half_done(&world);
    let good = fs::read(world.path(LEDGER)).unwrap();
    assert_eq!(good.len() % PAGE, 0);
    let noise: Vec<u8> = (1..=251).cycle().take(PAGE).collect();
    for page in 0..good.len() / PAGE {
        let mut bad = good.clone();
        bad[page * PAGE..][..PAGE].copy_from_slice(&noise);
        fs::write(world.path(LEDGER), bad).unwrap();
        is_refused(&world, &service, &format!("page {page}"));
    }
    fs::write(world.path(LEDGER), good).unwrap();
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    assert_eq!(service.accepted(), 30);
    service.accepted_nothing_twice();
}

#[test]
fn the_ledger_is_cut_at_any_page() {
    let world = World::new();
    let (service, _photos) = half_done(&world);
    let good = fs::read(world.path(LEDGER)).unwrap();
    for length in (0..good.len()).step_by(PAGE).chain([1, 100, 511, 512, good.len() - 1]) {
        fs::write(world.path(LEDGER), &good[..length]).unwrap();
        is_refused(&world, &service, &format!("{length} bytes"));
    }
}

/// Everything it paid for would be paid for again.
#[test]
fn the_ledger_of_a_job_with_results_is_gone() {
    let world = World::new();
    let (service, _photos) = half_done(&world);
    fs::remove_file(world.path(LEDGER)).unwrap();
    let ended = Command::new(&world, &["photos.csv"]).with(&service).run().code(7);
    assert!(ended.said().contains("ledger.db"), "{}", ended.said());
    assert!(!world.path(LEDGER).exists());
    assert_eq!(service.accepted(), 10);
}

#[test]
fn a_folder_lies_where_the_ledger_should() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 1));
    world.write("photos.csv", photos.manifest());
    fs::create_dir_all(world.path(LEDGER)).unwrap();
    for command in ["run", "status", "retry"] {
        let ended = Command::new(&world, &[command, "photos.csv"]).with(&service).run().code(7);
        assert!(ended.said().contains("ledger.db"), "{command}: {}", ended.said());
    }
    assert_eq!(service.accepted(), 0);
}

/// Changes the ledger behind the program's back.
fn rewrite(world: &World, statement: &'static str) {
    let path = world.path(LEDGER);
    world.block_on(async {
        let mut ledger = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        let changed = sqlx::query(statement).execute(&mut ledger).await.unwrap();
        assert!(changed.rows_affected() > 0, "{statement}");
        ledger.close().await.unwrap();
    });
}

/// The clock was a thousand years ahead when the first run submitted, and is right now.
#[test]
fn a_clock_that_jumped_back_delays_nothing() {
    let world = World::new();
    let photos = Photos::start(&world, 6);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let command = |words: &[&str]| {
        Command::new(&world, &["photos.csv", "--json"]).args(words.to_vec()).with(&service)
    };
    let running = command(&["--in-flight=3"]).start();
    service.until(&world, "submits", |stats| stats.accepted.len() == 3);
    running.signal("TERM");
    running.wait().by_signal(15);

    rewrite(&world, "UPDATE items SET submitted_at = 32503680000000 WHERE state = 'submitted'");
    engine.let_all_pass();
    // Much longer than the test waits: a wait for the future would never end.
    let summary = command(&["--deadline=10h"]).run().code(0).json();
    assert_eq!(summary["done"], 6);
    service.accepted_nothing_twice();
}

#[test]
fn a_pause_that_ends_in_the_far_future_is_cut_short() {
    let world = World::new();
    let photos = Photos::start(&world, 3);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let command = || Command::new(&world, &["photos.csv", "--json"]).with(&service);
    let running = command().start();
    service.until(&world, "submits", |stats| stats.accepted.len() == 3);
    running.signal("TERM");
    running.wait().by_signal(15);

    rewrite(&world, "UPDATE items SET not_before = 32503680000000");
    engine.let_all_pass();
    let summary = command().args(["--deadline=1s"]).run().code(0).json();
    assert_eq!(summary["done"], 3);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(3), (3, 0));
}
