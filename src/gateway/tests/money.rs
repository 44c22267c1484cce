//! What is charged, and what is refused before it is charged.

use std::{num::NonZeroU32, num::NonZeroUsize, sync::Arc, time::Duration};

use governor::Quota;
use serde_json::{Value, json};

use super::bench::{Bench, CrashingEngine, access_key, assert_error, png, settings};
use crate::{
    api::wire::{KEY_HEADER, SUBMIT_PATH},
    core::Micros,
    gateway::GatewaySettings,
    testing::{
        HeldEngine,
        scripted_server::{Reply, ScriptedServer},
    },
};

#[tokio::test]
async fn an_empty_wallet_is_refused_word_for_word() {
    let settings = GatewaySettings { balance: Some(Micros(6_200)), ..settings() };
    let bench = Bench::start(settings).await;
    bench.accepted().await;
    bench.accepted().await;
    let reply = bench.submit(&bench.img()).await;
    assert_eq!(reply.status(), 402);
    let body: Value = reply.json().await.unwrap();
    let documented =
        r#"{"error":"Insufficient Balance","message":"Your wallet does not have enough balance."}"#;
    assert_eq!(body, serde_json::from_str::<Value>(documented).unwrap());
    assert_eq!(bench.handle.stats().charged, Micros(6_200));
}

#[tokio::test]
async fn a_crash_of_the_engine_is_an_error_and_refunded() {
    let settings = GatewaySettings { balance: Some(Micros(3_100)), ..settings() };
    let bench = Bench::with_engine(settings, Arc::new(CrashingEngine::default())).await;
    for _ in 0..2 {
        let id = bench.accepted().await;
        let status = bench.ended(&id).await;
        assert_eq!((&status["status"], &status["output"]), (&"ERROR".into(), &Value::Null));
        assert!(status["completed_at"].is_string(), "{status}");
    }
    let stats = bench.handle.stats();
    assert_eq!((stats.charged, stats.errors), (Micros(0), 2));
}

#[tokio::test]
async fn a_source_that_is_no_picture_fails_with_a_reason_and_is_charged() {
    let bench = Bench::start(settings()).await;
    let sources = ScriptedServer::start(Vec::new())
        .await
        .on("GET /missing", Reply::status(404))
        .on("GET /page", Reply::ok("<html>"))
        .on("GET /broken", Reply::ok(&png()[..40]));
    for (path, reason) in [
        ("/missing?token=SECRET", "answered with HTTP status 404"),
        ("/page", "not a picture"),
        ("/broken", "cut off"),
    ] {
        let reply: Value = bench.submit(&sources.url(path)).await.json().await.unwrap();
        let status = bench.ended(reply["request_id"].as_str().unwrap()).await;
        assert_eq!(status["status"], "FAILED");
        let error = status["error"].as_str().unwrap();
        assert!(error.contains(reason) && !error.contains("SECRET"), "{error}");
    }
    let stats = bench.handle.stats();
    assert_eq!((stats.failed, stats.charged), (3, Micros(9_300)));
}

#[tokio::test]
async fn a_source_that_comes_back_in_time_is_restored() {
    let sources = ScriptedServer::start(Vec::new()).await;
    for reply in [Reply::status(503), Reply::ok(png()).cut_after(10), Reply::ok(png())] {
        sources.add("GET /a", reply);
    }
    let bench = Bench::start(settings()).await;
    let reply: Value = bench.submit(&sources.url("/a")).await.json().await.unwrap();
    let status = bench.ended(reply["request_id"].as_str().unwrap()).await;
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(sources.requests().len(), 3);
    assert_eq!(bench.handle.stats().charged, Micros(3_100));
}

#[tokio::test]
async fn a_source_that_stays_away_is_an_error_and_refunded_and_one_that_says_no_a_failure() {
    let sources = ScriptedServer::start(Vec::new()).await;
    let bench = Bench::start(settings()).await;
    let nobody = "http://127.0.0.1:9/a".to_owned();
    let mut ends = vec![(bench.submit(&nobody).await, "ERROR", 0)];
    for (status, ending, tries) in
        [(500, "ERROR", 3), (408, "ERROR", 3), (429, "ERROR", 3), (403, "FAILED", 1)]
    {
        let path = format!("/{status}?token=SECRET");
        sources.add(&format!("GET /{status}"), Reply::status(status));
        ends.push((bench.submit(&sources.url(&path)).await, ending, tries));
    }
    sources.add("GET /cut", Reply::ok(png()).cut_after(10));
    ends.push((bench.submit(&sources.url("/cut")).await, "ERROR", 3));
    let mut tries = 0;
    for (reply, ending, tried) in ends {
        let reply: Value = reply.json().await.unwrap();
        let status = bench.ended(reply["request_id"].as_str().unwrap()).await;
        assert_eq!(status["status"], ending, "{status}");
        assert!(!status["error"].as_str().unwrap().contains("SECRET"), "{status}");
        tries += tried;
    }
    assert_eq!(sources.requests().len(), tries);
    let stats = bench.handle.stats();
    assert_eq!((stats.failed, stats.errors, stats.charged), (1, 5, Micros(3_100)));
}

