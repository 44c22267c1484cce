//! A job among hostile and broken neighbours: each answer that cannot be used ends its own
//! row, with a reason that names it, and stops no other.

use std::{fmt::Write as _, fs, net::TcpListener, time::Duration};

use insta::assert_snapshot;
use restore_batch::testing::{
    bomb,
    scripted_server::{Reply, ScriptedServer},
};

use super::support::{
    Command, KEY, PROBE, SUBMIT, Service, World, all_files, audit, png, scripted_status,
};

/// Where an endless answer ends by itself: far beyond every limit.
const ENDLESS: u64 = 64 << 20;

/// What the kernel takes of an answer for both sides, though nobody reads it: its largest
/// send buffer is 4 MiB, and a receive buffer grows with what is read.
const SOCKET_BUFFERS: u64 = 16 << 20;

/// Longest answer of the service that is read, as `api::http` has it; heads are shorter.
const LONGEST_ANSWER: u64 = 256 << 10;

/// Longest wait for an answer, in jobs with answers that hang: only those take so long,
/// and a machine that does other things besides does not take it for a good one.
const PATIENCE: &str = "--request-timeout=8s";

/// Time between two bytes of an answer that never ends: no idle timeout notices it.
const DRIP: Duration = Duration::from_millis(20);

/// An address that nobody may connect to. Who did is still in the backlog at the end.
struct Canary(TcpListener);

impl Canary {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Returns the address with `before` in front of the host.
    fn at(&self, before: &str) -> String {
        format!("{before}127.0.0.2:{}/canary", self.port())
    }

    #[track_caller]
    fn was_left_alone(&self) {
        let contact = self.0.accept();
        assert!(contact.is_err(), "somebody came: {contact:?}");
    }
}

/// A service whose answers are scripted for each picture, and the rows of its job.
struct Street {
    service: ScriptedServer,
    cdn: ScriptedServer,
    canary: Canary,
    manifest: String,
    rows: usize,
}

impl Street {
    fn new(world: &World) -> Self {
        let service = world.block_on(ScriptedServer::start(vec![]));
        service.add(PROBE, Reply::status(404));
        let cdn = world.block_on(ScriptedServer::start(vec![]));
        let manifest = "img,number\n".to_owned();
        Self { service, cdn, canary: Canary::listen(), manifest, rows: 0 }
    }

    /// Adds a row; the answer to its submit is `reply`.
    fn submit(&mut self, name: &str, reply: Reply) {
        writeln!(self.manifest, "https://example.org/{name}.png,{}", self.rows).unwrap();
        self.rows += 1;
        self.service.add_about(SUBMIT, &format!("/{name}.png"), reply);
    }

