//! The test switch does what it says.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::bench::{Bench, KEY, assert_error, settings};
use crate::{
    api::wire::{KEY_HEADER, STATUS_PATH, SUBMIT_PATH},
    core::Micros,
    gateway::{BookedRequest, GatewayFaults, GatewaySettings, GatewayStats},
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
    assert_eq!(bench.handle.stats(), GatewayStats::default());

    let bench = faulty(GatewayFaults { server_error: 1.0, ..GatewayFaults::default() }).await;
    assert_error(bench.submit(&bench.img()).await, 500, "Internal Server Error").await;
    assert_eq!(bench.handle.stats(), GatewayStats::default());
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

#[tokio::test]
async fn an_outage_and_a_reset_accept_nothing() {
    let bench = faulty(GatewayFaults { unavailable: 1.0, ..GatewayFaults::default() }).await;
    assert_error(bench.submit(&bench.img()).await, 503, "Service Unavailable").await;
    assert_eq!(bench.handle.stats(), GatewayStats::default());

    let bench = faulty(GatewayFaults { reset: 1.0, ..GatewayFaults::default() }).await;
    assert_eq!(raw_submit(&bench, &bench.img()).await, b"");
    assert_eq!(bench.handle.stats(), GatewayStats::default());
}

#[tokio::test]
async fn a_malformed_reply_is_accepted_and_no_json() {
    let bench = faulty(GatewayFaults { malformed: 1.0, ..GatewayFaults::default() }).await;
    let img = bench.img();
    let reply = bench.submit(&img).await;
    assert_eq!(reply.status(), 202);
    assert!(reply.json::<Value>().await.is_err());
    assert_eq!(bench.handle.stats().accepted[&img], 1);
}

#[tokio::test]
async fn a_slow_reply_is_accepted_before_it_is_answered() {
    let slow_for = Duration::from_hours(1);
    let faults = GatewayFaults { slow_reply: 1.0, slow_for, ..GatewayFaults::default() };
    let bench = Arc::new(faulty(faults).await);
    let img = bench.img();
    let (other, sent) = (Arc::clone(&bench), img.clone());
    let waiting = tokio::spawn(async move { other.submit(&sent).await });
    while bench.handle.stats().accepted.get(&img) != Some(&1) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn failed_by_request_is_charged() {
    let bench = faulty(GatewayFaults { failed: 1.0, ..GatewayFaults::default() }).await;
    let id = bench.accepted().await;
    assert_eq!(bench.ended(&id).await["error"], "failed, by request");
    assert_eq!(bench.handle.stats().charged, Micros(3_100));
}

#[tokio::test]
async fn a_fresh_request_is_unknown_once() {
    let bench = faulty(GatewayFaults { early_unknown: 1.0, ..GatewayFaults::default() }).await;
    let id = bench.accepted().await;
    let path = format!("{STATUS_PATH}{id}");
    assert_error(bench.get(&path).send().await.unwrap(), 404, "Not Found").await;
    assert_eq!(bench.ended(&id).await["status"], "COMPLETED");
}

#[tokio::test]
async fn a_result_comes_late_once() {
    let bench = faulty(GatewayFaults { late_media: 1.0, ..GatewayFaults::default() }).await;
    let id = bench.accepted().await;
    assert_eq!(bench.ended(&id).await["output"], Value::Null);
    assert!(bench.status(&id).await["output"]["media_url"][0].is_string());
}

#[tokio::test]
async fn downloads_are_refused_or_cut_once() {
    let faults = GatewayFaults { media_expired: 1.0, media_cut: 1.0, ..GatewayFaults::default() };
    let bench = faulty(faults).await;
    let id = bench.accepted().await;
    bench.ended(&id).await;
    let download = || bench.request("GET", &format!("/media/{id}/output.png")).send();
    assert_error(download().await.unwrap(), 403, "Forbidden").await;
    let cut = download().await.unwrap();
    assert_eq!(cut.status(), 200);
    let announced = cut.content_length().unwrap();
    assert!(cut.bytes().await.is_err());
    let whole = download().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len() as u64, announced);
    assert_eq!(bench.handle.stats().downloads, 3);
}

#[tokio::test]
async fn the_books_are_shown_only_with_the_switch() {
    let bench = faulty(GatewayFaults::default()).await;
    let id = bench.accepted().await;
    bench.ended(&id).await;
    let get = async |path: &str| bench.request("GET", path).send().await.unwrap();
    let stats: GatewayStats = get("/faults/stats").await.json().await.unwrap();
    assert_eq!(stats, bench.handle.stats());
    assert!(stats.polls > 0);
    let books: Vec<BookedRequest> = get("/faults/books").await.json().await.unwrap();
    assert_eq!((books.len(), &books[0].request_id), (1, &id));
    assert_eq!(books[0].status, "COMPLETED");

    let silent = Bench::start(settings()).await;
    for path in ["/faults/stats", "/faults/books"] {
        assert_error(silent.request("GET", path).send().await.unwrap(), 404, "Not Found").await;
    }
}
