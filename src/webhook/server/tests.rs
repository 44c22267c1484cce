//! The receiver on a real socket: what it hears, what it refuses, and how it ends.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};

use super::*;
use crate::{
    core::{Callback, CallbackSecret, ItemId, RequestId},
    webhook::router,
};

const SECRET: CallbackSecret = CallbackSecret::new([1; 32]);

struct Served {
    address: SocketAddr,
    callbacks: mpsc::Receiver<Callback>,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

async fn serve(queue: usize) -> Served {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = WebhookServer::bind(any).await.unwrap();
    let (sender, callbacks) = mpsc::channel(queue);
    let (address, stop) = (server.local_addr(), CancellationToken::new());
    let task = tokio::spawn(server.serve(router(SECRET, sender), stop.clone()));
    Served { address, callbacks, stop, task }
}

impl Served {
    /// Sends these bytes and returns everything that comes back, without the date.
    async fn say(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may have heard enough before everything is sent.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        answer.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        self.say(format!("{head}{body}").as_bytes()).await
    }
}

fn genuine() -> String {
    format!("/any/prefix/{}", SECRET.segment(ItemId(7), 2))
}

#[tokio::test]
async fn genuine_callbacks_arrive_and_every_address_answers_alike() {
    let mut served = serve(8).await;
    let named = r#"{"request_id":"r7","status":"COMPLETED"}"#;
    let answer = served.post(&genuine(), named).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\nconnection: close\ncontent-length: 0\n");
    for (path, body) in [
        (genuine(), "no JSON"),
        (format!("/{}", CallbackSecret::new([2; 32]).segment(ItemId(7), 2)), named),
        ("/hooks/7-2-00000000000000000000000000000000".into(), named),
        ("/hooks/".into(), named),
        ("/%FF".into(), named),
        (format!("/{}", "x".repeat(2_000)), named),
    ] {
        assert_eq!(served.post(&path, body).await, answer, "{path}");
    }
    let request_id = Some(RequestId("r7".into()));
    let heard = Callback { item: ItemId(7), attempt: 2, request_id };
    assert_eq!(served.callbacks.recv().await, Some(heard.clone()));
    let nameless = Callback { request_id: None, ..heard };
    assert_eq!(served.callbacks.recv().await, Some(nameless));
    assert!(served.callbacks.try_recv().is_err(), "the others were forged");
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_not_handed_on() {
    let mut served = serve(8).await;
    let long = "x".repeat(65 << 10);
    let answer = served.post(&genuine(), &long).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = served.post("/unknown", &long).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let chunked = format!("POST {} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", genuine());
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(20);
    let answer = served.say((chunked + &chunk).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    // Headers without end are cut off, whatever is answered.
    let header = format!("x: {}\r\n", "x".repeat(8 << 10));
    let endless = format!("POST {} HTTP/1.1\r\n{}", genuine(), header.repeat(200));
    let answer = served.say(endless.as_bytes()).await;
    assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(served.callbacks.try_recv().is_err());
}

#[tokio::test]
async fn when_there_is_no_room_the_service_is_to_call_again() {
    let mut served = serve(1).await;
    let body = r#"{"request_id":"r7"}"#;
    assert!(served.post(&genuine(), body).await.starts_with("HTTP/1.1 200 "));
    for path in [genuine(), "/unknown".into()] {
        let answer = served.post(&path, body).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("retry-after: 10"), "{answer}");
    }
    served.callbacks.recv().await.unwrap();
    assert!(served.post(&genuine(), body).await.starts_with("HTTP/1.1 200 "));
    // The run is over.
    served.callbacks.close();
    assert!(served.post(&genuine(), body).await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn it_stops_though_somebody_says_nothing() {
    let served = serve(1).await;
    let silent = TcpStream::connect(served.address).await.unwrap();
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"POST /a HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    // Both were accepted when a third has its answer.
    served.post("/b", "").await;
    served.stop.cancel();
    served.task.await.unwrap().unwrap();
    drop((silent, slow));
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_taken_address_is_an_error() {
    let served = serve(1).await;
    let error = WebhookServer::bind(served.address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
