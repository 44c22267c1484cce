//! Stopping and going on: killed at any point, asked to stop, or let down by the
//! service, a job loses nothing and pays for nothing twice.

use std::{collections::BTreeSet, fmt::Write as _, num::NonZeroUsize, sync::Arc, time::Duration};

use restore_batch::{
    core::{Micros, jitter},
    engine::InstantEngine,
    gateway::{GatewayFaults, GatewaySettings},
    testing::{
        HeldEngine,
        scripted_server::{Reply, ScriptedServer},
    },
};
use serde_json::{Value, json};

use super::support::{
    Command, PROBE, Photos, Running, SUBMIT, Service, World, audit, png, scripted_request,
    visible_files,
};

fn money(summary: &Value, name: &str) -> Micros {
    summary[name].as_str().unwrap().parse().unwrap()
}

/// Checks a summary against the gateway's own books: what is charged was charged, and
/// what was charged is known to be, or suspected.
#[track_caller]
fn agrees_with_the_books(summary: &Value, service: &Service) {
    let (charged, possibly) =
        (money(summary, "charged_usd"), money(summary, "possibly_charged_usd"));
    let reserved = money(summary, "reserved_usd");
    let books = service.charged();
    assert!(charged <= books && books <= charged + possibly + reserved, "{books}: {summary:#}");
}

/// Sends again what is in doubt until nothing is, which the faults delay.
fn settle_doubts(world: &World, service: &Service) -> Value {
    for _ in 0..12 {
        let words = ["retry", "--in-doubt", "photos.csv", "--json"];
        let ended = Command::new(world, &words).with(service).run();
        let summary = ended.json();
        agrees_with_the_books(&summary, service);
        match ended.status.code() {
            Some(0) => return summary,
            Some(3) => {}
            _ => panic!("{}", ended.said()),
        }
    }
    panic!("still in doubt after twelve times")
}

#[test]
fn killed_again_and_again_a_job_ends_as_if_nothing_had_happened() {
    let world = World::new();
    let photos = Photos::start(&world, 40);
    let engine = Arc::new(HeldEngine::default());
    let settings =
        GatewaySettings { workers: NonZeroUsize::new(6).unwrap(), ..Service::settings() };
    let service = Service::start_with(&world, settings, engine.clone());
    world.write("photos.csv", photos.manifest());
    let start = || Command::new(&world, &["photos.csv", "--in-flight=6"]).with(&service).start();
    let kill = |running: Running<'_>| {
        running.kill();
        let found = audit(&world, "photos.restored");
        service.accepted_nothing_twice();
        found.results.rows.len()
    };

    // While the first six are at the service, some perhaps with their answer on the way.
    let running = start();
    service.until(&world, "six submits", |stats| stats.accepted.len() == 6);
    assert_eq!(kill(running), 0);
    // When the service has done four of them, and the next ones are leaving.
    engine.let_pass(4);
    service.until(&world, "four pictures", |stats| stats.completed == 4);
    let running = start();
    service.until(&world, "the next submits", |stats| stats.accepted.len() >= 8);
    kill(running);
    // While results are being written; at most twelve of sixteen are in doubt.
    engine.let_pass(12);
    let running = start();
    world.until("results", || {
        let found = audit(&world, "photos.restored").results.rows.len();
        if found >= 2 { Ok(()) } else { Err(found) }
    });
    assert!(kill(running) >= 2);
    // While everything flows; the engine holds the rest, so that no run ends before.
    for wanted in [19, 22] {
        engine.let_pass(3);
        let running = start();
        service.until(&world, "more pictures", |stats| stats.completed == wanted);
        kill(running);
    }
    engine.let_all_pass();

    let ended = start().wait();
    let found = audit(&world, "photos.restored");
    let (done, doubtful) = found.every_row_ended_once(40);
    service.accepted_nothing_twice();
    // A kill between a submit and its answer leaves that photo in doubt.
    assert!(
        doubtful <= 6 * 5 && found.failures.column("code").iter().all(|code| *code == "in-doubt")
    );
    assert_eq!(ended.status.code(), Some(if doubtful == 0 { 0 } else { 3 }), "{}", ended.said());
    assert_eq!(visible_files(&world.path("photos.restored/images")).len(), done);

    let summary = settle_doubts(&world, &service);
    assert_eq!(summary["done"], 40);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(40), (40, 0));
    let twice = service.stats().accepted.values().filter(|count| **count > 1).count();
    assert!(twice <= doubtful, "{twice} paid twice, {doubtful} were in doubt");
}

