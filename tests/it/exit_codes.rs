//! One test for each exit code, with the texts that go with it.

use std::{fmt::Write as _, fs, net::TcpListener, sync::Arc};

use insta::assert_snapshot;
use restore_batch::{
    core::Micros,
    engine::InstantEngine,
    gateway::GatewaySettings,
    testing::{
        HeldEngine,
        scripted_server::{Reply, ScriptedServer},
    },
};
use serde_json::json;

use super::support::{
    Command, KEY, PROBE, Photos, SUBMIT, Service, World, audit, png, redact, scripted_request,
    scripted_status,
};

/// An address where nobody listens: a port that was ours a moment ago.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{port}")
}

#[test]
fn zero_when_every_photo_is_done() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 3));
    world.write("photos.csv", photos.manifest());
    let ended = Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    assert_snapshot!(redact(&world, &ended));
}

/// What `--local` keeps lies in the job folder, where there is room for results. That the
/// picture is missing is all that is wrong here. (The ways to 1 are bugs.)
#[test]
fn three_and_not_one_when_the_machine_has_no_temporary_folder() {
    let world = World::new();
    world.write("photos.csv", "img\na.png\n");
    let command = Command::new(&world, &["photos.csv", "--local"]);
    command.env("TMPDIR", world.path("missing")).run().code(3);
    let kept = std::fs::read_dir(world.path("photos.restored/.restore-batch")).unwrap();
    let mut names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.starts_with("local-")));
}

#[test]
fn two_when_the_command_line_cannot_be_understood() {
    let world = World::new();
    let ended = Command::new(&world, &["photos.csv", "--submit-rat=1"]).run().code(2);
    assert_snapshot!(redact(&world, &ended));
    let ended = Command::new(&world, &["run"]).run().code(2);
    assert_snapshot!(redact(&world, &ended));
}

#[test]
fn three_when_some_photos_failed() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 2));
    photos.server.add("GET /text.png", Reply::ok("no picture"));
    let bad = photos.server.url("/text.png");
    world.write("photos.csv", format!("{}{bad},2\n", photos.manifest()));
    let ended = Command::new(&world, &["photos.csv"]).with(&service).run().code(3);
    assert_snapshot!(redact(&world, &ended));
}

#[test]
fn four_when_the_wallet_is_empty_and_what_is_paid_is_finished() {
    let world = World::new();
    let photos = Photos::start(&world, 8);
    world.write("photos.csv", photos.manifest());
    let settings = GatewaySettings { balance: Some(Micros(3 * 3_100)), ..Service::settings() };
    let service = Service::start_with(&world, settings, Arc::new(InstantEngine));
    let ended = Command::new(&world, &["photos.csv"]).with(&service).run().code(4);
    assert_snapshot!(redact(&world, &ended));
    assert_eq!(service.charged(), Micros(9_300));
    assert_eq!(service.stats().completed, 3);

    // Funds were added; here that is another wallet at another address.
    let funded = Service::start(&world);
    let ended = Command::new(&world, &["photos.csv"]).with(&funded).run().code(6);
    assert_snapshot!(redact(&world, &ended));
    let command = Command::new(&world, &["photos.csv", "--service-moved", "--json"]);
    let summary = command.with(&funded).run().code(0).json();
    assert_eq!((&summary["done"], &summary["charged_usd"]), (&8.into(), &"0.0248".into()));
    assert_eq!(funded.accepted(), 5);
}

#[test]
fn four_when_the_spend_cap_is_reached_and_not_a_cent_later() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 9));
    world.write("photos.csv", photos.manifest());
    // Four requests cost 0.0124; a fifth would cost 0.0155.
    let capped =
        |cap: &str| Command::new(&world, &["photos.csv", "--max-spend", cap]).with(&service).run();
    let ended = capped("0.015499").code(4);
    assert_snapshot!(redact(&world, &ended));
    assert_eq!(service.charged(), Micros(12_400));
    capped("0.015499").code(4);
    assert_eq!(service.charged(), Micros(12_400), "what was spent counts in the next run");
    capped("0.0155").code(4);
    assert_eq!(service.charged(), Micros(15_500));
    capped("0.0279").code(0);
    assert_eq!(service.charged(), Micros(27_900));
    service.accepted_nothing_twice();
}

