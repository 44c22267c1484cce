//! What the service's page promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, KEY, access_key, assert_error, settings};
use crate::{
    api::wire::{KEY_HEADER, STATUS_PATH, SUBMIT_PATH},
    gateway::{Gateway, GatewaySettings, media::media_path, routes::public_routes},
    testing::HeldEngine,
};

#[tokio::test]
async fn a_round_trip_gives_the_restored_picture() {
    let bench = Bench::start(settings()).await;
    let reply = bench.submit(&bench.img()).await;
    assert_eq!(reply.status(), 202);
    let reply: Value = reply.json().await.unwrap();
    let id = reply["request_id"].as_str().unwrap();
    let polling_url = format!("{}{STATUS_PATH}{id}", bench.base);
    assert_eq!(reply, json!({ "request_id": id, "status": "QUEUED", "polling_url": polling_url }));

    let status = bench.ended(id).await;
    let media_url = format!("{}/media/{id}/output.png", bench.base);
    let report = &status["report"];
    assert!(report["steps"].is_array() && report["seconds"].is_f64(), "{report}");
    let times = ["created_at", "updated_at", "completed_at"].map(|name| status[name].clone());
    assert_eq!(
        status,
        json!({
            "request_id": id,
            "status": "COMPLETED",
            "model_id": "instant",
            "error": null,
            "output": { "media_url": [media_url], "media_type": "image/png" },
            "created_at": times[0],
            "updated_at": times[1],
            "completed_at": times[2],
            "report": {
                "engine": "instant",
                "models": [],
                "noise": 0.0,
                "steps": report["steps"],
                "faces": 0,
                "sharpened": [],
                "seconds": report["seconds"],
            },
        })
    );
    for time in &times {
        let time = time.as_str().unwrap();
        assert_eq!(time.len(), "2026-03-31T10:00:00.000Z".len(), "{time}");
        time.parse::<Timestamp>().unwrap();
    }
    assert!(times[0].as_str() <= times[2].as_str(), "{times:?}");

    // Without a key, like the client that must not send it there.
    let media = bench.request("GET", &format!("/media/{id}/output.png")).send().await.unwrap();
    assert_eq!(media.status(), 200);
    let media = media.bytes().await.unwrap();
    let restored = image::load_from_memory(&media).unwrap();
    assert_eq!((restored.width(), restored.height()), (12, 8));
}

#[tokio::test]
async fn a_request_is_seen_waiting_and_in_work() {
    let engine = Arc::new(HeldEngine::default());
    let settings = GatewaySettings { workers: NonZeroUsize::MIN, ..settings() };
    let bench = Bench::with_engine(settings, Arc::clone(&engine) as _).await;
    let first = bench.accepted().await;
    let seen = bench.until(&first, &["PROCESSING"]).await;
    assert_eq!((&seen["output"], &seen["completed_at"]), (&Value::Null, &Value::Null));
    let second = bench.accepted().await;
    assert_eq!(bench.status(&second).await["status"], "QUEUED");
    engine.let_all_pass();
    assert_eq!(bench.ended(&first).await["status"], "COMPLETED");
    assert_eq!(bench.ended(&second).await["status"], "COMPLETED");
}

#[tokio::test]
async fn errors_have_the_documented_shape() {
    let bench = Bench::start(settings()).await;
    let good = json!({ "img": "http://127.0.0.1:9/a" });
    let submit = || bench.post(SUBMIT_PATH);

    let reply = submit().json(&json!({ "scale": 2 })).send().await.unwrap();
    assert_error(reply, 400, "Bad Request").await;
    let reply = submit().json(&json!({ "img": "a.jpg" })).send().await.unwrap();
    assert_error(reply, 400, "Bad Request").await;
    let reply = submit().header("Content-Type", "application/json").body("{").send().await.unwrap();
    assert_error(reply, 400, "Bad Request").await;
    let reply = submit().body(good.to_string()).send().await.unwrap();
    assert_error(reply, 415, "Unsupported Media Type").await;
    let huge = json!({ "img": "http://127.0.0.1:9/a", "padding": "x".repeat(70_000) });
    let reply = submit().json(&huge).send().await.unwrap();
    assert_error(reply, 413, "Payload Too Large").await;

    let reply = bench.request("POST", SUBMIT_PATH).json(&good).send().await.unwrap();
    assert_error(reply, 401, "Unauthorized").await;
    let wrong = bench.request("POST", SUBMIT_PATH).header(KEY_HEADER, "wrong").json(&good);
    assert_error(wrong.send().await.unwrap(), 401, "Unauthorized").await;
    let unnamed = bench.request("POST", SUBMIT_PATH).json(&good).send().await.unwrap();
    assert!(unnamed.headers()["www-authenticate"].to_str().unwrap().contains(KEY_HEADER));
    let status = bench.request("GET", &format!("{STATUS_PATH}gfpgan_x"));
    assert_error(status.send().await.unwrap(), 401, "Unauthorized").await;

    let names = ["gfpgan_x", "%ff", "%00", "%2e%2e%2fx", "ü", "%C3%BC", "x%zz"];
    let known =
        names.map(|name| [format!("{STATUS_PATH}{name}"), format!("/media/{name}/output.png")]);
    let others = ["/", "/gfpgan", "/gfpgan/%ff", STATUS_PATH, "//healthz", "/healthz/"];
    for path in known.iter().flatten().map(String::as_str).chain(others) {
        assert_error(bench.get(path).send().await.unwrap(), 404, "Not Found").await;
    }
    let reply = bench.get(SUBMIT_PATH).send().await.unwrap();
    assert_eq!(reply.headers()["allow"], "POST");
    assert_error(reply, 405, "Method Not Allowed").await;
    let reply = bench.post(&format!("{STATUS_PATH}gfpgan_x")).send().await.unwrap();
    assert_error(reply, 405, "Method Not Allowed").await;
    assert_eq!(bench.handle.stats().charged.0, 0);
}

