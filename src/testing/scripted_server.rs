//! An HTTP server that answers from a script, correctly or not.
//!
//! It speaks raw TCP, because a well-behaved server library cannot cut a body, lie
//! about its length or close a connection without an answer. It records what it was
//! sent, byte for byte. One connection carries one request.
//!
//! Used by the tests of `fetch`, `api` and `gateway`, and by whole-program tests.

mod reply;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use reply::Delivery;
pub use reply::Reply;

/// Largest request that is read, head and body each, in bytes.
const REQUEST_LIMIT: u64 = 16 << 20;

/// Bytes of an endless answer that are written at once, at least.
const ENDLESS_WRITE: usize = 4096;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// Such as `GET`.
    pub method: String,
    /// Path and query exactly as sent.
    pub target: String,
    /// Names as sent, in order.
    pub headers: Vec<(String, String)>,
    /// The body by its `Content-Length`.
    pub body: Vec<u8>,
    /// When it had come in whole.
    pub at: Instant,
}

impl RecordedRequest {
    /// Returns the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// Returns the target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns the body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Debug, Default)]
struct Script {
    in_order: VecDeque<Reply>,
    by_route: HashMap<String, VecDeque<Reply>>,
    by_word: Vec<(String, String, Reply)>,
    otherwise: Option<Reply>,
    requests: Vec<RecordedRequest>,
}

impl Script {
    /// Records the request and chooses its answer.
    fn answer(&mut self, request: RecordedRequest) -> Reply {
        let route = format!("{} {}", request.method, request.path());
        let body = request.text();
        let about = self.by_word.iter().find(|(on, word, _)| *on == route && body.contains(word));
        let about = about.map(|(_, _, reply)| reply.clone());
        self.requests.push(request);
        if let Some(reply) = about {
            return reply;
        }
        if let Some(replies) = self.by_route.get_mut(&route) {
            let reply =
                if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
            return reply.unwrap_or_else(Reply::close);
        }
        let unscripted = || Reply::status(500).body(format!("`{route}` is not in the script"));
        let otherwise = || self.otherwise.clone().unwrap_or_else(unscripted);
        self.in_order.pop_front().unwrap_or_else(otherwise)
    }
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    received: watch::Sender<usize>,
    /// Most bytes of one endless answer that were taken.
    most_taken: AtomicU64,
    stop: CancellationToken,
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server on a loopback address. It ends when dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl ScriptedServer {
    /// Starts on a free port of 127.0.0.1. Each request that no route of
    /// [`on`](Self::on) matches takes the next of `replies`; after the last the answer
    /// is 500.
    ///
    /// # Panics
    ///
    /// When no port can be opened.
    pub async fn start(replies: Vec<Reply>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), replies).await
    }

