//! SIGTERM and SIGINT in every phase of a run, and other runs beside it.

use std::{fmt::Write as _, fs, sync::Arc, time::Duration};

use restore_batch::{
    engine::InstantEngine,
    gateway::{GatewayFaults, GatewaySettings},
    testing::{
        HeldEngine,
        scripted_server::{Reply, ScriptedServer},
    },
};

use tokio::time::Instant;

use super::support::{
    Command, PROBE, Photos, Running, SUBMIT, Service, World, audit, png, scripted_request,
    visible_files,
};

/// Of the request `one`.
const STATUS: &str = "GET /v2/requests/status/one";

/// What the tests of pauses run: a job that soon polls.
const PAUSED_JOB: [&str; 2] = ["photos.csv", "--poll-interval=1s"];

/// Both signals with their numbers.
const SIGNALS: [(&str, i32); 2] = [("TERM", 15), ("INT", 2)];

#[test]
fn while_the_manifest_is_read_from_standard_input() {
    for (name, number) in SIGNALS {
        let world = World::new();
        let (service, photos) = (Service::start(&world), Photos::start(&world, 20));
        let command = || Command::new(&world, &["-", "--out=job"]).with(&service);
        // More may follow: standard input stays open.
        let running = command().stdin(photos.rows(0..10)).start();
        if name == "TERM" {
            // It may have read nothing yet, and nobody may listen for signals.
            running.end_while_reading(name).by_signal(number);
        } else {
            world.until("the job's ledger", || {
                let there = world.path("job/results.csv").exists();
                if there { Ok(()) } else { Err("no results.csv") }
            });
            running.end_while_reading(name).by_signal(number);
        }
        audit(&world, "job");
        command().stdin(photos.manifest()).run().code(0);
        assert_eq!(audit(&world, "job").every_row_ended_once(20), (20, 0));
        service.accepted_nothing_twice();
    }
}

#[test]
fn while_local_photos_are_staged() {
    for (name, number) in SIGNALS {
        let world = World::new();
        let photos = Photos::start(&world, 0);
        let mut manifest = "img,number\n".to_owned();
        for row in 0..400 {
            world.write(&format!("scans/{row}.png"), png(row));
            photos.server.add(&format!("GET /{row}.png"), Reply::ok(png(row)));
            writeln!(manifest, "scans/{row}.png,{row}").unwrap();
        }
        world.write("photos.csv", manifest);
        let service = Service::start(&world);
        let base = format!("--public-base=scans={}", photos.server.url("/"));
        let command = || Command::new(&world, &["photos.csv", &base]).with(&service);
        let running = command().start();
        service.until(&world, "the first submit", |stats| !stats.accepted.is_empty());
        running.end(name).by_signal(number);
        let found = audit(&world, "photos.restored");
        assert!(found.failures.rows.is_empty(), "{:?}", found.failures);
        command().run().code(0);
        assert_eq!(audit(&world, "photos.restored").every_row_ended_once(400), (400, 0));
        service.accepted_nothing_twice();
    }
}

#[test]
fn with_a_submit_on_the_wire_its_answer_is_waited_for() {
    for (name, number) in SIGNALS {
        let world = World::new();
        let photos = Photos::start(&world, 5);
        let faults = GatewayFaults {
            slow_reply: 1.0,
            slow_for: Duration::from_millis(600),
            ..GatewayFaults::default()
        };
        let settings = GatewaySettings { faults, ..Service::settings() };
        let service = Service::start_with(&world, settings, Arc::new(InstantEngine));
        world.write("photos.csv", photos.manifest());
        let command = || Command::new(&world, &["photos.csv"]).with(&service);
        let running = command().args(["--in-flight=2"]).start();
        service.until(&world, "two submits", |stats| stats.accepted.len() == 2);
        running.signal(name);
        running.wait().by_signal(number);
        command().run().code(0);
        assert_eq!(audit(&world, "photos.restored").every_row_ended_once(5), (5, 0));
        service.accepted_nothing_twice();
    }
}

#[test]
fn with_a_submit_that_is_never_answered_it_is_in_doubt() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(PROBE, Reply::status(404));
    server.add(SUBMIT, Reply::hang());
    let service = Service::scripted(&server);
    world.write("photos.csv", "img,number\nhttps://example.org/a.png,0\n");
    let words = ["photos.csv", "--request-timeout=700ms", "--grace=200ms"];
    let running = Command::new(&world, &words).with(&service).start();
    world.block_on(server.received(2));
    running.signal("TERM");
    running.wait().by_signal(15);
    let summary = Command::new(&world, &["photos.csv", "--json"]).with(&service).run().code(3);
    assert_eq!(summary.json()["in_doubt"], 1);
    assert_eq!(server.requests().iter().filter(|one| one.method == "POST").count(), 1);
}

