//! Output folders that cannot be written: full, read-only, gone, taken. The job halts and
//! says where and what to do; what is paid for is kept, and the same command goes on.

use std::{fs, sync::Arc, time::Duration};

use restore_batch::{
    engine::InstantEngine,
    gateway::{GatewayFaults, GatewaySettings},
    testing::{HeldEngine, scripted_server::Reply},
};

use super::support::{Command, Ended, Photos, Service, SmallDisk, World, audit, visible_files};

/// Returns a PNG of about this many kilobytes that no compression makes smaller.
fn large_png(kilobytes: u32) -> Vec<u8> {
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut pixels = vec![0; kilobytes as usize * 1_024];
    noise.fill(&mut pixels);
    let picture = image::GrayImage::from_raw(1_024, kilobytes, pixels).unwrap();
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::from(picture).write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// Photos of which each is some hundred kilobytes, and a gateway that keeps their size.
fn large_photos(world: &World, count: usize) -> (Service, Photos) {
    let photos = Photos::start(world, count);
    for number in 0..count {
        photos.server.add(&format!("GET /large-{number}.png"), Reply::ok(large_png(300)));
    }
    let rows = (0..count).map(|n| format!("{},{n}\n", photos.url(n).replace("photo", "large")));
    world.write("photos.csv", format!("img,number\n{}", rows.collect::<String>()));
    (Service::start(world), photos)
}

/// Checks that a run has halted and told people what to do.
#[track_caller]
fn halted(ended: Ended, named: &str) {
    let ended = ended.code(4);
    assert!(ended.said().contains(named), "`{named}` is not named: {}", ended.said());
    assert!(ended.said().contains("run the same command again"), "{}", ended.said());
}

#[test]
fn full_while_artifacts_are_written() {
    let world = World::new();
    let disk = SmallDisk::mount(&world, "small", 4_096);
    let (service, _photos) = large_photos(&world, 12);
    let run = || {
        let words = ["photos.csv", "--out=small/job", "--state=state", "--scale=1"];
        Command::new(&world, &words).with(&service).inside(&disk).run()
    };
    disk.fill(1_000 << 10);
    halted(run(), "images");
    let job = disk.path().join("job").display().to_string();
    let done = audit(&world, &job).results.rows.len();
    assert!((1..12).contains(&done), "{done} done");
    let accepted = service.accepted();
    halted(run(), "images");
    assert_eq!(service.accepted(), accepted, "nothing more is paid for");

    disk.free();
    run().code(0);
    assert_eq!(audit(&world, &job).every_row_ended_once(12), (12, 0));
    assert_eq!(service.accepted(), 12);
    service.accepted_nothing_twice();
}

/// The same by a limit on the length of files, which needs no mount.
#[test]
fn no_room_for_long_artifacts() {
    let world = World::new();
    let (service, _photos) = large_photos(&world, 3);
    let command = || Command::new(&world, &["photos.csv", "--scale=1"]).with(&service);
    halted(command().with_file_limit(250).run(), "images");
    assert!(visible_files(&world.path("photos.restored/images")).is_empty());
    command().run().code(0);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(3), (3, 0));
    assert_eq!(service.accepted(), 3);
}

/// Wide rows, so that the files and the ledger are long before the artifacts are many.
fn wide_rows(photos: &Photos, count: usize) -> String {
    let note = "x".repeat(2_000);
    let row = |number| format!("{},{number},{note}\n", photos.url(number));
    format!("img,number,note\n{}", (0..count).map(row).collect::<String>())
}

#[test]
fn full_while_the_results_are_appended() {
    let world = World::new();
    let disk = SmallDisk::mount(&world, "small", 2_048);
    let photos = Photos::start(&world, 120);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", wide_rows(&photos, 120));
    let command = || {
        let words = ["photos.csv", "--out=small/job", "--state=state"];
        Command::new(&world, &words).with(&service).inside(&disk)
    };
    let running = command().start();
    service.until(&world, "submits", |stats| stats.accepted.len() == 120);
    disk.fill(64 << 10);
    engine.let_all_pass();
    halted(running.wait(), "small/job");
    let job = disk.path().join("job").display().to_string();
    audit(&world, &job);

    halted(command().run(), "small/job");
    audit(&world, &job);
    disk.free();
    command().run().code(0);
    assert_eq!(audit(&world, &job).every_row_ended_once(120), (120, 0));
    service.accepted_nothing_twice();
}