    /// Starts on a free port of `address`, such as 127.0.0.2 for a second host.
    ///
    /// # Panics
    ///
    /// When no port can be opened.
    pub async fn start_at(address: IpAddr, replies: Vec<Reply>) -> Self {
        let listener =
            TcpListener::bind((address, 0)).await.expect("a loopback port can be opened");
        let address = listener.local_addr().expect("a listening socket has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Script { in_order: replies.into(), ..Script::default() }),
            received: watch::Sender::new(0),
            most_taken: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    /// Answers requests for `route`, such as `GET /a`, with `reply`. Several replies
    /// for one route are used in order, and the last one again and again. The query is
    /// not compared.
    #[must_use]
    pub fn on(self, route: &str, reply: Reply) -> Self {
        self.add(route, reply);
        self
    }

    /// Does the same as [`on`](Self::on) later, while the server is in use.
    pub fn add(&self, route: &str, reply: Reply) {
        self.shared.script().by_route.entry(route.to_owned()).or_default().push_back(reply);
    }

    /// Answers what is not in the script, instead of with 500.
    pub fn otherwise(&self, reply: Reply) {
        self.shared.script().otherwise = Some(reply);
    }

    /// Answers requests for `route` whose body holds `word` always with `reply`.
    pub fn add_about(&self, route: &str, word: &str, reply: Reply) {
        self.shared.script().by_word.push((route.to_owned(), word.to_owned(), reply));
    }

    /// Returns where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of `path`, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns what has been received so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.script().requests.clone()
    }

    /// Returns how many bytes of an endless answer have been taken, of the one of which
    /// most was: by the client, or by what the kernel buffers for both sides.
    #[must_use]
    pub fn most_taken(&self) -> u64 {
        self.shared.most_taken.load(Ordering::Relaxed)
    }

    /// Waits until at least `count` requests have been received.
    pub async fn received(&self, count: usize) {
        let mut received = self.shared.received.subscribe();
        // The sender lives as long as the server.
        let _ = received.wait_for(|received| *received >= count).await;
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let stop = shared.stop.clone();
            // A client that goes away is no error of the script.
            let _ = stop.run_until_cancelled(serve(stream, &shared)).await;
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read_request(&mut stream).await?;
    let reply = shared.script().answer(request);
    shared.received.send_modify(|received| *received += 1);
    send(&mut stream, &reply, &shared.most_taken).await
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<RecordedRequest> {
    let mut stream = stream.take(REQUEST_LIMIT);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (headers, body, at) = (Vec::new(), Vec::new(), Instant::now());
    let mut request = RecordedRequest { method, target, headers, body, at };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    stream.set_limit(REQUEST_LIMIT);
    request.body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut request.body).await?;
    request.at = Instant::now();
    Ok(request)
}

async fn send(
    stream: &mut BufReader<TcpStream>,
    reply: &Reply,
    most_taken: &AtomicU64,
) -> io::Result<()> {
    match reply.delivery {
        Delivery::Close => return Ok(()),
        Delivery::Hang => return until_closed(stream).await,
        _ => {}
    }
    if !reply.raw {
        stream.write_all(reply.head().as_bytes()).await?;
    }
    match &reply.delivery {
        Delivery::CutAfter(bytes) => stream.write_all(first(&reply.body, *bytes)).await?,
        Delivery::StallAfter(bytes) => {
            stream.write_all(first(&reply.body, *bytes)).await?;
            until_closed(stream).await?;
        }
        Delivery::Drip { step, next } => {
            for part in reply.body.chunks((*step).max(1)) {
                next.notified().await;
                stream.write_all(part).await?;
            }
        }
        Delivery::Endless { limit } => {
            repeat(stream, &reply.body, *limit, most_taken).await?;
        }
        Delivery::EndlessDrip { part, every } => {
            stream.write_all(&reply.body).await?;
            loop {
                tokio::time::sleep(*every).await;
                stream.write_all(part).await?;
            }
        }
        Delivery::Raw { repeated, limit } => {
            stream.write_all(&reply.body).await?;
            repeat(stream, repeated, *limit, most_taken).await?;
        }
        Delivery::Whole | Delivery::Close | Delivery::Hang => stream.write_all(&reply.body).await?,
    }
    stream.shutdown().await
}

/// Sends `part` again and again; `x` where there is none.
async fn repeat(
    stream: &mut BufReader<TcpStream>,
    part: &[u8],
    limit: u64,
    most_taken: &AtomicU64,
) -> io::Result<()> {
    let part = if part.is_empty() { b"x" } else { part };
    let many = part.repeat(ENDLESS_WRITE.div_ceil(part.len()));
    let mut sent = 0;
    while sent < limit {
        stream.write_all(&many).await?;
        sent += many.len() as u64;
        most_taken.fetch_max(sent, Ordering::Relaxed);
    }
    Ok(())
}

fn first(body: &[u8], bytes: usize) -> &[u8] {
    &body[..bytes.min(body.len())]
}

/// Waits for the client to go away; what it still sends is ignored.
async fn until_closed(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut ignored = [0; 256];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    async fn exchange(server: &ScriptedServer, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn records_what_it_was_sent_and_answers_in_order() {
        let server = ScriptedServer::start(vec![Reply::json(202, "{}"), Reply::close()]).await;
        let answer = exchange(
            &server,
            "POST /a?b=%2F HTTP/1.1\r\nX-Test:  1 \r\nContent-Length: 3\r\n\r\nabc",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(answer.ends_with("Content-Length: 2\r\n\r\n{}"), "{answer}");
        assert_eq!(exchange(&server, "GET / HTTP/1.1\r\n\r\n").await, "");
        assert!(exchange(&server, "GET /x HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 500 "));

        let requests = server.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!((requests[0].target.as_str(), requests[0].path()), ("/a?b=%2F", "/a"));
        assert_eq!(requests[0].header("x-test"), Some("1"));
        assert_eq!(requests[0].text(), "abc");
    }

    #[tokio::test]
    async fn routes_come_first_and_their_last_reply_repeats() {
        let server = ScriptedServer::start(vec![Reply::status(418)])
            .await
            .on("GET /a", Reply::status(404))
            .on("GET /a", Reply::ok("there"));
        let get = "GET /a HTTP/1.1\r\n\r\n";
        assert!(exchange(&server, get).await.contains(" 404 "));
        assert!(exchange(&server, get).await.ends_with("there"));
        assert!(exchange(&server, get).await.ends_with("there"));
        assert!(exchange(&server, "POST /a HTTP/1.1\r\n\r\n").await.contains(" 418 "));
    }

    #[tokio::test]
    async fn what_a_request_is_about_comes_before_its_route() {
        let server = ScriptedServer::start(vec![]).await.on("POST /a", Reply::ok("any"));
        server.add_about("POST /a", "cat.png", Reply::raw("not even HTTP"));
        let post = |body: &str| format!("POST /a HTTP/1.1\r\nContent-Length: 7\r\n\r\n{body}");
        assert!(exchange(&server, &post("dog.png")).await.ends_with("\r\n\r\nany"));
        assert_eq!(exchange(&server, &post("cat.png")).await, "not even HTTP");
    }

    #[tokio::test]
    async fn an_endless_head_ends_at_its_limit() {
        let reply = Reply::raw_endless("HTTP/1.1 200 OK\r\n", b"A: b\r\n", 10_000);
        let server = ScriptedServer::start(vec![reply]).await;
        let answer = exchange(&server, "GET / HTTP/1.1\r\n\r\n").await;
        assert!(answer.len() >= 10_000 && answer.ends_with("A: b\r\n"), "{}", answer.len());
        assert_eq!(server.most_taken(), answer.len() as u64 - "HTTP/1.1 200 OK\r\n".len() as u64);
    }

    #[tokio::test]
    async fn a_drip_waits_to_be_asked() {
        let next = Arc::new(Notify::new());
        let reply = Reply::ok("abcd").drip(2, Arc::clone(&next));
        let server = ScriptedServer::start(vec![reply]).await;
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        server.received(1).await;
        let mut seen = Vec::new();
        for expected in ["ab", "abcd"] {
            next.notify_one();
            while !seen.ends_with(expected.as_bytes()) {
                seen.push(stream.read_u8().await.unwrap());
            }
        }
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn it_ends_when_dropped_even_in_the_middle_of_an_answer() {
        let server = ScriptedServer::start(vec![Reply::hang()]).await;
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        server.received(1).await;
        drop(server);
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