#[test]
fn while_polls_wait() {
    for (name, number) in SIGNALS {
        let world = World::new();
        let photos = Photos::start(&world, 5);
        let engine = Arc::new(HeldEngine::default());
        let service = Service::start_with(&world, Service::settings(), engine.clone());
        world.write("photos.csv", photos.manifest());
        let command = || Command::new(&world, &["photos.csv"]).with(&service);
        // Polls come in hours, so that nothing else ends this run.
        let hours = ["--poll-interval=5h", "--max-poll-interval=9h"];
        let running = command().args(hours).start();
        service.until(&world, "submits", |stats| stats.accepted.len() == 5);
        running.signal(name);
        running.wait().by_signal(number);
        engine.let_all_pass();
        command().run().code(0);
        assert_eq!(audit(&world, "photos.restored").every_row_ended_once(5), (5, 0));
        service.accepted_nothing_twice();
    }
}

/// What the service asked for counts for the next run too, of submits and of polls.
#[test]
fn during_a_pause_that_the_service_asked_for() {
    for (paused, said) in [(SUBMIT, "no submit for 3"), (STATUS, "no poll for 3")] {
        for (name, number) in SIGNALS {
            let world = World::new();
            let (server, service) = pausing(&world, paused, "3600");
            let command = || Command::new(&world, &PAUSED_JOB).with(&service);
            until_paused(&world, &server, paused, command().start()).end(name).by_signal(number);
            let probes = of_route(&server, PROBE).len();
            let running = command().start();
            running.says(&format!("asked for a pause before this run: {said}"));
            running.end(name).by_signal(number);
            assert_eq!(of_route(&server, paused).len(), 1);
            // Nor is the service asked whether it is there while it wants no status request.
            let asked = usize::from(paused == SUBMIT);
            assert_eq!(of_route(&server, PROBE).len(), probes + asked);
        }
    }
}

/// The first question of a run may be answered with a pause; then it was the last one.
#[test]
fn during_a_pause_that_was_asked_for_before_the_first_submit() {
    let world = World::new();
    let (server, service) = pausing(&world, PROBE, "3600");
    for _ in 0..2 {
        let running = Command::new(&world, &PAUSED_JOB).with(&service).start();
        running.says("asked for a pause before this run: no poll for 3");
        running.end("TERM").by_signal(15);
    }
    assert_eq!((of_route(&server, PROBE).len(), of_route(&server, STATUS).len()), (1, 0));
}

#[test]
fn a_job_goes_on_after_a_pause_that_an_earlier_run_was_asked_for() {
    for paused in [SUBMIT, STATUS] {
        let world = World::new();
        let (server, service) = pausing(&world, paused, "2");
        let command = || Command::new(&world, &PAUSED_JOB).with(&service);
        until_paused(&world, &server, paused, command().start()).end("TERM").by_signal(15);
        command().run().code(0);
        let times = of_route(&server, paused);
        let pause = times[1].duration_since(times[0]);
        assert!(pause >= Duration::from_secs(2), "{paused}: {pause:?}");
        assert_eq!(audit(&world, "photos.restored").every_row_ended_once(1), (1, 0));
    }
}

/// Returns a service that asks for a pause in its first answer on a route, and then does
/// its work for a manifest of one photo.
fn pausing(world: &World, paused: &str, seconds: &str) -> (ScriptedServer, Service) {
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(paused, Reply::status(429).header("Retry-After", seconds));
    server.add(PROBE, Reply::status(404));
    scripted_request(&server, "one", &server.url("/one.png"));
    server.add("GET /one.png", Reply::ok(png(0)));
    world.write("photos.csv", "img,number\nhttps://example.org/a.png,0\n");
    let service = Service::scripted(&server);
    (server, service)
}

/// Waits until a run has been asked for a pause, whether it has heard of it or not.
fn until_paused<'a>(
    world: &World,
    server: &ScriptedServer,
    paused: &str,
    running: Running<'a>,
) -> Running<'a> {
    world.until("the pause that the service asks for", || {
        let asked = of_route(server, paused).len();
        if asked == 1 { Ok(()) } else { Err(server.requests()) }
    });
    running
}

