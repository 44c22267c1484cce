//! The service that the clients talk to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::Result;

/// Most bytes of one request: its head, and a body that names one picture.
const LONGEST_REQUEST: usize = 16 << 10;

/// A service that does no work: every request is accepted, every status is COMPLETED, and
/// every picture is the same one, from memory.
///
/// It reads no more of HTTP than the clients write, because what it costs is taken
/// from the processors that they share with it.
struct Instant {
    base_url: String,
    picture: Vec<u8>,
    accepted: AtomicU64,
}

/// Serves `picture` on loopback until the process ends; `started` hears the address.
pub(super) async fn instant(picture: Vec<u8>, started: impl FnOnce(&str)) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base_url = format!("http://{}", listener.local_addr()?);
    started(&base_url);
    let service = Arc::new(Instant { base_url, picture, accepted: AtomicU64::new(0) });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        // A client that goes away ends its connection, and that is all.
        tokio::spawn(async move { drop(service.serve(stream).await) });
    }
}

impl Instant {
    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut received = Vec::with_capacity(LONGEST_REQUEST);
        loop {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            while let Some((line, length)) = first_request(&received) {
                let (status, body) = self.answer(line);
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.as_ref().len());
                received.drain(..length);
                match body {
                    Body::Text(text) => stream.write_all((head + &text).as_bytes()).await?,
                    Body::Picture(picture) => {
                        stream.write_all(head.as_bytes()).await?;
                        stream.write_all(picture).await?;
                    }
                }
            }
            if received.len() > LONGEST_REQUEST {
                return Err("a request is too long".into());
            }
        }
    }

    /// Answers by the first words of the request line.
    fn answer(&self, line: &str) -> (&'static str, Body<'_>) {
        let base = &self.base_url;
        if line.starts_with("POST /gfpgan/v1/gfpgan/generate ") {
            let id = self.accepted.fetch_add(1, Ordering::Relaxed);
            let body = format!(
                r#"{{"request_id":"gfpgan_{id}","status":"QUEUED","polling_url":"{base}/v2/requests/status/gfpgan_{id}"}}"#
            );
            return ("202 Accepted", Body::Text(body));
        }
        if line.starts_with("GET /media/") {
            return ("200 OK", Body::Picture(&self.picture));
        }
        let asked =
            line.strip_prefix("GET /v2/requests/status/").and_then(|rest| rest.split(' ').next());
        match asked {
            Some(id) if id.starts_with("gfpgan_") => {
                let body = format!(
                    r#"{{"request_id":"{id}","status":"COMPLETED","model_id":"gfpgan","error":null,"output":{{"media_url":["{base}/media/{id}.png"],"media_type":"image/png"}},"created_at":"2026-03-31T10:00:00.000Z","updated_at":"2026-03-31T10:00:00.000Z","completed_at":"2026-03-31T10:00:00.000Z"}}"#
                );
                ("200 OK", Body::Text(body))
            }
            _ => ("404 Not Found", Body::Text("{}".to_owned())),
        }
    }
}

enum Body<'a> {
    Text(String),
    Picture(&'a [u8]),
}

impl AsRef<[u8]> for Body<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Picture(picture) => picture,
        }
    }
}

/// Returns the request line and the length of the first request, once all of it is there.
fn first_request(received: &[u8]) -> Option<(&str, usize)> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..end]).ok()?;
    let (line, fields) = head.split_once("\r\n")?;
    let length = fields
        .lines()
        .filter_map(|field| field.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.parse().ok())
        .unwrap_or(0);
    (received.len() >= end + length).then_some((line, end + length))
}