    /// Adds a row that is accepted; `reply` is its status, for ever.
    fn status(&mut self, name: &str, reply: Reply) {
        self.submit(name, accepted(&format!(r#""request_id":"{name}""#)));
        self.service.add(&format!("GET /v2/requests/status/{name}"), reply);
    }

    /// Adds a row that is completed at this address.
    fn media_at(&mut self, name: &str, url: &str) {
        self.submit(name, accepted(&format!(r#""request_id":"{name}""#)));
        scripted_status(&self.service, name, url);
    }

    /// Adds a row that is completed; the download of its picture is answered by `reply`.
    fn media(&mut self, name: &str, reply: Reply) {
        self.cdn.add(&format!("GET /{name}"), reply);
        self.media_at(name, &self.cdn.url(&format!("/{name}")));
    }

    /// Adds a row that becomes what it should.
    fn good(&mut self) {
        let name = format!("good-{}", self.rows);
        self.media(&name, Reply::ok(png(self.rows)));
    }

    fn command<'a>(&self, world: &'a World) -> Command<'a> {
        world.write("photos.csv", &self.manifest);
        let words = ["photos.csv", "--log=info", "--log-format=json"];
        Command::new(world, &words).with(&Service::scripted(&self.service))
    }

    /// Returns a line for each failure: row, code, status, reason.
    fn failures(&self, world: &World) -> String {
        let failures = audit(world, "photos.restored").failures;
        let columns = ["img", "code", "http_status", "reason"].map(|name| failures.column(name));
        let mut lines: Vec<String> = (0..failures.rows.len())
            .map(|row| {
                let [img, code, status, reason] = columns.each_ref().map(|column| column[row]);
                let name = img.trim_start_matches("https://example.org/");
                format!("{name} | {code} | {status} | {reason}")
            })
            .collect();
        lines.sort();
        let text = lines.join("\n");
        let text = text.replace(&self.cdn.address().to_string(), "[CDN]");
        text.replace(&self.canary.port().to_string(), "[PORT]")
    }

    /// Checks that answers without end were not read much further than the limit.
    #[track_caller]
    fn took_no_more_than(&self, limit: u64) {
        let most = self.service.most_taken().max(self.cdn.most_taken());
        let allowed = limit + SOCKET_BUFFERS;
        assert!((1..=allowed).contains(&most), "{most} bytes of an endless answer, not {allowed}");
    }

    /// Checks what holds for every job, whatever the neighbours do.
    #[track_caller]
    fn did_no_harm(&self, world: &World, said: &str) {
        self.canary.was_left_alone();
        let mut there: Vec<_> = fs::read_dir(world.work()).unwrap().collect();
        assert_eq!(there.len(), 2, "the manifest and the job's folder: {there:?}");
        there = fs::read_dir(world.home()).unwrap().collect();
        assert!(there.is_empty(), "{there:?}");
        let harmless = |text: &str| {
            let disturbing =
                |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(disturbing), "{text}");
            assert!(!text.contains(KEY), "{text}");
            assert!(text.lines().all(|line| line.len() < 4_000), "{text:.9000}");
        };
        harmless(said);
        for path in all_files(&world.path("photos.restored")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(path.extension().is_none_or(|kind| kind != "part"), "{}", path.display());
            let content = fs::read(&path).unwrap();
            assert!(!content.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "{name}");
            if path.extension().is_some_and(|kind| kind == "csv") {
                harmless(&String::from_utf8(content).unwrap());
            }
        }
    }
}

fn without_age(line: &str) -> String {
    match line.split_once(" after ").map(|(before, rest)| (before, rest.split_once(" s"))) {
        Some((before, Some((_, rest)))) => format!("{before} after [N] s{rest}"),
        _ => line.to_owned(),
    }
}

fn accepted(fields: &str) -> Reply {
    Reply::json(202, &format!(r#"{{"status":"QUEUED",{fields}}}"#))
}

fn gzip_bomb(status: u16) -> Reply {
    let zeros = bomb::zeros_gzipped(256 << 20);
    Reply::status(status).header("Content-Encoding", "gzip").body(zeros)
}

/// A head that never ends, in four ways, and one that is no head.
fn endless_heads() -> [(&'static str, Reply); 5] {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    [
        ("many-headers", Reply::raw_endless(OK, b"X-A: b\r\n", ENDLESS)),
        ("long-header", Reply::raw_endless(format!("{OK}X-A: "), b"a", ENDLESS)),
        ("long-status", Reply::raw_endless("HTTP/1.1 200 ", b"O", ENDLESS)),
        ("early-hints", Reply::raw_drip(b"HTTP/1.1 103 Early Hints\r\n\r\n", DRIP)),
        ("no-http", Reply::raw("SSH-2.0-OpenSSH_9.6\r\n")),
    ]
}

#[test]
fn a_service_that_answers_submits_badly_loses_no_other_row() {
    let world = World::new();
    let mut street = Street::new(&world);
    let deep = format!(r#"{{"request_id":"deep","x":{}"#, "[".repeat(200_000));
    let mut tricks = vec![
        ("endless", Reply::endless(ENDLESS)),
        ("gzip-bomb", gzip_bomb(202)),
        ("deep-json", Reply::json(202, &deep)),
        ("drip", Reply::status(202).drip_on(DRIP)),
        ("silence", Reply::hang()),
        ("two-ids", accepted(r#""request_id":"a","request_id":"b""#)),
        ("escape-id", accepted(r#""request_id":"a\u001b[2Jb""#)),
        ("turned-id", accepted("\"request_id\":\"a\u{202e}b\"")),
        ("long-id", accepted(&format!(r#""request_id":"{}""#, "x".repeat(300)))),
        ("parent-id", accepted(r#""request_id":"..""#)),
        (
            "bad-chunk",
            Reply::raw("HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ),
        ("short", accepted(r#""request_id":"short""#).header("Content-Length", "9999")),
        ("refused", Reply::json(400, "{\"message\":\"\\u001b[31mno\\r\\n=1+1 \u{202e}\"}")),
        ("refused-bomb", gzip_bomb(422)),
    ];
    tricks.extend(endless_heads());
    for (name, reply) in tricks {
        street.submit(name, reply);
        street.good();
        street.good();
    }
    // Strange names that can be used, and an address for the status that cannot.
    let elsewhere = street.canary.at("http://");
    for (name, id, escaped, polling) in [
        ("path-id", "../../etc/passwd?a#b", "..%2F..%2Fetc%2Fpasswd%3Fa%23b", ""),
        ("device-id", "NUL", "NUL", elsewhere.as_str()),
        ("elsewhere", "elsewhere", "elsewhere", &elsewhere.replace("//", "//user:password@")),
        ("ftp", "ftp", "ftp", &elsewhere.replace("http", "ftp")),
        ("long-poll", "long-poll", "long-poll", &street.service.url(&"/x".repeat(5_000))),
    ] {
        street.submit(name, accepted(&format!(r#""request_id":"{id}","polling_url":"{polling}""#)));
        street.cdn.add(&format!("GET /{name}"), Reply::ok(png(street.rows)));
        scripted_status(&street.service, escaped, &street.cdn.url(&format!("/{name}")));
    }
    let ended = street.command(&world).args([PATIENCE, "--in-flight=8"]).run().code(3);
    street.took_no_more_than(LONGEST_ANSWER);
    street.did_no_harm(&world, &ended.stderr);
    assert_snapshot!(street.failures(&world));
    let (done, failed) = audit(&world, "photos.restored").every_row_ended_once(street.rows);
    assert_eq!((done, failed), (2 * 19 + 5, 19));
}

#[test]
fn a_service_that_tells_the_status_badly_loses_no_other_row() {
    let world = World::new();
    let mut street = Street::new(&world);
    let deep = format!(r#"{{"status":{}"#, "{\"a\":".repeat(200_000));
    let many = vec![street.canary.at("http://"); 5_000].join("\",\"");
    let many = format!(r#"{{"status":"COMPLETED","output":{{"media_url":["{many}"]}}}}"#);
    let mut tricks = vec![
        ("endless", Reply::endless(ENDLESS)),
        ("gzip-bomb", gzip_bomb(200)),
        ("deep-json", Reply::json(200, &deep)),
        ("drip", Reply::ok("{").drip_on(DRIP)),
        ("no-utf-8", Reply::ok(&b"{\"status\":\"\xff\xfe\"}"[..])),
        ("redirect", Reply::redirect(street.canary.at("http://"))),
        ("other-id", Reply::json(200, r#"{"request_id":"another","status":"FAILED"}"#)),
        ("many-pictures", Reply::json(200, &many)),
        ("odd-words", Reply::json(200, "{\"status\":\"\\u001b]0;x\\u0007\u{202e}\"}")),
        ("failed", Reply::json(200, "{\"status\":\"FAILED\",\"error\":\"=1+1\\r\\n\\u001b[2J\"}")),
    ];
    tricks.extend(endless_heads());
    for (name, reply) in tricks {
        street.status(name, reply);
        street.good();
    }
    let words = [PATIENCE, "--deadline=4s"];
    let ended = street.command(&world).args(words).run().code(3);
    street.took_no_more_than(LONGEST_ANSWER);
    street.did_no_harm(&world, &ended.stderr);
    let failures = street.failures(&world);
    // How long an item waited until it was looked at again is up to the scheduler.
    let failures: Vec<_> = failures.lines().map(without_age).collect();
    assert_snapshot!(failures.join("\n"));
    let (done, failed) = audit(&world, "photos.restored").every_row_ended_once(street.rows);
    assert_eq!((done, failed), (15, 15));
}

#[test]
fn pictures_that_are_none_lose_no_other_row() {
    let world = World::new();
    let mut street = Street::new(&world);
    let picture = || Reply::ok(png(1));
    let canary = |before: &str| street.canary.at(before);
    let redirects = [
        ("to-ftp", Reply::redirect(canary("ftp://"))),
        ("to-user", Reply::redirect(canary("http://user:password@"))),
        ("to-file", Reply::redirect("file:///etc/passwd")),
        ("to-long", Reply::redirect(format!("/{}", "x".repeat(70_000)))),
        ("to-itself", Reply::redirect("/to-itself")),
        ("to-nowhere", Reply::status(301)),
    ];
    let addresses = [
        ("file", "file:///etc/passwd".to_owned()),
        ("ftp", canary("ftp://")),
        ("data", "data:image/png;base64,iVBORw0KGgo=".to_owned()),
        ("script", "javascript:alert(1)".to_owned()),
        ("user", canary("http://user:password@")),
        ("words", "\\u001b[2J ../../etc/passwd\\u0000\u{202e}".to_owned()),
        ("long", format!("http://127.0.0.1:1/{}", "x%2e/".repeat(20_000))),
    ];
    let bodies = [
        ("endless", Reply::endless(ENDLESS)),
        ("claims-much", picture().header("Content-Length", "9999999999")),
        ("packed", gzip_bomb(200)),
        ("odd-coding", picture().header("Content-Encoding", "z".repeat(2_000))),
        ("not-modified", Reply::status(304)),
        ("huge", Reply::ok(bomb::black_png(9_000, 9_000))),
        ("huge-claim", Reply::ok(bomb::png_with(0x7fff_ffff, 0x7fff_ffff, b"", b"x"))),
        ("no-pixels", Reply::ok(bomb::png_with(9, 9, b"", &bomb::zeros_zlib(9)))),
        ("damaged", Reply::ok([&b"BM"[..], &[0xff; 200]].concat())),
        ("svg", Reply::ok([&b"\0\0\0\x20ftypavif"[..], &[0; 40]].concat())),
    ];
    for (name, reply) in redirects.into_iter().chain(bodies) {
        street.media(name, reply);
        street.good();
    }
    for (name, url) in addresses {
        street.media_at(name, &url);
        street.good();
    }
    // Wrong in what they say of themselves, and whole pictures nevertheless.
    let html = |reply: Reply| reply.header("Content-Type", "text/html");
    street.media("called-html", html(picture()));
    street.media("profile-bomb", Reply::ok(bomb::png_with_profile(100 << 20)));
    street.media("more-data", Reply::ok(bomb::png_with(2, 1, b"", &bomb::zeros_zlib(64 << 20))));
    // What may be better the next time is asked for again, and again. No more than four:
    // a fifth at a time would be an outage.
    street.media("page", Reply::ok("<html>\x1b[2J Busy\u{202e}</html>"));
    street.media("cut", Reply::ok(&png(1)[..60]));
    street.media("drip", Reply::ok(&png(1)[..9]).drip_on(DRIP));
    street.media("early-hints", endless_heads()[3].1.clone());
    let words = ["--max-media-bytes=1MiB", "--max-pixels=1000000", "--download-timeout=2s"];
    let ended = street.command(&world).args(words).args(["--downloads=32"]).run().code(3);
    street.took_no_more_than(1 << 20);
    street.did_no_harm(&world, &ended.stderr);
    assert_snapshot!(street.failures(&world));
    let (done, failed) = audit(&world, "photos.restored").every_row_ended_once(street.rows);
    assert_eq!((done, failed), (23 + 3, 23 + 4));
}

/// Without `--allow-private` nobody makes this program look around in its own network.
#[test]
fn no_address_form_leads_into_this_network() {
    let world = World::new();
    let mut street = Street::new(&world);
    let port = street.canary.port();
    for (name, host) in [
        ("dotted", "127.0.0.2"),
        ("short", "127.2"),
        ("number", "2130706434"),
        ("hexadecimal", "0x7f000002"),
        ("octal", "0177.0.0.2"),
        ("mapped", "[::ffff:127.0.0.2]"),
        ("mapped-hexadecimal", "[::ffff:7f00:2]"),
        ("compatible", "[::127.0.0.2]"),
        ("nat64", "[64:ff9b::127.0.0.2]"),
        ("loopback-6", "[::1]"),
        ("any", "0.0.0.0"),
        ("any-6", "[::]"),
        ("wide", "１２７.0.0.2"),
        ("name", "localhost"),
        ("metadata", "169.254.169.254"),
    ] {
        street.media_at(name, &format!("http://{host}:{port}/latest/meta-data"));
    }
    let command = street.command(&world).env("RESTORE_BATCH_ALLOW_PRIVATE", "false");
    let ended = command.run().code(3);
    street.did_no_harm(&world, &ended.stderr);
    let failures = street.failures(&world);
    assert_eq!(failures.matches(" | media-blocked | ").count(), street.rows, "{failures}");
}