#[test]
fn killed_between_a_submit_and_its_answer_a_photo_is_in_doubt() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![Reply::status(404)]));
    server.add(SUBMIT, Reply::hang());
    scripted_request(&server, "second", &server.url("/second.png"));
    server.add("GET /second.png", Reply::ok(png(0)));
    // The probes of later runs.
    server.add(PROBE, Reply::status(404));
    let service = Service::scripted(&server);
    let submits = || server.requests().iter().filter(|request| request.method == "POST").count();
    world.write("photos.csv", "img,number\nhttps://example.org/a.png,0\n");
    let running = Command::new(&world, &["photos.csv"]).with(&service).start();
    world.until("the submit", || if submits() == 1 { Ok(()) } else { Err(server.requests()) });
    running.kill();

    for _ in 0..2 {
        let ended = Command::new(&world, &["photos.csv", "--json"]).with(&service).run().code(3);
        let summary = ended.json();
        assert_eq!(
            json!([summary["in_doubt"], summary["possibly_charged_usd"]]),
            json!([1, "0.0031"])
        );
        assert_eq!(submits(), 1, "never again by itself");
    }
    let found = audit(&world, "photos.restored");
    assert_eq!(found.failures.column("code"), ["in-doubt"]);
    assert_eq!(found.failures.column("charged"), ["possibly 0.0031"]);

    Command::new(&world, &["retry", "photos.csv"]).with(&service).run().code(3);
    assert_eq!(submits(), 1, "only when asked to");
    Command::new(&world, &["retry", "--in-doubt", "photos.csv"]).with(&service).run().code(0);
    assert_eq!(submits(), 2);
    assert_eq!(audit(&world, "photos.restored").results.column("cost_usd"), ["0.0062"]);
}

#[test]
fn killed_in_the_middle_of_a_download_nothing_half_is_left() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    scripted_request(&server, "one", &server.url("/one.png"));
    server.add(PROBE, Reply::status(404));
    server.add("GET /one.png", Reply::ok(png(0)).stall_after(30));
    server.add("GET /one.png", Reply::ok(png(0)));
    let service = Service::scripted(&server);
    let asked = |path: &str| server.requests().iter().filter(|one| one.path() == path).count();
    world.write("photos.csv", "img,number\nhttps://example.org/a.png,0\n");
    let run = || Command::new(&world, &["photos.csv"]).with(&service);
    let running = run().start();
    world.until("the download", || {
        if asked("/one.png") == 1 { Ok(()) } else { Err(server.requests()) }
    });
    running.kill();
    audit(&world, "photos.restored");
    assert!(visible_files(&world.path("photos.restored/images")).is_empty());

    run().run().code(0);
    assert_eq!(asked("/gfpgan/v1/gfpgan/generate"), 1);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(1), (1, 0));
    let images = world.path("photos.restored/images").read_dir().unwrap().count();
    assert_eq!(images, 1, "temporary files of the killed run are swept");
}

#[test]
fn killed_while_a_long_manifest_is_read() {
    const ROWS: usize = 3_500;
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 20));
    let mut manifest = "img,number\n".to_owned();
    for row in 0..ROWS {
        writeln!(manifest, "{},{row}", photos.url(row % 20)).unwrap();
    }
    let command = || {
        let words = ["-", "--out=job", "--in-flight=3", "--json"];
        Command::new(&world, &words).with(&service)
    };
    // Standard input stays open, so that the manifest is surely not read to its end.
    let most = manifest.split_inclusive('\n').take(2_500).collect::<String>();
    let running = command().stdin(most).start();
    service.until(&world, "submits before the last row", |stats| stats.accepted.len() >= 5);
    running.kill();
    audit(&world, "job");

    let ended = command().stdin(manifest).run();
    let summary = ended.json();
    agrees_with_the_books(&summary, &service);
    assert_eq!(json!([summary["rows"], summary["items"]]), json!([ROWS, 20]), "{}", ended.said());
    let (_, doubtful) = audit(&world, "job").every_row_ended_once(ROWS);
    assert_eq!(ended.status.code(), Some(if doubtful == 0 { 0 } else { 3 }), "{}", ended.said());
    service.accepted_nothing_twice();
}

#[test]
fn lost_replies_errors_and_pauses_cost_nothing_twice() {
    let world = World::new();
    let photos = Photos::start(&world, 20);
    let faults = GatewayFaults {
        seed: 4,
        reply_lost: 0.2,
        server_error: 0.1,
        throttled: 0.2,
        latency: Duration::ZERO..Duration::from_millis(50),
        ..GatewayFaults::default()
    };
    let settings = GatewaySettings { faults, ..Service::settings() };
    let service = Service::start_with(&world, settings, Arc::new(InstantEngine));
    world.write("photos.csv", photos.manifest());
    let run = || Command::new(&world, &["photos.csv", "--json"]).with(&service).run();
    let summary = run().code(3).json();
    agrees_with_the_books(&summary, &service);
    assert!(summary["throttled"].as_u64() > Some(0), "{summary:#}");
    let found = audit(&world, "photos.restored");
    let (_, doubtful) = found.every_row_ended_once(20);
    assert_eq!(summary["in_doubt"], doubtful);
    assert!(doubtful > 0 && found.failures.column("code").iter().all(|code| *code == "in-doubt"));
    service.accepted_nothing_twice();
    let before = service.accepted();
    run().code(3);
    assert_eq!(service.accepted(), before, "what is in doubt is held");

    let summary = settle_doubts(&world, &service);
    assert_eq!(summary["done"], 20);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(20), (20, 0));
}

