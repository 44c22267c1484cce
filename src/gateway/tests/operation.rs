//! What whoever operates a gateway meets.

use std::{num::NonZeroUsize, sync::Arc};

use futures::future::join_all;
use http::header::{HOST, ORIGIN};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;

use super::bench::{Bench, assert_error, settings};
use crate::{
    api::wire::{STATUS_PATH, SUBMIT_PATH},
    gateway::GatewaySettings,
    sqlite::reader_options,
    testing::HeldEngine,
};

async fn ready(bench: &Bench) -> (u16, Value) {
    let reply = bench.request("GET", "/readyz").send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

#[tokio::test]
async fn many_who_ask_whether_it_is_ready_cost_one_commit() {
    let bench = Bench::start(settings()).await;
    let answers = join_all((0..20).map(|_| ready(&bench))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    let database = bench.handle.shared.state.folder().join("gateway.db");
    let mut connection = reader_options(&database, "test").connect().await.unwrap();
    let probes = sqlx::query_scalar("SELECT probes FROM probe");
    let probes: i64 = probes.fetch_one(&mut connection).await.unwrap();
    // One every two seconds, which a slow machine may reach.
    assert!((1..20).contains(&probes), "{probes}");
}

#[tokio::test]
async fn a_full_queue_is_told_and_passes() {
    let engine = Arc::new(HeldEngine::default());
    let one = NonZeroUsize::MIN;
    let settings = GatewaySettings { workers: one, queue_length: one, ..settings() };
    let bench = Bench::with_engine(settings, Arc::clone(&engine) as _).await;
    let first = bench.accepted().await;
    bench.until(&first, &["PROCESSING"]).await;
    bench.accepted().await;
    let (status, body) = ready(&bench).await;
    assert_eq!((status, &body["checks"]["queue"]), (200, &"it is full".into()), "{body}");
    assert_error(bench.submit(&bench.img()).await, 429, "Too Many Requests").await;
    engine.let_all_pass();
}

#[tokio::test]
async fn without_keys_no_web_page_is_served() {
    let open = Bench::start(GatewaySettings { keys: Vec::new(), ..settings() }).await;
    let status = format!("{STATUS_PATH}gfpgan_x");
    for (header, value) in [(HOST, "evil.example"), (ORIGIN, "https://evil.example")] {
        for (method, path) in [("POST", SUBMIT_PATH), ("GET", &status), ("GET", "/"), ("PUT", "/")]
        {
            let asked = open.request(method, path).json(&json!({ "img": open.img() }));
            let reply = asked.header(header.clone(), value).send().await.unwrap();
            assert_error(reply, 403, "Forbidden").await;
        }
    }
    open.accepted().await;
    assert_eq!(open.handle.stats().queued + open.handle.stats().processing, 1);
    // A key does the same, and a proxy in front may name any host.
    let bench = Bench::start(settings()).await;
    let asked = bench.post(SUBMIT_PATH).header(HOST, "evil.example");
    let reply = asked.json(&json!({ "img": bench.img() })).send().await.unwrap();
    assert_eq!(reply.status(), 202);
}