#[test]
fn no_room_when_the_results_are_written_anew() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 40));
    world.write("photos.csv", wide_rows(&photos, 40));
    let command = || Command::new(&world, &["photos.csv"]).with(&service);
    command().run().code(0);
    let before = world.read("photos.restored/results.csv");
    halted(command().with_file_limit(50).run(), "results.csv");
    assert_eq!(world.read("photos.restored/results.csv"), before, "the old one stays");
    command().run().code(0);
    assert_eq!(service.accepted(), 40);
}

/// Starts a job with its ledger on a disk that gets full, by whichever means, and
/// returns how that ended.
fn ledger_is_full(ended: Ended) {
    let ended = ended.code(7);
    let said = ended.said();
    assert!(said.contains("ledger"), "{said}");
    assert!(said.contains("run the same command again"), "{said}");
}

#[test]
fn full_while_the_ledger_is_written() {
    let world = World::new();
    let disk = SmallDisk::mount(&world, "small", 16 << 10);
    let photos = Photos::start(&world, 60);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let command = || {
        let words = ["photos.csv", "--state=small/state", "--in-flight=10", "--json"];
        Command::new(&world, &words).with(&service).inside(&disk)
    };
    let running = command().start();
    service.until(&world, "submits", |stats| stats.accepted.len() == 10);
    disk.fill(0);
    engine.let_all_pass();
    ledger_is_full(running.wait());
    audit(&world, "photos.restored");
    service.accepted_nothing_twice();

    disk.free();
    let ended = command().run();
    let doubtful = ended.json()["in_doubt"].as_u64().unwrap();
    let (_, failures) = audit(&world, "photos.restored").every_row_ended_once(60);
    assert_eq!(failures as u64, doubtful, "{}", ended.said());
    assert!(doubtful <= 10, "{doubtful} of 10 that were at the service are in doubt");
    service.accepted_nothing_twice();
}

/// The name of an accepted request is in one place only until it is written.
#[test]
fn full_for_a_moment_when_a_request_is_named() {
    let world = World::new();
    let disk = SmallDisk::mount(&world, "small", 4 << 10);
    let photos = Photos::start(&world, 3);
    let faults = GatewayFaults {
        slow_reply: 1.0,
        slow_for: Duration::from_millis(300),
        ..GatewayFaults::default()
    };
    let settings = GatewaySettings { faults, ..Service::settings() };
    let service = Service::start_with(&world, settings, Arc::new(InstantEngine));
    world.write("photos.csv", photos.manifest());
    let command = Command::new(&world, &["photos.csv", "--state=small/state"]);
    let running = command.with(&service).inside(&disk).start();
    service.until(&world, "submits", |stats| stats.accepted.len() == 3);
    disk.fill(0);
    running.says("the name of an accepted request could not be written");
    disk.free();
    running.wait().code(0);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(3), (3, 0));
    service.accepted_nothing_twice();
}

#[test]
fn no_room_for_a_long_ledger() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 200));
    world.write("photos.csv", photos.manifest());
    let command =
        || Command::new(&world, &["photos.csv", "--json", "--in-flight=10"]).with(&service);
    ledger_is_full(command().with_file_limit(400).run());
    assert!(service.accepted() > 0, "it was full before anything could be in doubt");
    audit(&world, "photos.restored");
    let ended = command().run();
    let doubtful = ended.json()["in_doubt"].as_u64().unwrap();
    let (_, failures) = audit(&world, "photos.restored").every_row_ended_once(200);
    assert_eq!(failures as u64, doubtful, "{}", ended.said());
    assert!(doubtful <= 10, "{doubtful} of 10 that were at the service are in doubt");
    service.accepted_nothing_twice();
}

