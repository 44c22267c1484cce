//! Telling the end to whoever asked for it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::Response;
use secrecy::SecretString;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::bench::{Bench, CrashingEngine, KEY, assert_error, settings};
use crate::{
    api::wire::{SUBMIT_PATH, WEBHOOK_HEADER},
    gateway::{AccessKey, GatewaySettings},
    testing::scripted_server::{RecordedRequest, Reply, ScriptedServer},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Settings with pauses that a test can wait for.
fn quick(pauses: usize) -> GatewaySettings {
    GatewaySettings { callback_pauses: vec![Duration::from_millis(2); pauses], ..settings() }
}

async fn submit(bench: &Bench, img: &str, hook: &str) -> Response {
    let submit = bench.post(SUBMIT_PATH).header(WEBHOOK_HEADER, hook);
    submit.json(&json!({ "img": img })).send().await.unwrap()
}

async fn accepted(bench: &Bench, img: &str, hook: &str) -> String {
    let reply = submit(bench, img, hook).await;
    assert_eq!(reply.status(), 202);
    let reply: Value = reply.json().await.unwrap();
    reply["request_id"].as_str().unwrap().to_owned()
}

fn told(request: &RecordedRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Waits until a callback is settled, and returns how often it was tried in vain.
async fn settled(bench: &Bench, id: &str) -> u32 {
    bench.ended(id).await;
    loop {
        if let Some(attempts) = bench.handle.shared.requests.settled_callback(id) {
            return attempts;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_end_is_told_in_the_words_of_the_status() {
    let hooks = ScriptedServer::start(Vec::new()).await.on("POST /hook", Reply::status(204));
    hooks.add("GET /missing.png", Reply::status(404));
    let hook = hooks.url("/hook?token=a%2Fb");
    let bench = Bench::start(quick(1)).await;
    let missing = hooks.url("/missing.png");
    let crashing = Bench::with_engine(quick(1), Arc::new(CrashingEngine::default())).await;
    for (bench, img, expected) in [
        (&bench, bench.img(), "COMPLETED"),
        (&bench, missing, "FAILED"),
        (&crashing, crashing.img(), "ERROR"),
    ] {
        let id = accepted(bench, &img, &hook).await;
        assert_eq!(settled(bench, &id).await, 0);
        let calls = hooks.requests();
        let call = calls.iter().rfind(|request| request.method == "POST").unwrap();
        assert_eq!(call.target, "/hook?token=a%2Fb");
        assert_eq!(told(call), bench.status(&id).await);
        assert_eq!(told(call)["status"], expected);
        assert_eq!(call.header("content-type"), Some("application/json"));
        assert_eq!(call.header("webhook-signature"), None, "there is no secret");
    }
    let calls = hooks.requests().into_iter().filter(|request| request.method == "POST");
    assert_eq!(calls.count(), 3, "once each");
}

#[tokio::test]
async fn it_is_signed_with_the_secret_of_the_account() {
    let hooks = ScriptedServer::start(Vec::new()).await.on("POST /hook", Reply::status(200));
    let secret = Some(SecretString::from(SECRET));
    let key = AccessKey::new("signed", &SecretString::from(KEY));
    let keys = vec![AccessKey { webhook_secret: secret, ..key }];
    let bench = Bench::start(GatewaySettings { keys, ..quick(1) }).await;
    let id = accepted(&bench, &bench.img(), &hooks.url("/hook")).await;
    settled(&bench, &id).await;
    let call = hooks.requests().remove(0);
    let headers = call
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()));
    Webhook::new(SECRET).unwrap().verify(&call.body, &headers.collect()).unwrap();
    assert_eq!(call.header("webhook-id"), Some(id.as_str()));
}

#[tokio::test]
async fn it_comes_again_until_it_is_received_or_not_wanted() {
    let hooks = ScriptedServer::start(Vec::new()).await;
    let moved = Reply::redirect(hooks.url("/elsewhere"));
    for reply in [Reply::status(500), Reply::close(), moved, Reply::status(204)] {
        hooks.add("POST /late", reply);
    }
    for reply in [Reply::status(404), Reply::status(410)] {
        hooks.add("POST /gone", reply);
    }
    hooks.add("POST /never", Reply::status(503));
    let bench = Bench::start(quick(4)).await;
    for (path, calls, failed) in [("/late", 4, 3), ("/gone", 2, 2), ("/never", 5, 5)] {
        let id = accepted(&bench, &bench.img(), &hooks.url(path)).await;
        assert_eq!(settled(&bench, &id).await, failed, "{path}");
        let mut made = hooks.requests();
        made.retain(|request| request.path() == path);
        assert_eq!(made.len(), calls, "{path}");
        assert!(made.iter().all(|call| call.body == made[0].body), "{path}");
    }
    assert!(hooks.requests().iter().all(|request| request.path() != "/elsewhere"));
}

#[tokio::test]
async fn private_addresses_are_not_called_unless_that_is_allowed() {
    let hooks = ScriptedServer::start(Vec::new()).await;
    let bench = Bench::start(GatewaySettings { allow_private: false, ..quick(4) }).await;
    let img = "http://localhost:9/a.png";
    let literal = hooks.url("/hook");
    assert_error(submit(&bench, img, &literal).await, 400, "Bad Request").await;
    assert_eq!(bench.handle.stats().charged.0, 0);
    // What a name leads to is seen when it is called, and that is not tried again.
    let id = accepted(&bench, img, &literal.replace("127.0.0.1", "localhost")).await;
    assert_eq!(settled(&bench, &id).await, 1);
    assert_eq!(hooks.requests(), []);
}

#[tokio::test]
async fn a_host_that_does_not_answer_holds_up_nobody_else() {
    let silent = ScriptedServer::start_at(Ipv4Addr::new(127, 0, 0, 2).into(), Vec::new()).await;
    silent.add("POST /hook", Reply::hang());
    let hooks = ScriptedServer::start(Vec::new()).await.on("POST /hook", Reply::status(204));
    let bench = Bench::start(quick(4)).await;
    let img = bench.img();
    for _ in 0..80 {
        accepted(&bench, &img, &silent.url("/hook")).await;
    }
    silent.received(2).await;
    let id = accepted(&bench, &img, &hooks.url("/hook")).await;
    assert_eq!(settled(&bench, &id).await, 0);
    assert_eq!(silent.requests().len(), 2, "its share of the places");
}

#[tokio::test]
async fn a_restart_forgets_none_and_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let state = Some(folder.path().to_owned());
    let hooks = ScriptedServer::start(Vec::new()).await;
    hooks.add("POST /hook", Reply::status(500));
    hooks.add("POST /hook", Reply::status(204));
    let long = vec![Duration::from_hours(1)];
    let first = GatewaySettings { state: state.clone(), callback_pauses: long, ..settings() };
    let mut bench = Bench::start(first).await;
    let id = accepted(&bench, &bench.img(), &hooks.url("/hook")).await;
    bench.ended(&id).await;
    let requests = |bench: &Bench| Arc::clone(&bench.handle.shared);
    while requests(&bench).requests.callback_attempts(&id) != Some(1) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bench.shutdown.cancel();
    (&mut bench.served).await.unwrap();
    drop(bench);

    let bench = Bench::start(GatewaySettings { state, ..quick(4) }).await;
    // The hour is still to come; a test does not wait for it.
    bench.handle.shared.callback_failed(&id, Some(Timestamp::now())).await;
    assert_eq!(settled(&bench, &id).await, 2);
    let calls = hooks.requests();
    assert_eq!(calls.len(), 2);
    assert_eq!(told(&calls[1])["request_id"], id.as_str());
    // The address may be another after a restart; nothing else is.
    assert_eq!(told(&calls[0])["completed_at"], told(&calls[1])["completed_at"]);
}
