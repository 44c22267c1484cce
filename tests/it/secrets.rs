//! The key is nowhere but in requests to the service itself.

use std::fs;

use restore_batch::testing::scripted_server::{RecordedRequest, Reply, ScriptedServer};

use super::support::{
    Command, Ended, KEY, PROBE, SUBMIT, Service, World, all_files, png, scripted_request,
    scripted_status, visible_files,
};

/// Stands in a signed address; such addresses are keys themselves.
const SIGNATURE: &str = "signature-9f2c-must-not-be-told";

/// A host that is not the service: whoever listens there must never see the key.
fn second_host() -> std::net::IpAddr {
    [127, 0, 0, 2].into()
}

fn holds(content: &[u8], secret: &str) -> bool {
    content.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// A service that accepts the first photo and refuses the second. It names another host
/// for the status, and one for the picture.
fn service_that_names_strangers(world: &World) -> (ScriptedServer, ScriptedServer) {
    let server = world.block_on(ScriptedServer::start(vec![]));
    let other = world.block_on(ScriptedServer::start_at(second_host(), vec![]));
    server.add(PROBE, Reply::status(404));
    let polling_url = other.url("/v2/requests/status/one");
    let accepted =
        format!(r#"{{"request_id":"one","status":"QUEUED","polling_url":"{polling_url}"}}"#);
    server.add(SUBMIT, Reply::json(202, &accepted));
    let error = r#"{"error":"Bad Request","message":"no such picture"}"#;
    server.add(SUBMIT, Reply::json(400, error));
    let media = other.url(&format!("/moved.png?X-Signature={SIGNATURE}"));
    scripted_request(&server, "one", &media);
    other.add("GET /moved.png", Reply::redirect(format!("/one.png?X-Signature={SIGNATURE}")));
    other.add("GET /one.png", Reply::ok(png(0)).stall_after(20));
    other.add("GET /one.png", Reply::ok(png(0)));
    (server, other)
}

/// Checks that neither the key nor a signed address was said, nor the key written.
#[track_caller]
fn nothing_was_told(world: &World, commands: &[&Ended]) {
    for said in commands {
        assert!(!holds(said.said().as_bytes(), KEY), "{}", said.said());
        assert!(!holds(said.said().as_bytes(), SIGNATURE), "{}", said.said());
    }
    let files = all_files(&world.path("photos.restored"));
    for name in ["results.csv", "failures.csv", "ledger.db", "lock", "manifest"] {
        assert!(files.iter().any(|path| path.ends_with(name)), "no {name} in {files:?}");
    }
    for path in files {
        assert!(!holds(&fs::read(&path).unwrap(), KEY), "{}", path.display());
    }
}

/// Checks that every request to the service carried the key, and none to anybody else.
#[track_caller]
fn only_the_service_saw_the_key(server: &ScriptedServer, other: &ScriptedServer) {
    assert!(
        server.requests().iter().all(|one| one.header("Ocp-Apim-Subscription-Key") == Some(KEY))
    );
    let strangers = other.requests();
    assert!(strangers.len() >= 4, "{strangers:?}");
    for request in &strangers {
        assert!(!holds(format!("{request:?}").as_bytes(), KEY), "{request:?}");
        assert!(!request.path().contains("status"), "{request:?}");
        let names = ["authorization", "cookie", "referer", "ocp-apim-subscription-key"];
        assert!(names.iter().all(|name| request.header(name).is_none()), "{request:?}");
    }
}

#[test]
fn the_key_goes_to_the_service_and_nowhere_else() {
    let world = World::new();
    let (server, other) = service_that_names_strangers(&world);
    let manifest = format!(
        "img\nhttps://example.org/a.png?s={SIGNATURE}\nhttps://example.org/b.png?s={SIGNATURE}\n"
    );
    world.write("photos.csv", manifest);
    world.write("key", format!("{KEY}\n"));
    let words = ["photos.csv", "--in-flight=1", "--log=trace", "--log-format=json"];
    let command = || {
        let command = Command::new(&world, &words).with(&Service::scripted(&server));
        command.env("PIXAZO_API_KEY", "").args(["--api-key-file=key"])
    };

    let running = command().start();
    world.until("the download", || {
        let asked = other.requests();
        if asked.iter().any(|one| one.path() == "/one.png") { Ok(()) } else { Err(asked) }
    });
    running.says("failed: ");
    let proc = |name: &str| fs::read(format!("/proc/{}/{name}", running.pid())).unwrap();
    assert!(!holds(&proc("cmdline"), KEY) && !holds(&proc("environ"), KEY));
    let killed = running.kill();
    let ended = command().run().code(3);
    let checked = Command::new(&world, &["check", "photos.csv", "--show"]);
    let checked = checked.with(&Service::scripted(&server)).run().code(0);

    nothing_was_told(&world, &[&killed, &ended, &checked]);
    assert!(holds(killed.stderr.as_bytes(), "\"level\":\"TRACE\""), "nothing was traced");
    assert_eq!(visible_files(&world.path("photos.restored/images")).len(), 1);
    only_the_service_saw_the_key(&server, &other);
}

#[test]
fn the_key_does_not_follow_a_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let world = World::new();
        let server = world.block_on(ScriptedServer::start(vec![]));
        let other = world.block_on(ScriptedServer::start_at(second_host(), vec![]));
        let to = |path: &str| Reply::status(status).header("Location", other.url(path));
        server.add(PROBE, Reply::status(404));
        server.add_about(SUBMIT, "/refused.png", to("/submit"));
        server.add_about(SUBMIT, "/a.png", Reply::json(202, r#"{"request_id":"one"}"#));
        server.add("GET /v2/requests/status/one", to("/status"));
        scripted_status(&server, "one", &server.url("/one.png"));
        server.add("GET /one.png", to("/one.png"));
        other.add("GET /one.png", Reply::ok(png(0)));
        world.write(
            "photos.csv",
            "img\nhttps://example.org/a.png\nhttps://example.org/refused.png\n",
        );
        let command = Command::new(&world, &["photos.csv", "--in-flight=1"]);
        command.with(&Service::scripted(&server)).run().code(4);
        // The picture came from there, asked for without the key; nothing else did.
        let strangers = other.requests();
        let paths: Vec<_> = strangers.iter().map(RecordedRequest::path).collect();
        assert_eq!(paths, ["/one.png"], "{status}");
        assert!(!holds(format!("{strangers:?}").as_bytes(), KEY), "{strangers:?}");
        assert_eq!(visible_files(&world.path("photos.restored/images")).len(), 1, "{status}");
    }
}

/// Names a proxy in every way that an environment can.
fn through<'a>(proxy: &ScriptedServer, command: Command<'a>) -> Command<'a> {
    let names =
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    names.into_iter().fold(command, |command, name| command.env(name, proxy.url("/")))
}