#[test]
fn a_read_only_disk() {
    let world = World::new();
    let disk = SmallDisk::mount(&world, "small", 2_048);
    let (service, photos) = (Service::start(&world), Photos::start(&world, 6));
    world.write("photos.csv", photos.manifest());
    let command = |state: &str| {
        let words = ["photos.csv", "--out=small/job", state];
        Command::new(&world, &words).with(&service).inside(&disk)
    };
    disk.remount("ro");
    for state in ["--state=state", "--state=small/job/.restore-batch"] {
        let ended = command(state).run().code(6);
        assert!(ended.said().contains("small/job` cannot be used"), "{}", ended.said());
        assert!(ended.said().contains("choose another with --out"), "{}", ended.said());
    }
    assert_eq!(service.accepted(), 0);
    disk.remount("rw");
    command("--state=small/job/.restore-batch").run().code(0);
    disk.remount("ro");
    let job = disk.path().join("job").display().to_string();
    for _ in 0..2 {
        let ended = command("--state=small/job/.restore-batch").run().code(7);
        assert!(ended.said().contains("Read-only file system"), "{}", ended.said());
        assert_eq!(audit(&world, &job).every_row_ended_once(6), (6, 0));
    }
    disk.remount("rw");
    command("--state=small/job/.restore-batch").run().code(0);
    assert_eq!(audit(&world, &job).every_row_ended_once(6), (6, 0));
    assert_eq!(service.accepted(), 6);
}

/// Starts a run that waits for its photos at the service.
fn waiting_run(world: &World, count: usize, meanwhile: impl FnOnce()) -> (Service, Photos, Ended) {
    let photos = Photos::start(world, count);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let running = Command::new(world, &["photos.csv", "--state=state"]).with(&service).start();
    service.until(world, "submits", |stats| stats.accepted.len() == count);
    meanwhile();
    engine.let_all_pass();
    let ended = running.wait();
    (service, photos, ended)
}

#[test]
fn the_job_folder_is_removed_in_the_middle() {
    let world = World::new();
    let (service, _photos, ended) =
        waiting_run(&world, 8, || fs::remove_dir_all(world.path("photos.restored")).unwrap());
    assert!(matches!(ended.status.code(), Some(0 | 4)), "{}", ended.said());
    // The ledger is elsewhere and knows what was paid for.
    let command = Command::new(&world, &["photos.csv", "--state=state"]);
    command.with(&service).run().code(0);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(8), (8, 0));
    assert_eq!(service.accepted(), 8);
}

/// With the ledger in it: nothing more may be paid for, because nobody would know of it.
#[test]
fn the_ledger_is_removed_in_the_middle() {
    let world = World::new();
    let photos = Photos::start(&world, 12);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let running = Command::new(&world, &["photos.csv", "--in-flight=4"]).with(&service).start();
    service.until(&world, "submits", |stats| stats.accepted.len() == 4);
    fs::remove_dir_all(world.path("photos.restored")).unwrap();
    engine.let_all_pass();
    let ended = running.wait().code(7);
    assert!(ended.stderr.contains("was deleted or replaced"), "{}", ended.said());
    assert_eq!(service.accepted(), 4);
}

#[test]
fn the_images_folder_becomes_a_file_in_the_middle() {
    let world = World::new();
    let images = world.path("photos.restored/images");
    let (service, _photos, ended) = waiting_run(&world, 8, || {
        let _ = fs::remove_dir_all(&images);
        fs::write(&images, "mine").unwrap();
    });
    halted(ended, "images");
    assert_eq!(fs::read_to_string(&images).unwrap(), "mine");
    fs::remove_file(&images).unwrap();
    let command = Command::new(&world, &["photos.csv", "--state=state"]);
    command.with(&service).run().code(0);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(8), (8, 0));
    assert_eq!(service.accepted(), 8);
}

#[test]
fn an_artifact_s_name_is_taken_by_a_folder() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 3));
    world.write("photos.csv", photos.manifest());
    let taken = world.path("photos.restored/images/photo-1.png");
    fs::create_dir_all(taken.join("mine")).unwrap();
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(3), (3, 0));
    assert_eq!(found.results.column("output")[1], "images/photo-1~2.png");
    assert!(taken.join("mine").is_dir());
}