/// Runs a job whose second of three submits is refused for the account's sake, checks that
/// nothing more is sent and that the same command continues once that is mended, and
/// returns what the halted run has said.
fn refused_in_the_middle(status: u16, refusal: &str) -> String {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(PROBE, Reply::status(404));
    scripted_request(&server, "a", &server.url("/media/a.png"));
    server.add(SUBMIT, Reply::json(status, refusal));
    for id in ["b", "c"] {
        scripted_request(&server, id, &server.url(&format!("/media/{id}.png")));
    }
    let mut manifest = "img,number\n".to_owned();
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        writeln!(manifest, "https://example.org/{id}.png,{number}").unwrap();
        server.add(&format!("GET /media/{id}.png"), Reply::ok(png(number)));
    }
    world.write("photos.csv", manifest);
    let run = || {
        let words = ["photos.csv", "--in-flight=1"];
        Command::new(&world, &words).with(&Service::scripted(&server)).run()
    };
    let submits = || server.requests().iter().filter(|request| request.method == "POST").count();
    let halted = run().code(4);
    assert_eq!(submits(), 2, "one refusal is enough");
    assert!(world.path("photos.restored/images/a.png").exists(), "what was paid is finished");

    run().code(0);
    assert_eq!(submits(), 4, "one for each photo, and the refused one");
    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(3), (3, 0));
    assert_eq!(found.results.column("request_id"), ["a", "b", "c"]);
    assert_eq!(found.results.column("cost_usd"), ["0.0031"; 3]);
    redact(&world, &halted)
}

#[test]
fn four_when_the_key_is_refused_in_the_middle() {
    let refusal = r#"{"error":"Unauthorized","message":"The key has been revoked."}"#;
    assert_snapshot!(refused_in_the_middle(401, refusal));
}

#[test]
fn four_when_the_subscription_ends_in_the_middle() {
    let refusal = r#"{"error":"Forbidden","message":"Your subscription has expired."}"#;
    assert_snapshot!(refused_in_the_middle(403, refusal));
}

#[test]
fn four_when_the_model_is_disabled_in_the_middle() {
    let refusal =
        r#"{"error":"Model not found","message":"Model 'gfpgan' not found or is disabled."}"#;
    assert_snapshot!(refused_in_the_middle(400, refusal));
}

/// Others may be on the wire when the refusal comes; none leaves after it.
#[test]
fn four_when_all_that_is_on_the_wire_is_refused() {
    const IN_FLIGHT: usize = 4;
    for (status, error) in [(400, "Model not found"), (403, "Forbidden")] {
        let world = World::new();
        let (server, photos) =
            (world.block_on(ScriptedServer::start(vec![])), Photos::start(&world, 40));
        server.add(PROBE, Reply::status(404));
        let refusal = format!(r#"{{"error":"{error}","message":"no more"}}"#);
        server.add_about(SUBMIT, "/photo-", Reply::json(status, &refusal));
        server.add_about(SUBMIT, "/paid", Reply::json(202, r#"{"request_id":"paid"}"#));
        scripted_status(&server, "paid", &server.url("/media/paid.png"));
        server.add("GET /media/paid.png", Reply::ok(png(0)));
        let rows =
            photos.manifest().replacen("number\n", "number\nhttps://example.org/paid,40\n", 1);
        world.write("photos.csv", rows);
        let words = ["photos.csv", "--json", &format!("--in-flight={IN_FLIGHT}")];
        let ended = Command::new(&world, &words).with(&Service::scripted(&server)).run().code(4);
        let submits = server.requests().iter().filter(|request| request.method == "POST").count();
        assert!((2..=1 + IN_FLIGHT).contains(&submits), "{submits}");
        let summary = ended.json();
        let counts = ["done", "failed", "in_doubt", "waiting"].map(|name| &summary[name]);
        assert_eq!(json!(counts), json!([1, 0, 0, 40]), "{summary:#}");
        assert_eq!(summary["charged_usd"], "0.0031");
    }
}

#[test]
fn four_when_the_key_is_refused_at_the_start() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 1));
    world.write("photos.csv", photos.manifest());
    let command = Command::new(&world, &["photos.csv"]).with(&service);
    let ended = command.env("PIXAZO_API_KEY", "another").run().code(4);
    assert_snapshot!(redact(&world, &ended));
    assert_eq!(service.accepted(), 0);
}