#[tokio::test]
async fn a_body_that_is_far_too_large_gets_its_answer() {
    let bench = Bench::start(settings()).await;
    let huge = json!({ "img": "http://127.0.0.1:9/a", "padding": "x".repeat(5 << 20) });
    let reply = bench.post(SUBMIT_PATH).json(&huge).send().await.unwrap();
    assert_error(reply, 413, "Payload Too Large").await;
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_left() {
    let bench = Bench::start(settings()).await;
    let address = bench.base.strip_prefix("http://").unwrap();
    let head = |line: &str, header: &str| format!("{line} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n");
    for (sent, expected) in [
        ("GARBAGE\r\n\r\n".to_owned(), "400"),
        (head("GET /healthz", "a b: c"), "400"),
        (head("GET /healthz", &format!("x: {}", "y".repeat(1 << 20))), "431"),
        (head(&format!("GET /{}", "x".repeat(70_000)), "x: y"), "414"),
        (head("GET /healthz", "connection: close"), "200"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(sent.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{answer}");
    }
}

#[tokio::test]
async fn every_answer_says_that_its_type_is_meant_and_that_it_is_for_now() {
    let bench = Bench::start(settings()).await;
    let id = bench.accepted().await;
    bench.ended(&id).await;
    let media = format!("/media/{id}/output.png");
    for path in [&media, "/", "/healthz", "/openapi.json", SUBMIT_PATH, STATUS_PATH] {
        let reply = bench.request("GET", path).send().await.unwrap();
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff", "{path}");
        let cached = reply.headers()["cache-control"] != "no-store";
        assert_eq!(cached, *path == media, "{path}");
    }
}

#[tokio::test]
async fn the_document_describes_the_routes_that_there_are() {
    let bench = Bench::start(settings()).await;
    let reply = bench.request("GET", "/openapi.json").send().await.unwrap();
    assert_eq!(reply.headers()["content-type"], "application/json");
    let document: Value = reply.json().await.unwrap();
    assert_eq!(document["servers"], json!([{ "url": bench.base }]));
    let mut described = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys().map(|method| method.to_uppercase());
        described.insert(path.clone(), methods.collect::<BTreeSet<_>>());
    }
    let mut there = BTreeMap::new();
    for (path, _) in public_routes(&bench.base) {
        let reply = bench.request("PATCH", &path).send().await.unwrap();
        let allow = reply.headers()["allow"].to_str().unwrap().to_owned();
        assert_error(reply, 405, "Method Not Allowed").await;
        // Whoever answers GET answers HEAD.
        let methods = allow.split(',').map(|method| method.trim().to_owned());
        there.insert(path, methods.filter(|method| method != "HEAD").collect());
    }
    assert_eq!(described, there);
}

#[tokio::test]
async fn a_request_is_unknown_to_other_keys() {
    let mut settings = settings();
    settings.keys.push(access_key("other", "other"));
    let bench = Bench::start(settings).await;
    let id = bench.accepted().await;
    let path = format!("{STATUS_PATH}{id}");
    let other = bench.request("GET", &path).header(KEY_HEADER, "other").send().await.unwrap();
    assert_error(other, 404, "Not Found").await;
    let own = bench.request("GET", &path).header(KEY_HEADER, KEY).send().await.unwrap();
    assert_eq!(own.status(), 200);
}

#[tokio::test]
async fn it_says_that_it_is_alive() {
    let bench = Bench::start(settings()).await;
    let reply = bench.request("GET", "/healthz").send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.json::<Value>().await.unwrap(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn addresses_follow_the_public_base_url() {
    let mut settings = settings();
    settings.base_url = Some("https://restore.example.org/api/".parse().unwrap());
    let gateway = Gateway::bind(settings, Arc::new(HeldEngine::default()));
    let gateway = gateway.await.unwrap();
    let listens = format!("http://{}", gateway.local_addr());
    let shared = Arc::clone(&gateway.handle().shared);
    let stop = CancellationToken::new();
    let served = tokio::spawn(gateway.serve(stop.clone()));
    let reply: Value = reqwest::Client::new()
        .post(format!("{listens}{SUBMIT_PATH}"))
        .header(KEY_HEADER, KEY)
        .json(&json!({ "img": "http://127.0.0.1:9/a" }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let polling_url = reply["polling_url"].as_str().unwrap();
    let expected = format!("https://restore.example.org/api{STATUS_PATH}gfpgan_");
    assert!(polling_url.starts_with(&expected), "{polling_url}");
    let media = shared.url(&media_path("gfpgan_x"));
    assert_eq!(media, "https://restore.example.org/api/media/gfpgan_x/output.png");
    stop.cancel();
    served.await.unwrap();
}
