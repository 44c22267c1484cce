//! The service calls back: a photo in doubt is healed, a poll is brought forward, and
//! whoever guesses or shouts changes nothing.

use std::{fmt::Write as _, fs, net::SocketAddr, sync::Arc};

use restore_batch::{
    gateway::AccessKey,
    testing::scripted_server::{RecordedRequest, Reply, ScriptedServer},
};
use secrecy::SecretString;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

use super::support::{
    Command, KEY, PROBE, Photos, Running, SUBMIT, Service, World, audit, png, redact,
};

/// What the service is told; nobody listens there, and the test knows where to call.
const ROOT: &str = "http://127.0.0.1:1/hooks";

/// A service that answers as each test says; `/photo.png` is every result.
fn service(world: &World) -> ScriptedServer {
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add(PROBE, Reply::status(404));
    server.add("GET /photo.png", Reply::ok(png(0)));
    server
}

fn queued(id: &str) -> Reply {
    Reply::json(200, &json!({ "request_id": id, "status": "QUEUED" }).to_string())
}

fn accepted(id: &str) -> Reply {
    Reply::json(202, &json!({ "request_id": id, "status": "QUEUED" }).to_string())
}

/// Says from now on that a request is done.
fn complete(server: &ScriptedServer, id: &str) {
    let output = json!({ "media_url": [server.url("/photo.png")] });
    let done = json!({ "request_id": id, "status": "COMPLETED", "output": output });
    server.add(&format!("GET /v2/requests/status/{id}"), Reply::json(200, &done.to_string()));
}

fn photos(world: &World, count: usize) {
    let mut rows = "img,number\n".to_owned();
    for number in 0..count {
        writeln!(rows, "https://example.org/{number}.png,{number}").unwrap();
    }
    world.write("photos.csv", rows);
}

/// A run that is called back; nothing is polled again within the time of a test.
fn command<'a>(world: &'a World, server: &ScriptedServer, words: &[&str]) -> Command<'a> {
    let root = format!("--webhook-url={ROOT}");
    let fixed = ["photos.csv", &root, "--webhook-listen=127.0.0.1:0", "--log=trace"];
    Command::new(world, &[&fixed, words].concat())
        .with(&Service::scripted(server))
        .args(["--log-format=json"])
        .env("RESTORE_BATCH_MAX_POLL_INTERVAL", "20m")
}

/// Returns where the run receives callbacks.
fn receiver(world: &World, running: &Running<'_>) -> SocketAddr {
    world.until("the receiver", || {
        let said = running.stderr();
        let line = said.lines().find(|line| line.contains("callbacks are received"));
        let address = line.and_then(|line| line.split("\"address\":\"").nth(1)?.split('"').next());
        address.and_then(|address| address.parse().ok()).ok_or(said)
    })
}

/// Returns the submits, once there are so many.
fn submits(world: &World, server: &ScriptedServer, count: usize) -> Vec<RecordedRequest> {
    world.until("the submits", || {
        let mut requests = server.requests();
        requests.retain(|request| request.method == "POST");
        if requests.len() >= count { Ok(requests) } else { Err(requests) }
    })
}

/// Returns the path of the callback that a submit asks for.
fn path(submit: &RecordedRequest) -> String {
    let address = submit.header("X-Webhook-URL").expect("a callback is asked for");
    let segment = address.strip_prefix(ROOT).expect("below the root");
    assert_eq!(segment.rsplit('-').next().map(str::len), Some(32), "{segment}");
    format!("/behind/a/proxy{segment}")
}

/// Calls back, and returns the status of the answer.
fn call(world: &World, receiver: SocketAddr, path: &str, body: &str) -> u16 {
    world.block_on(async {
        let mut stream = TcpStream::connect(receiver).await.unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        // Too long a body is refused before it was sent.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        answer.split(' ').nth(1).expect(&answer).parse().unwrap()
    })
}

fn body(id: &str) -> String {
    // Seen in the wild: in lower case, with more than the page says.
    json!({ "request_id": id, "status": "completed", "output": null, "more": [1] }).to_string()
}

