//! The test switch does what it says.

use std::time::Duration;

use super::bench::{Bench, KEY, assert_error, settings};
use crate::{
    api::wire::{KEY_HEADER, SUBMIT_PATH},
    core::Micros,
    gateway::{GatewayFaults, GatewaySettings},
};

async fn faulty(faults: GatewayFaults) -> Bench {
    Bench::start(GatewaySettings { faults, record_submits: true, ..settings() }).await
}

/// Sends a submit by hand and returns every byte of the answer.
async fn raw_submit(bench: &Bench, img: &str) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = bench.base.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = format!(r#"{{"img":"{img}"}}"#);
    let request = format!(
        "POST {SUBMIT_PATH} HTTP/1.1\r\nHost: {address}\r\n{KEY_HEADER}: {KEY}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_lost_reply_is_accepted_and_charged_and_not_a_byte_comes_back() {
    let bench = faulty(GatewayFaults { reply_lost: 1.0, ..GatewayFaults::default() }).await;
    let img = bench.img();
    assert_eq!(raw_submit(&bench, &img).await, b"");
    let stats = bench.handle.stats();
    assert_eq!((stats.charged, stats.accepted[&img]), (Micros(3_100), 1));
    // Only that connection is hit.
    assert_eq!(bench.request("GET", "/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_the_fault_the_same_submit_is_answered() {
    let bench = faulty(GatewayFaults::default()).await;
    let img = bench.img();
    assert!(raw_submit(&bench, &img).await.starts_with(b"HTTP/1.1 202 "));
    assert_eq!(bench.handle.stats().accepted[&img], 1);
}

#[tokio::test]
async fn refusals_accept_nothing() {
    let bench = faulty(GatewayFaults { throttled: 1.0, ..GatewayFaults::default() }).await;
    let reply = bench.submit(&bench.img()).await;
    assert_eq!(reply.headers()["retry-after"], "1");
    assert_error(reply, 429, "Too Many Requests").await;
    assert_eq!(bench.handle.stats(), crate::gateway::GatewayStats::default());

    let bench = faulty(GatewayFaults { server_error: 1.0, ..GatewayFaults::default() }).await;
    assert_error(bench.submit(&bench.img()).await, 500, "Internal Server Error").await;
    assert_eq!(bench.handle.stats(), crate::gateway::GatewayStats::default());
}

#[tokio::test]
async fn an_error_by_request_is_refunded() {
    let bench = faulty(GatewayFaults { service_error: 1.0, ..GatewayFaults::default() }).await;
    let id = bench.accepted().await;
    assert_eq!(bench.ended(&id).await["status"], "ERROR");
    assert_eq!(bench.handle.stats().charged, Micros(0));
}

#[tokio::test]
async fn latency_keeps_a_request_in_work() {
    let long = Duration::from_hours(1);
    let bench = faulty(GatewayFaults { latency: long..long, ..GatewayFaults::default() }).await;
    let id = bench.accepted().await;
    bench.until(&id, &["PROCESSING"]).await;
    assert_eq!(bench.handle.stats().processing, 1);
}