/// Proxies of the environment are for the service alone, and only through https: then
/// they carry what they cannot read.
#[test]
fn no_proxy_sees_the_key_or_a_picture() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    let proxy = world.block_on(ScriptedServer::start_at(second_host(), vec![]));
    server.add(PROBE, Reply::status(404));
    scripted_request(&server, "one", &server.url("/one.png"));
    server.add("GET /one.png", Reply::ok(png(0)));
    world.write("photos.csv", "img\nhttps://example.org/a.png\n");
    let command = Command::new(&world, &["photos.csv"]).with(&Service::scripted(&server));
    through(&proxy, command).run().code(0);
    assert_eq!(proxy.requests(), []);

    // Plain http to another host goes there directly, or not at all.
    let check = |base: &str| {
        let words = ["check", "photos.csv", "--base-url", base, "--connect-timeout=2s"];
        let command = Command::new(&world, &words).env("PIXAZO_API_KEY", KEY);
        through(&proxy, command).run().code(8)
    };
    check("http://service.invalid/");
    assert_eq!(proxy.requests(), []);
    check("https://service.invalid/");
    let asked = proxy.requests();
    assert!(!asked.is_empty());
    for request in asked {
        assert_eq!((&*request.method, &*request.target), ("CONNECT", "service.invalid:443"));
        assert!(!holds(format!("{request:?}").as_bytes(), KEY), "{request:?}");
    }
}

/// A manifest may come from somebody else, and a settings file with it.
#[test]
fn a_file_beside_the_manifest_cannot_take_the_key_elsewhere() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    fs::create_dir_all(world.home().join(".pixazo")).unwrap();
    fs::write(world.home().join(".pixazo/api-key"), KEY).unwrap();
    world.write("photos.csv", "img\nhttps://example.org/a.png\n");
    world.write("restore-batch.toml", format!("base_url = '{}'\n", server.url("/")));
    for words in [&["photos.csv"][..], &["check", "photos.csv"]] {
        let ended = Command::new(&world, words).run().code(6);
        assert!(ended.stderr.contains("cannot send your API key"), "{}", ended.said());
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());

    // An exported key was not named for this manifest.
    Command::new(&world, &["check", "photos.csv"]).env("PIXAZO_API_KEY", KEY).run().code(6);
    assert!(server.requests().is_empty(), "{:?}", server.requests());

    // With a key that was named for it, the user has decided.
    server.add(PROBE, Reply::status(404));
    let words = ["check", "photos.csv", "--api-key-file"];
    let file = world.home().join(".pixazo/api-key").display().to_string();
    Command::new(&world, &[&words[..], &[&file]].concat()).run().code(0);
    assert_eq!(server.requests().len(), 1);

    // Not so for callbacks, which carry no key.
    world.write("restore-batch.toml", "webhook_url = 'https://hooks.example.org'\n");
    let ended = Command::new(&world, &["photos.csv", "--base-url", &server.url("/")])
        .env("PIXAZO_API_KEY", KEY)
        .run()
        .code(6);
    assert!(ended.stderr.contains("the addresses of your restored photos"), "{}", ended.said());
    assert!(ended.stderr.contains("--webhook-url"), "{}", ended.said());
    assert_eq!(server.requests().len(), 1);
}