#[test]
fn five_when_the_manifest_cannot_be_used() {
    let world = World::new();
    let service = Service::start(&world);
    world.write("empty.csv", "");
    world.write("blank.csv", "\u{feff}\r\n\r\n");
    world.write("picture.csv", png(1));
    world.write("columns.csv", "name,year\nx,1999\n");
    world.write("quote.csv", "img,note\nhttps://example.org/a.png,\"never closed\n");
    fs::create_dir(world.path("folder.csv")).unwrap();
    let mut said = String::new();
    for name in ["missing", "empty", "blank", "picture", "columns", "folder", "quote"] {
        let file = format!("{name}.csv");
        let ended = Command::new(&world, &[&file]).with(&service).run().code(5);
        writeln!(said, "-- {name}\n{}", redact(&world, &ended)).unwrap();
        let begun = world.path(format!("{name}.restored")).exists();
        assert_eq!(begun, name == "quote", "only a manifest that breaks off later begins a job");
    }
    assert_snapshot!(said);
    assert_eq!(service.accepted(), 0);
}

#[test]
fn six_when_the_configuration_cannot_be_used() {
    let world = World::new();
    world.write("photos.csv", "img\nhttps://example.org/a.png\n");
    let run = |words: &[&str]| Command::new(&world, words).run().code(6);
    let mut said = String::new();
    let mut note = |name: &str, ended| {
        writeln!(said, "-- {name}\n{}", redact(&world, &ended)).unwrap();
    };
    note("no key", run(&["photos.csv"]));
    note("bad flag", run(&["photos.csv", "--scale=5"]));
    note("key file is missing", run(&["photos.csv", "--api-key-file=none"]));
    note("no folder for standard input", run(&["-", "--local"]));
    note("bad public base", run(&["photos.csv", "--local", "--public-base=scans"]));
    note("callbacks unencrypted", run(&["photos.csv", "--webhook-url=http://example.org/"]));
    let local = ["photos.csv", "--local", "--webhook-url=https://example.org/"];
    note("callbacks with --local", run(&local));
    note("no job", run(&["status", "photos.csv"]));
    let command = Command::new(&world, &["photos.csv"]).env("RESTORE_BATCH_POLL_INTERVAL", "5");
    note("bad variable", command.run().code(6));
    note("job folder is a file", run(&["photos.csv", "--local", "--out=photos.csv"]));
    world.write("restore-batch.toml", "# mine\nscale = 2\nsubmit_rat = 3\n");
    note("unknown name in a file", run(&["photos.csv"]));
    world.write("restore-batch.toml", "scale = 2\nprice = = 3\n");
    note("no TOML", run(&["photos.csv"]));
    note("gateway without a key", run(&["gateway", "--listen=0.0.0.0:0"]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    note("gateway on a port that is taken", run(&["gateway", &listen]));
    assert_snapshot!(said);
    assert!(!world.path("photos.restored").exists());
}

#[test]
fn six_when_the_job_folder_belongs_to_another_manifest() {
    let world = World::new();
    for name in ["a.csv", "b.csv"] {
        world.write(name, "img\nmissing.png\n");
    }
    let run = |manifest| Command::new(&world, &[manifest, "--local", "--out=job"]).fast().run();
    run("a.csv").code(3);
    let before = fs::read(world.path("job/failures.csv")).unwrap();
    let ended = run("b.csv").code(6);
    assert!(ended.stderr.contains("belongs to the manifest `a.csv`"), "{}", ended.said());
    assert_eq!(fs::read(world.path("job/failures.csv")).unwrap(), before);
    run("a.csv").code(3);
}

#[test]
fn seven_when_another_run_has_the_job() {
    let world = World::new();
    let photos = Photos::start(&world, 1);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("my photos.csv", photos.manifest());
    let run = || Command::new(&world, &["my photos.csv"]).with(&service);
    let first = run().start();
    service.until(&world, "one submit", |stats| stats.accepted.len() == 1);
    let second = run().run().code(7);
    let said = redact(&world, &second);
    assert_snapshot!(said.replace(&first.pid().to_string(), "[PID]"));
    Command::new(&world, &["status", "my photos.csv"]).run().code(0);
    engine.let_all_pass();
    first.wait().code(0);
    service.accepted_nothing_twice();
}

#[test]
fn seven_when_the_ledger_cannot_be_used() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 1));
    world.write("photos.csv", photos.manifest());
    let run = || Command::new(&world, &["photos.csv"]).with(&service).run();
    run().code(0);
    let path = "photos.restored/.restore-batch/ledger.db";
    let good = fs::read(world.path(path)).unwrap();
    let mut said = String::new();
    let mut note = |name: &str, content: &[u8]| {
        world.write(path, content);
        for command in ["run", "status", "retry"] {
            let ended = Command::new(&world, &[command, "photos.csv"]).with(&service).run();
            writeln!(said, "-- {name}, {command}\n{}", redact(&world, &ended)).unwrap();
            assert_eq!(ended.status.code(), Some(7), "{said}");
        }
        assert_eq!(fs::read(world.path(path)).unwrap(), content, "{name}: it was touched");
    };
    note(
        "no database",
        b"not a ledger, and longer than a header of one would be".repeat(9).as_slice(),
    );
    note("cut", &good[..good.len() / 2]);
    let mut newer = good.clone();
    // SQLite's `user_version`, where the ledger keeps the version of its schema.
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    note("newer", &newer);
    let mut other = good.clone();
    other[68..72].copy_from_slice(b"Mine");
    note("another program's", &other);
    assert_snapshot!(said);
    world.write(path, good);
    run().code(0);
    assert_eq!(service.accepted(), 1);
}

