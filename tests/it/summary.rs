//! What a job tells of itself when something was lost or slowed: doubt, money, pace.

use restore_batch::testing::scripted_server::{Reply, ScriptedServer};
use serde_json::json;

use super::support::{Command, PROBE, SUBMIT, Service, World, png, scripted_request};

#[test]
fn status_shows_what_is_in_doubt_and_the_money_at_risk() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(PROBE, Reply::status(404));
    server.add(SUBMIT, Reply::close());
    scripted_request(&server, "one", &server.url("/one.png"));
    server.add("GET /one.png", Reply::ok(png(0)));
    world.write("photos.csv", "img\nhttps://example.org/a.png\nhttps://example.org/b.png\n");
    let service = Service::scripted(&server);
    Command::new(&world, &["photos.csv", "--in-flight=1"]).with(&service).run().code(3);
    let asked = server.requests().len();

    let ended = Command::new(&world, &["status", "photos.csv"]).with(&service).run().code(3);
    for line in [
        "  done      1\n",
        "  in doubt  1 (answer lost; perhaps paid for)\n",
        "  charged   0.0031 USD, 0.0031 USD possibly charged\n",
        "restore-batch retry --in-doubt photos.csv",
    ] {
        assert!(ended.stdout.contains(line), "no `{line}`: {}", ended.said());
    }
    let command = Command::new(&world, &["status", "photos.csv", "--json"]);
    let summary = command.with(&service).run().code(3).json();
    let counts = ["done", "failed", "in_doubt", "unanswered", "waiting"].map(|name| &summary[name]);
    assert_eq!(json!(counts), json!([1, 0, 1, 0, 0]), "{summary:#}");
    let money = ["charged_usd", "possibly_charged_usd", "reserved_usd"].map(|name| &summary[name]);
    assert_eq!(json!(money), json!(["0.0031", "0.0031", "0.00"]), "{summary:#}");
    assert_eq!(server.requests().len(), asked, "looking asks the service nothing");
}

#[test]
fn a_run_that_was_slowed_says_so() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(PROBE, Reply::status(404));
    for _ in 0..2 {
        server.add(SUBMIT, Reply::status(429).header("Retry-After", "1"));
    }
    scripted_request(&server, "one", &server.url("/one.png"));
    server.add("GET /one.png", Reply::ok(png(0)));
    world.write("photos.csv", "img\nhttps://example.org/a.png\n");
    let run = || Command::new(&world, &["photos.csv"]).with(&Service::scripted(&server)).run();
    let ended = run().code(0);
    let told = "  pace      2 pauses asked for; submits slowed from 2000 to ";
    assert!(ended.stdout.contains(told), "{}", ended.said());
    let ended = run().code(0);
    assert!(!ended.stdout.contains("  pace "), "nothing slowed this run: {}", ended.said());
}