/// Returns when the requests of a route came.
fn of_route(server: &ScriptedServer, route: &str) -> Vec<Instant> {
    let requests = server.requests().into_iter();
    let of_route = requests.filter(|one| route == format!("{} {}", one.method, one.path()));
    of_route.map(|one| one.at).collect()
}

#[test]
fn during_a_download() {
    for (name, number) in SIGNALS {
        let world = World::new();
        let server = world.block_on(ScriptedServer::start(vec![]));
        server.add(PROBE, Reply::status(404));
        scripted_request(&server, "one", &server.url("/one.png"));
        server.add("GET /one.png", Reply::ok(png(0)).stall_after(30));
        server.add("GET /one.png", Reply::ok(png(0)));
        let service = Service::scripted(&server);
        world.write("photos.csv", "img,number\nhttps://example.org/a.png,0\n");
        let command = || Command::new(&world, &["photos.csv", "--grace=300ms"]).with(&service);
        let running = command().start();
        let asked = || server.requests().iter().any(|one| one.path() == "/one.png");
        world.until("the download", || if asked() { Ok(()) } else { Err(server.requests()) });
        running.signal(name);
        running.wait().by_signal(number);
        assert!(visible_files(&world.path("photos.restored/images")).is_empty());
        command().run().code(0);
        assert_eq!(audit(&world, "photos.restored").every_row_ended_once(1), (1, 0));
        let posts = server.requests().iter().filter(|one| one.method == "POST").count();
        assert_eq!(posts, 1);
    }
}

#[test]
fn during_the_final_rewrite() {
    const ROWS: usize = 30_000;
    for (name, number) in SIGNALS {
        let world = World::new();
        let (service, photos) = (Service::start(&world), Photos::start(&world, 1));
        let mut manifest = "img,number\n".to_owned();
        for row in 0..ROWS {
            writeln!(manifest, "{},{row}", photos.url(0)).unwrap();
        }
        world.write("photos.csv", manifest);
        let command = || Command::new(&world, &["photos.csv"]).with(&service);
        let running = command().start();
        // The first file of a rewrite after the photo is there.
        world.until("the rewrite", || {
            let folder = world.path("photos.restored");
            let names = |path| fs::read_dir(path).ok().into_iter().flatten().flatten();
            let published =
                names(folder.join("images")).any(|entry| entry.file_name() == "photo-0.png");
            let begun = names(folder)
                .any(|entry| entry.file_name().to_string_lossy().starts_with(".restore-batch-"));
            if published && begun { Ok(()) } else { Err((published, begun)) }
        });
        let ended = running.end(name);
        let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
        // Everything was done when it came.
        assert!(ended.status.code() == Some(0) || signal == Some(number), "{}", ended.said());
        audit(&world, "photos.restored");
        command().run().code(0);
        assert_eq!(audit(&world, "photos.restored").every_row_ended_once(ROWS), (ROWS, 0));
        assert_eq!(service.accepted(), 1);
        let names = fs::read_dir(world.path("photos.restored")).unwrap();
        assert_eq!(names.count(), 4, "a new version that was given up is still there");
    }
}

#[test]
fn another_run_on_the_folder_disturbs_nothing() {
    let world = World::new();
    let photos = Photos::start(&world, 4);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("a.csv", photos.manifest());
    world.write("b.csv", photos.rows([3, 2]));
    let start = |words: &[&str]| Command::new(&world, words).with(&service).start();
    let first = start(&["a.csv", "--out=job"]);
    service.until(&world, "submits", |stats| stats.accepted.len() == 4);
    for (words, codes) in [
        (&["a.csv", "--out=job"][..], [7, 7]),
        (&["retry", "--in-doubt", "a.csv", "--out=job"], [7, 7]),
        (&["b.csv", "--out=job"], [6, 7]),
        (&["a.csv", "--out=job", "--state=elsewhere"], [6, 7]),
        (&["b.csv", "--out=other", "--state=job/.restore-batch"], [6, 7]),
    ] {
        let ended = start(words).wait();
        assert!(codes.map(Some).contains(&ended.status.code()), "{words:?}: {}", ended.said());
    }
    engine.let_all_pass();
    first.wait().code(0);
    assert_eq!(audit(&world, "job").every_row_ended_once(4), (4, 0));
    assert_eq!(audit(&world, "job").results.header[..2], ["img", "number"]);
    assert_eq!(service.accepted(), 4);
    service.accepted_nothing_twice();
}