#[test]
fn eight_when_the_service_cannot_be_used_at_the_start() {
    let world = World::new();
    world.write("photos.csv", "img\nhttps://example.org/a.png\n");
    let base = format!("--base-url={}", nobody());
    let command = Command::new(&world, &["photos.csv", &base]).env("PIXAZO_API_KEY", KEY);
    let ended = command.run().code(8);
    assert_snapshot!(redact(&world, &ended));
    let command = Command::new(&world, &["check", "photos.csv", &base]);
    let ended = command.env("PIXAZO_API_KEY", KEY).run().code(8);
    assert_snapshot!(redact(&world, &ended));
}

/// Starts a run that waits for its two photos, interrupts it and lets another finish.
fn interrupt(name: &str, number: i32) -> String {
    let world = World::new();
    let photos = Photos::start(&world, 2);
    let engine = Arc::new(HeldEngine::default());
    let service = Service::start_with(&world, Service::settings(), engine.clone());
    world.write("photos.csv", photos.manifest());
    let run = || Command::new(&world, &["photos.csv"]).with(&service);
    let first = run().start();
    service.until(&world, "two submits", |stats| stats.accepted.len() == 2);
    first.signal(name);
    let ended = first.wait().by_signal(number);
    let said = redact(&world, &ended);
    engine.let_all_pass();
    run().run().code(0);
    service.accepted_nothing_twice();
    said
}

#[test]
fn by_sigint_when_interrupted() {
    let said = interrupt("INT", 2);
    assert!(said.contains("stopping: "), "{said}");
    assert!(said.contains("restore-batch photos.csv"), "the next step is missing: {said}");
}

#[test]
fn by_sigterm_when_terminated() {
    let said = interrupt("TERM", 15);
    assert!(said.contains("stopping: "), "{said}");
}
