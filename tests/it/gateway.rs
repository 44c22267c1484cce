//! `restore-batch gateway` and `gateway-key` as an operator meets them.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{Command, Photos, Running, World};

const SERVING: &str = "serving the API at ";

const KEY_HEADER: &str = "Ocp-Apim-Subscription-Key";

/// Starts a gateway and returns it with its root.
fn gateway<'a>(world: &'a World, words: &[&str]) -> (Running<'a>, String) {
    let command = Command::new(world, &["gateway", "--listen=127.0.0.1:0", "--allow-private"]);
    let running = command.args(words.iter().copied()).start();
    running.says(SERVING);
    let said = running.stderr();
    let root = said.split(SERVING).nth(1).unwrap().lines().next().unwrap();
    let root = root.trim_end_matches('/').to_owned();
    (running, root)
}

fn submit(world: &World, root: &str, key: &str, img: &str) -> (StatusCode, Value) {
    world.block_on(async {
        let client = Client::builder().no_proxy().build().unwrap();
        let submit = client.post(format!("{root}/gfpgan/v1/gfpgan/generate"));
        let reply = submit.header(KEY_HEADER, key).json(&json!({ "img": img })).send();
        let reply = reply.await.unwrap();
        (reply.status(), reply.json().await.unwrap())
    })
}

fn status(world: &World, root: &str, key: &str, id: &str) -> Value {
    world.block_on(async {
        let client = Client::builder().no_proxy().build().unwrap();
        let status = client.get(format!("{root}/v2/requests/status/{id}"));
        status.header(KEY_HEADER, key).send().await.unwrap().json().await.unwrap()
    })
}

/// Polls until the request has ended.
fn ended(world: &World, root: &str, key: &str, id: &str) -> Value {
    loop {
        let seen = status(world, root, key, id);
        if !seen["completed_at"].is_null() {
            return seen;
        }
    }
}

#[test]
fn a_key_is_made_used_and_stays_nowhere() {
    let world = World::new();
    let photos = Photos::start(&world, 1);
    let made = Command::new(&world, &["gateway-key", "scanner-room", "--file=keys.toml"]);
    let made = made.run().code(0);
    let key = made.stdout.trim();
    let file = world.read("keys.toml");
    assert!(file.contains("name = \"scanner-room\"") && !file.contains(key), "{file}");
    Command::new(&world, &["gateway-key", "scanner-room", "--file=keys.toml"]).run().code(6);

    let (running, root) = gateway(&world, &["--keys=keys.toml", "--state=state"]);
    assert_eq!(submit(&world, &root, "wrong", &photos.url(0)).0, 401);
    let (code, reply) = submit(&world, &root, key, &photos.url(0));
    assert_eq!(code, 202, "{reply}");
    let id = reply["request_id"].as_str().unwrap();
    let seen = ended(&world, &root, key, id);
    assert_eq!(seen["status"], "COMPLETED", "{seen}");
    running.end("TERM");
    for file in ["state/gateway.db", "keys.toml"] {
        let bytes = std::fs::read(world.path(file)).unwrap();
        assert!(!bytes.windows(key.len()).any(|part| part == key.as_bytes()), "{file}");
    }

    let (_running, root) = gateway(&world, &["--keys=keys.toml", "--state=state"]);
    assert_eq!(status(&world, &root, key, id), with_root(&seen, &root));
}

/// The addresses in a status follow the gateway, which listens on another port now.
fn with_root(seen: &Value, root: &str) -> Value {
    let mut seen = seen.clone();
    let id = seen["request_id"].as_str().unwrap();
    seen["output"]["media_url"] = json!([format!("{root}/media/{id}/output.png")]);
    seen
}

#[test]
fn a_key_that_exists_is_hashed_from_standard_input() {
    let world = World::new();
    let made = Command::new(&world, &["gateway-key", "old", "--stdin"]).stdin("old-key\n").run();
    let made = made.code(0);
    let hash = blake3::hash(b"old-key").to_hex();
    let entry = format!("[[key]]\nname = \"old\"\nblake3 = \"{hash}\"\nwebhook_secret = \"whsec_");
    assert!(made.stdout.starts_with(&entry), "{}", made.stdout);
    assert!(!made.stderr.contains("old-key"), "{}", made.said());
    Command::new(&world, &["gateway-key", "old", "--stdin"]).stdin("\n").run().code(6);
}

#[test]
fn plain_keys_are_refused_with_the_way_out_and_not_repeated() {
    let world = World::new();
    world.write("keys", "s3cret\n");
    world.write("keys.toml", "[[key]]\nname = 'a'\nkey = 's3cret'\n");
    for (file, expected) in [
        ("keys", "`keys` line 1: no `[[key]]` entry"),
        ("keys.toml", "`keys.toml` line 3: a plain"),
    ] {
        let ended = Command::new(&world, &["gateway", "--state=state", "--keys", file]).run();
        let ended = ended.code(6);
        assert!(ended.stderr.contains(expected), "{}", ended.said());
        assert!(ended.stderr.contains("restore-batch gateway-key NAME"), "{}", ended.said());
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.said());
    }
}

#[test]
fn its_state_is_in_the_home_folder_and_belongs_to_one_gateway() {
    let world = World::new();
    let (_running, _) = gateway(&world, &[]);
    assert!(world.home().join(".local/share/restore-batch/gateway/gateway.db").exists());
    let second = Command::new(&world, &["gateway", "--listen=127.0.0.1:0"]).run().code(7);
    assert!(second.stderr.contains("is in use by another gateway"), "{}", second.said());
    let other = world.path("other");
    let command = Command::new(&world, &["gateway", "--listen=127.0.0.1:0"]);
    let elsewhere = command.env("XDG_DATA_HOME", &other).start();
    elsewhere.says(SERVING);
    assert!(other.join("restore-batch/gateway/gateway.db").exists());
}