/// Finds a seed with which each fault hits one of the first `count` submits, and none
/// hits a later one that the test could reach.
fn each_fault_once(count: i64) -> u64 {
    let hits = |seed, fault, submit| jitter(seed, submit, fault) < 0.1;
    let once = |seed| {
        let first = (0..count).flat_map(|submit| {
            (1..=4)
                .filter(move |fault| hits(seed, *fault, submit))
                .map(move |fault| (submit, fault))
        });
        let (submits, faults): (BTreeSet<i64>, BTreeSet<u32>) = first.clone().unzip();
        let later = (count..2 * count).any(|submit| (1..=4).any(|fault| hits(seed, fault, submit)));
        first.count() == 4 && submits.len() == 4 && faults.len() == 4 && !later
    };
    (0..1_000_000).find(|seed| once(*seed)).unwrap()
}

#[test]
fn the_money_of_every_kind_of_fault_agrees_with_the_books() {
    let world = World::new();
    let photos = Photos::start(&world, 8);
    let faults = GatewayFaults {
        seed: each_fault_once(8),
        reply_lost: 0.1,
        server_error: 0.1,
        throttled: 0.1,
        service_error: 0.1,
        ..GatewayFaults::default()
    };
    let settings = GatewaySettings { faults, ..Service::settings() };
    let service = Service::start_with(&world, settings, Arc::new(InstantEngine));
    world.write("photos.csv", photos.manifest());
    let words = ["photos.csv", "--json"];
    let summary = Command::new(&world, &words).with(&service).run().code(3).json();
    agrees_with_the_books(&summary, &service);
    let counts = ["done", "in_doubt", "throttled"].map(|name| &summary[name]);
    assert_eq!(json!(counts), json!([6, 2, 1]), "{summary:#}");
    // Charged: six done. Refunded: one error. In doubt: one accepted, one not.
    let amounts = ["charged_usd", "possibly_charged_usd"].map(|name| &summary[name]);
    assert_eq!(json!(amounts), json!(["0.0186", "0.0062"]));
    assert_eq!((service.charged(), service.stats().errors), (Micros(7 * 3_100), 1));

    let summary = settle_doubts(&world, &service);
    assert_eq!(summary["done"], 8);
    assert_eq!(service.charged(), Micros(9 * 3_100), "one of the two was paid twice");
    assert_eq!(money(&summary, "charged_usd"), Micros(8 * 3_100));
}

#[test]
fn asked_to_stop_a_run_waits_for_answers_and_the_next_one_goes_on() {
    let world = World::new();
    let photos = Photos::start(&world, 30);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let running = Command::new(&world, &["photos.csv"]).with(&service).start();
    service.until(&world, "submits", |stats| stats.accepted.len() >= 5);
    running.signal("TERM");
    let ended = running.wait().by_signal(15);
    assert!(ended.stdout.contains("restore-batch photos.csv"), "no next step: {}", ended.said());

    let status = Command::new(&world, &["status", "photos.csv", "--json"]).run().code(0).json();
    let accepted = service.accepted();
    assert_eq!(json!([status["in_flight"], status["in_doubt"]]), json!([accepted, 0]));
    audit(&world, "photos.restored");

    engine.let_all_pass();
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(30), (30, 0));
    assert_eq!(service.accepted(), 30);
    service.accepted_nothing_twice();
}

#[test]
fn a_second_ctrl_c_does_not_wait_and_what_was_on_the_wire_is_in_doubt() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(PROBE, Reply::status(404));
    server.add(SUBMIT, Reply::hang());
    let service = Service::scripted(&server);
    world.write("photos.csv", "img,number\nhttps://example.org/a.png,0\n");
    let running = Command::new(&world, &["photos.csv"]).with(&service).start();
    world.block_on(server.received(2));
    running.signal("INT");
    running.says("press Ctrl-C again");
    running.signal("INT");
    let ended = running.wait().by_signal(2);
    assert!(
        ended.stdout.contains("sent      1 (no answer yet; may be in doubt)"),
        "{}",
        ended.said()
    );

    let ended = Command::new(&world, &["photos.csv"]).with(&service).run().code(3);
    assert!(ended.stdout.contains("in doubt  1"), "{}", ended.said());
    assert_eq!(server.requests().iter().filter(|one| one.method == "POST").count(), 1);
}