#[test]
fn a_photo_in_doubt_is_healed_and_paid_for_once() {
    let world = World::new();
    let server = service(&world);
    server.add(SUBMIT, Reply::close());
    complete(&server, "one");
    photos(&world, 1);
    let running = command(&world, &server, &["--json"]).start();
    let receiver = receiver(&world, &running);
    let submit = path(&submits(&world, &server, 1)[0]);
    running.says("in doubt: https://example.org/0.png");
    assert_eq!(call(&world, receiver, &submit, &body("one")), 200);
    let ended = running.wait().code(0);

    let summary = ended.json();
    let money = ["done", "in_doubt", "charged_usd", "possibly_charged_usd", "reserved_usd"];
    assert_eq!(json!(money.map(|name| &summary[name])), json!([1, 0, "0.0031", "0.00", "0.00"]));
    assert_eq!(submits(&world, &server, 1).len(), 1, "never again by itself");
    assert!(ended.stderr.contains("no longer in doubt"), "{}", ended.said());
    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(1), (1, 0));
    assert_eq!(found.results.column("request_id"), ["one"]);
    assert_eq!(found.results.column("cost_usd"), ["0.0031"]);

    // The address is a key: it is told to the service and to nobody else.
    let secret = submit.rsplit('-').next().unwrap();
    assert!(ended.stderr.contains("\"level\":\"TRACE\""), "nothing was traced");
    assert!(!ended.said().contains(secret), "{}", ended.said());
    for name in ["results.csv", "failures.csv", ".restore-batch/ledger.db"] {
        let content = fs::read(world.path("photos.restored").join(name)).unwrap();
        assert!(!content.windows(32).any(|window| window == secret.as_bytes()), "{name}");
    }
}

#[test]
fn whoever_guesses_or_shouts_changes_nothing_and_a_signal_ends_the_wait() {
    let world = World::new();
    let server = service(&world);
    server.add(SUBMIT, Reply::close());
    complete(&server, "one");
    photos(&world, 1);
    let running = command(&world, &server, &[]).start();
    let receiver = receiver(&world, &running);
    let submit = path(&submits(&world, &server, 1)[0]);
    running.says("in doubt: ");
    let (rest, mac) = submit.rsplit_once('-').unwrap();
    let other_attempt = format!("{}2-{mac}", rest.strip_suffix('1').unwrap());
    let guessed = format!("{rest}-{}", "0".repeat(32));
    let calls = [
        (other_attempt.as_str(), body("one"), 200),
        (&guessed, body("one"), 200),
        ("/hooks", body("one"), 200),
        (&submit, "x".repeat(70_000), 413),
        (&submit, "{}".to_owned(), 200),
        (&submit, body(".."), 200),
    ];
    for (path, body, status) in calls {
        assert_eq!(call(&world, receiver, path, &body), status, "{path}");
    }
    running.signal("TERM");
    running.wait().by_signal(15);

    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(1), (0, 1));
    assert_eq!(found.failures.column("code"), ["in-doubt"]);
    assert_eq!(found.failures.column("charged"), ["possibly 0.0031"]);
    let polled = |request: &RecordedRequest| request.path().ends_with("/one");
    assert!(!server.requests().iter().any(polled), "{:?}", server.requests());
}

#[test]
fn a_callback_may_come_before_the_answer_or_long_before_the_next_poll() {
    let world = World::new();
    let server = service(&world);
    let answer = Arc::new(Notify::new());
    let late = |reply: Reply| reply.drip(1_000, Arc::clone(&answer));
    server.add(SUBMIT, late(accepted("accepted")));
    server.add(SUBMIT, late(accepted("cut").header("Content-Length", "999")));
    server.add(SUBMIT, accepted("waits"));
    for id in ["accepted", "cut", "waits"] {
        complete(&server, id);
    }
    photos(&world, 3);
    let running = command(&world, &server, &["--json"]).start();
    let receiver = receiver(&world, &running);
    let submits = submits(&world, &server, 3);
    for (submit, id) in submits.iter().zip(["accepted", "cut", "waits"]) {
        for _ in 0..2 {
            assert_eq!(call(&world, receiver, &path(submit), &body(id)), 200);
        }
        if id != "waits" {
            answer.notify_one();
        }
    }
    let ended = running.wait().code(0);
    assert_eq!(ended.json()["charged_usd"], "0.0093");
    let doubts = ended.stderr.lines().filter(|line| line.starts_with("in doubt: ")).count();
    assert_eq!(doubts, 0, "it was named at once: {}", ended.said());
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(3), (3, 0));
    for id in ["accepted", "cut", "waits"] {
        let polls = |request: &&RecordedRequest| request.path().ends_with(&format!("/{id}"));
        assert_eq!(server.requests().iter().filter(polls).count(), 1, "{id}");
    }
}