#[tokio::test]
async fn a_pause_before_the_next_try_holds_up_no_end_and_no_memory() {
    let sources = ScriptedServer::start(Vec::new()).await.on("GET /a", Reply::status(503));
    let source_pauses = vec![Duration::from_hours(1)];
    let workers = NonZeroUsize::new(2).unwrap();
    let settings = GatewaySettings { source_pauses, workers, memory_pixels: 1, ..settings() };
    let mut bench = Bench::start(settings).await;
    let reply: Value = bench.submit(&sources.url("/a")).await.json().await.unwrap();
    let id = reply["request_id"].as_str().unwrap();
    sources.received(1).await;
    let other = bench.accepted().await;
    assert_eq!(bench.ended(&other).await["status"], "COMPLETED");
    assert_eq!(bench.status(id).await["status"], "PROCESSING");
    bench.shutdown.cancel();
    (&mut bench.served).await.unwrap();
    assert_eq!(bench.handle.stats().queued, 1);
}

#[tokio::test]
async fn a_result_that_would_be_too_large_is_refused_before_it_is_begun() {
    // Whatever is begun ends as ERROR.
    let engine = CrashingEngine { limit: 24 * 4 - 1 };
    let bench = Bench::with_engine(settings(), Arc::new(engine)).await;
    let id = bench.accepted().await;
    let status = bench.ended(&id).await;
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(status["error"].as_str().unwrap().contains("limit of 95 pixels"), "{status}");
    assert_eq!(bench.handle.shared.requests.starts(&id), Some(0));
}

#[tokio::test]
async fn private_sources_are_not_fetched_unless_allowed() {
    let bench = Bench::start(GatewaySettings { allow_private: false, ..settings() }).await;
    let sources = ScriptedServer::start(Vec::new()).await;
    let literal = sources.url("/a");
    assert_error(bench.submit(&literal).await, 400, "Bad Request").await;
    assert_eq!(bench.handle.stats().charged, Micros(0));
    // What a name leads to is seen only when it is opened.
    let named = literal.replace("127.0.0.1", "localhost");
    let reply: Value = bench.submit(&named).await.json().await.unwrap();
    let status = bench.ended(reply["request_id"].as_str().unwrap()).await;
    assert_eq!(status["status"], "FAILED");
    assert_eq!(sources.requests(), []);
}

#[tokio::test]
async fn submitting_too_fast_is_refused_for_a_while() {
    let hourly = Quota::with_period(Duration::from_hours(1)).unwrap();
    let quota = hourly.allow_burst(NonZeroU32::new(2).unwrap());
    let bench = Bench::start(GatewaySettings { submit_rate: Some(quota), ..settings() }).await;
    bench.accepted().await;
    bench.accepted().await;
    let reply = bench.submit(&bench.img()).await;
    let pause: u64 = reply.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&pause), "{pause}");
    assert_error(reply, 429, "Too Many Requests").await;
    assert_eq!(bench.handle.stats().charged, Micros(6_200));
}

#[tokio::test]
async fn one_account_can_neither_fill_the_queue_nor_hold_up_the_others() {
    let keys = ["greedy", "modest"].map(|name| access_key(name, name)).into();
    let (workers, queue_length) = (NonZeroUsize::MIN, NonZeroUsize::new(8).unwrap());
    let settings = GatewaySettings { keys, workers, queue_length, ..settings() };
    let engine = Arc::new(HeldEngine::default());
    let bench = Bench::with_engine(settings, Arc::clone(&engine) as _).await;
    let img = bench.img();
    let submit = async |key: &str| {
        let submit = bench.request("POST", SUBMIT_PATH).header(KEY_HEADER, key);
        submit.json(&json!({ "img": img })).send().await.unwrap()
    };
    // One is worked on, and half of the places are taken.
    assert_eq!(submit("greedy").await.status(), 202);
    while bench.handle.stats().processing == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for _ in 0..4 {
        assert_eq!(submit("greedy").await.status(), 202);
    }
    let refused = submit("greedy").await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_error(refused, 429, "Too Many Requests").await;
    let modest: Value = submit("modest").await.json().await.unwrap();
    let modest = modest["request_id"].as_str().unwrap();
    // The one that is worked on, one of the greedy account's, and then its turn.
    engine.let_pass(3);
    while bench.handle.stats().completed < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let booked = bench.handle.shared.requests.booked();
    let booked = booked.iter().find(|request| request.request_id == modest).unwrap();
    assert_eq!(booked.status, "COMPLETED");
}

#[tokio::test]
async fn a_full_queue_is_refused_and_free() {
    let one = NonZeroUsize::MIN;
    let settings = GatewaySettings { workers: one, queue_length: one, ..settings() };
    let engine = Arc::new(HeldEngine::default());
    let bench = Bench::with_engine(settings, Arc::clone(&engine) as _).await;
    let worked_on = bench.accepted().await;
    bench.until(&worked_on, &["PROCESSING"]).await;
    let waiting = bench.accepted().await;
    let reply = bench.submit(&bench.img()).await;
    assert!(reply.headers().contains_key("retry-after"));
    assert_error(reply, 429, "Too Many Requests").await;
    assert_eq!(bench.handle.stats().charged, Micros(6_200));
    engine.let_all_pass();
    assert_eq!(bench.ended(&waiting).await["status"], "COMPLETED");
    bench.accepted().await;
}