#[test]
fn a_later_run_understands_what_is_said_about_an_earlier_one() {
    let world = World::new();
    let server = service(&world);
    server.add(SUBMIT, Reply::hang());
    server.add(SUBMIT, accepted("second"));
    photos(&world, 2);
    let running = command(&world, &server, &["--in-flight=1"]).start();
    let submit = path(&submits(&world, &server, 1)[0]);
    running.kill();

    // The second photo keeps the run going until the first is healed.
    server.add("GET /v2/requests/status/second", queued("second"));
    complete(&server, "first");
    let again = ["--in-flight=1", "--max-poll-interval=50ms"];
    let running = command(&world, &server, &[]).args(again).start();
    let receiver = receiver(&world, &running);
    submits(&world, &server, 2);
    assert_eq!(call(&world, receiver, &submit, &body("first")), 200);
    running.says("no longer in doubt");
    complete(&server, "second");
    running.wait().code(0);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(2), (2, 0));
    assert_eq!(submits(&world, &server, 2).len(), 2);
}

#[test]
fn an_address_that_is_taken_is_said_before_anything_is_spent() {
    let world = World::new();
    let server = service(&world);
    photos(&world, 1);
    let taken = format!("--webhook-listen={}", server.address());
    let run = |words: &[&str]| {
        let root = format!("--webhook-url={ROOT}");
        Command::new(&world, words).with(&Service::scripted(&server)).args([root]).run()
    };
    for words in [["run", "photos.csv", &taken], ["check", "photos.csv", &taken]] {
        let ended = run(&words).code(6);
        assert!(ended.stderr.contains("cannot be listened on for callbacks"), "{}", ended.said());
        assert!(redact(&world, &ended).contains("--webhook-listen IP:PORT"), "{}", ended.said());
    }
    assert!(server.requests().iter().all(|request| request.method == "GET"));
    let ended = run(&["check", "photos.csv", "--webhook-listen=127.0.0.1:0"]).code(0);
    assert!(ended.stdout.contains(&format!("ok   webhooks    to {ROOT} ")), "{}", ended.said());
}

/// Passes connections on, so that a callback's address can be known before the receiver's.
fn relay(world: &World) -> (SocketAddr, watch::Sender<Option<SocketAddr>>) {
    let (target, known) = watch::channel(None);
    let address = world.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut known = known.clone();
                tokio::spawn(async move {
                    let to = *known.wait_for(Option::is_some).await.ok()?;
                    let mut to = TcpStream::connect(to?).await.ok()?;
                    tokio::io::copy_bidirectional(&mut from, &mut to).await.ok()
                });
            }
        });
        address
    });
    (address, target)
}

#[test]
fn the_project_s_own_gateway_calls_the_project_s_own_run() {
    const SERVING: &str = "serving the API at ";
    let world = World::new();
    let sources = Photos::start(&world, 6);
    world.write("photos.csv", sources.manifest());
    let key = AccessKey::new("tests", &SecretString::from(KEY));
    world.write("keys.toml", key.to_toml());
    // Some answers to submits come long after the callback.
    let faults = "--inject-faults=seed=3,slow-reply=0.5,slow-for=700ms,latency=50ms..400ms";
    let words = ["gateway", "--listen=127.0.0.1:0", "--keys=keys.toml", "--allow-private"];
    let gateway = Command::new(&world, &words).args(["--engine=instant", faults]).start();
    gateway.says(SERVING);
    let said = gateway.stderr();
    let base = said.split(SERVING).nth(1).unwrap().split_whitespace().next().unwrap();

    let (address, target) = relay(&world);
    let root = format!("--webhook-url=http://{address}/hooks");
    let running = Command::new(&world, &["photos.csv", "--json", &root])
        .args(["--webhook-listen=127.0.0.1:0", "--log=debug", "--log-format=json"])
        .args([format!("--base-url={base}")])
        .fast()
        .env("PIXAZO_API_KEY", KEY)
        .env("RESTORE_BATCH_POLL_INTERVAL", "10m")
        .env("RESTORE_BATCH_MAX_POLL_INTERVAL", "20m")
        .start();
    target.send(Some(receiver(&world, &running))).unwrap();
    // Nothing is polled within the time of this test unless a callback asks for it.
    let ended = running.wait().code(0);
    assert_eq!(ended.json()["charged_usd"], "0.0186", "{}", ended.said());
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(6), (6, 0));
    let heard = ended.stderr.matches("the service has called back").count();
    assert!(heard >= 6, "{heard} callbacks: {}", ended.said());
    gateway.end("TERM").code(0);
}
