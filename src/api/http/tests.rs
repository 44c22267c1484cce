//! What one call does on the wire, answer by answer, with a server that misbehaves.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    core::RequestId,
    testing::{
        bomb::zeros_gzipped,
        scripted_server::{RecordedRequest, Reply, ScriptedServer},
    },
};

const KEY: &str = "k3y-that-nobody-may-see";
const ACCEPTED: &str = r#"{"request_id":"r1","status":"QUEUED"}"#;
const SUBMIT: &str = "/gfpgan/v1/gfpgan/generate";

fn api_at(base: &str) -> HttpApi {
    HttpApi::new(settings(base)).unwrap()
}

fn settings(base: &str) -> ApiSettings {
    ApiSettings {
        base_url: Url::parse(base).unwrap(),
        key: Some(SecretString::from(KEY)),
        connect_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(20),
    }
}

/// A client that soon stops waiting; only for servers that never answer.
fn impatient(base: &str) -> HttpApi {
    let short = Duration::from_millis(300);
    HttpApi::new(ApiSettings { request_timeout: short, ..settings(base) }).unwrap()
}

fn order() -> SubmitOrder {
    SubmitOrder {
        img: "https://h.org/a?b=1&c=ü".into(),
        scale: 2,
        version: "v1.4".into(),
        webhook: None,
    }
}

fn known(id: &str, polling_url: Option<String>) -> Known {
    Known { request_id: RequestId(id.into()), polling_url }
}

/// The address is a key: what is logged of a request must not show it.
#[tokio::test]
async fn a_callback_is_asked_for_with_its_address() {
    let server = ScriptedServer::start(vec![Reply::status(429), Reply::status(429)]).await;
    let api = api_at(&server.url("/"));
    let webhook = Some("https://me.example/hooks/1-1-abc".to_owned());
    api.submit(&SubmitOrder { webhook, ..order() }).await;
    api.submit(&order()).await;
    let requests = server.requests();
    assert_eq!(requests[0].header("X-Webhook-URL"), Some("https://me.example/hooks/1-1-abc"));
    assert_eq!(requests[1].header("X-Webhook-URL"), None);
    let value = webhook_header("https://me.example/hooks/1-1-abc").unwrap();
    assert!(value.is_sensitive());

    let webhook = Some("https://me.example/\n".to_owned());
    let outcome = api.submit(&SubmitOrder { webhook, ..order() }).await;
    assert!(matches!(outcome, SubmitOutcome::NotSent(_)), "{outcome:?}");
    assert_eq!(server.requests().len(), 2);
}

async fn submit_to(reply: Reply) -> SubmitOutcome {
    let server = ScriptedServer::start(vec![reply]).await;
    let outcome = api_at(&server.url("/")).submit(&order()).await;
    assert_eq!(server.requests().len(), 1, "one call is one request");
    outcome
}

async fn status_of(reply: Reply) -> StatusOutcome {
    let server = ScriptedServer::start(vec![reply]).await;
    let outcome = api_at(&server.url("/")).status(&known("r1", None)).await;
    assert_eq!(server.requests().len(), 1, "one call is one request");
    outcome
}

/// Outcome and HTTP status in one word, to compare whole tables.
fn word(outcome: &SubmitOutcome) -> String {
    let (word, failure) = match outcome {
        SubmitOutcome::Accepted { request_id, .. } => return format!("accepted {request_id}"),
        SubmitOutcome::NotSent(failure) => ("not sent", failure),
        SubmitOutcome::Unavailable { failure, .. } => ("unavailable", failure),
        SubmitOutcome::Throttled { failure, .. } => ("throttled", failure),
        SubmitOutcome::Rejected(failure) => ("rejected", failure),
        SubmitOutcome::Account(failure) => ("account", failure),
        SubmitOutcome::InDoubt(failure) => ("in doubt", failure),
    };
    failure.http_status.map_or(word.to_owned(), |status| format!("{word} {status}"))
}

fn in_doubt_message(outcome: SubmitOutcome) -> String {
    let SubmitOutcome::InDoubt(failure) = outcome else { panic!("{outcome:?}") };
    failure.message
}

fn key_of(request: &RecordedRequest) -> Option<&str> {
    request.header(wire::KEY_HEADER)
}

/// Answers every connection with `answer`, as it is, and closes it.
async fn raw_server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_post(&mut stream).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// Reads one request with a body; `None` when the connection ends before.
async fn read_post(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(bytes) => read.extend_from_slice(&part[..bytes]),
        }
    }
}

#[tokio::test]
async fn a_submit_is_the_documented_request() {
    let server = ScriptedServer::start(vec![Reply::json(202, ACCEPTED)]).await;
    let outcome = api_at(&server.url("")).submit(&order()).await;
    assert_eq!(word(&outcome), "accepted r1");

    let request = server.requests().remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", SUBMIT));
    let values = |name: &str| -> Vec<_> {
        let named = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        request.headers.iter().filter(named).map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(values("content-type"), ["application/json"]);
    assert_eq!(values("cache-control"), ["no-cache"]);
    assert_eq!(values(wire::KEY_HEADER), [KEY]);
    assert_eq!(values("user-agent"), [concat!("restore-batch/", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(values("referer"), [""; 0]);
    assert_eq!(request.text(), r#"{"img":"https://h.org/a?b=1&c=ü","scale":2,"version":"v1.4"}"#);
}

#[tokio::test]
async fn a_status_request_carries_the_key_and_no_body() {
    let reply = r#"{"request_id":"r1","status":"processing"}"#;
    let server = ScriptedServer::start(vec![Reply::json(200, reply)]).await;
    let outcome = api_at(&server.url("/")).status(&known("r1", None)).await;
    assert_eq!(outcome, StatusOutcome::Waiting { word: "processing".into() });
    let request = server.requests().remove(0);
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/v2/requests/status/r1")
    );
    assert_eq!(key_of(&request), Some(KEY));
    assert_eq!(request.body, b"");
}

#[tokio::test]
async fn without_a_key_no_header_is_sent() {
    let server = ScriptedServer::start(vec![Reply::json(202, ACCEPTED)]).await;
    let keyless = ApiSettings { key: None, ..settings(&server.url("/")) };
    HttpApi::new(keyless).unwrap().submit(&order()).await;
    assert_eq!(key_of(&server.requests()[0]), None);
}

#[tokio::test]
async fn paths_are_appended_to_the_base_and_ids_are_escaped() {
    let server = ScriptedServer::start(Vec::new()).await;
    for (base, id, expected) in [
        ("/proxy/root/", "r1", "/proxy/root/v2/requests/status/r1"),
        ("/proxy/root", "r1", "/proxy/root/v2/requests/status/r1"),
        ("/?token=1#x", "r1", "/v2/requests/status/r1"),
        ("/", "a/b?c#d%e f", "/v2/requests/status/a%2Fb%3Fc%23d%25e%20f"),
        ("/", "../../admin", "/v2/requests/status/..%2F..%2Fadmin"),
        ("/", "ü_-.~", "/v2/requests/status/%C3%BC_-.~"),
    ] {
        let api = api_at(&server.url(base));
        api.status(&known(id, None)).await;
        assert_eq!(server.requests().last().unwrap().target, expected, "{base} {id}");
        api.submit(&order()).await;
        let prefix = base.split('?').next().unwrap().trim_end_matches('/');
        assert_eq!(server.requests().last().unwrap().target, format!("{prefix}{SUBMIT}"));
    }
}

#[tokio::test]
async fn was_it_accepted_by_status() {
    let model =
        r#"{"error":"Model not found","message":"Model 'gfpgan' not found or is disabled"}"#;
    for (reply, expected) in [
        (Reply::json(202, ACCEPTED), "accepted r1"),
        (Reply::json(200, ACCEPTED), "accepted r1"),
        (Reply::json(202, "{}"), "in doubt 202"),
        (Reply::status(204), "in doubt 204"),
        (Reply::json(400, r#"{"error":"Bad","message":"no"}"#), "rejected 400"),
        (Reply::json(400, model), "account 400"),
        (Reply::status(401), "account 401"),
        (Reply::status(402), "account 402"),
        (Reply::status(403), "account 403"),
        (Reply::status(404), "account 404"),
        (Reply::status(405), "account 405"),
        (Reply::status(413), "rejected 413"),
        (Reply::status(415), "rejected 415"),
        (Reply::status(422), "rejected 422"),
        (Reply::status(429), "throttled 429"),
        (Reply::status(500), "in doubt 500"),
        (Reply::status(502), "in doubt 502"),
        (Reply::status(503), "unavailable 503"),
        (Reply::status(504), "in doubt 504"),
        (Reply::status(520), "in doubt 520"),
    ] {
        assert_eq!(word(&submit_to(reply).await), expected);
    }
}

#[tokio::test]
async fn a_refused_connection_is_certainly_not_sent() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let api = api_at(&format!("http://{address}"));
    let SubmitOutcome::NotSent(failure) = api.submit(&order()).await else { panic!("was sent") };
    assert!(failure.message.starts_with("no connection"), "{failure}");
    let StatusOutcome::Unavailable(_) = api.status(&known("r1", None)).await else {
        panic!("an answer from nobody")
    };
}

#[tokio::test]
async fn a_failed_tls_handshake_is_certainly_not_sent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let outcome = api_at(&format!("https://{plain}")).submit(&order()).await;
    assert_eq!(word(&outcome), "not sent");

    let silent = ScriptedServer::start(vec![Reply::hang()]).await;
    // Its time to connect is longer than that for the whole request.
    let outcome = impatient(&format!("https://{}", silent.address())).submit(&order()).await;
    assert_eq!(word(&outcome), "not sent");
    assert_eq!(silent.requests(), []);
}

#[tokio::test]
async fn an_answer_that_does_not_come_whole_leaves_doubt() {
    for answer in [
        b"".as_slice(),
        b"HTTP/1.1 202 Acc",
        b"HTTP/1.1 202 Accepted\r\nContent-Le",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 37\r\n\r\n{\"request_id\":\"r1\"",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"req",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 402 Payment Req",
        b"SSH-2.0-server\r\n",
        b"HTTP/1.1 999999 Odd\r\n\r\n",
    ] {
        let address = raw_server(answer).await;
        let outcome = api_at(&format!("http://{address}")).submit(&order()).await;
        assert_eq!(word(&outcome), "in doubt", "{}", String::from_utf8_lossy(answer));
        let SubmitOutcome::InDoubt(failure) = outcome else { unreachable!() };
        assert!(failure.message.starts_with("the connection broke"), "{failure}");
    }
    assert_eq!(word(&submit_to(Reply::close()).await), "in doubt");
    assert_eq!(word(&submit_to(Reply::json(202, ACCEPTED).cut_after(12)).await), "in doubt");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_doubt() {
    for reply in [Reply::hang(), Reply::json(202, ACCEPTED).stall_after(12)] {
        let server = ScriptedServer::start(vec![reply]).await;
        let outcome = impatient(&server.url("/")).submit(&order()).await;
        assert_eq!(in_doubt_message(outcome), "no answer in time");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_is_one_even_when_its_explanation_is_cut() {
    for (status, expected) in [
        (401, "account 401"),
        (402, "account 402"),
        (422, "rejected 422"),
        (429, "throttled 429"),
        (503, "unavailable 503"),
        (500, "in doubt 500"),
    ] {
        let reply = Reply::json(status, r#"{"error":"why"}"#);
        assert_eq!(word(&submit_to(reply.clone().cut_after(3)).await), expected);
        let server = ScriptedServer::start(vec![reply.stall_after(3)]).await;
        assert_eq!(word(&impatient(&server.url("/")).submit(&order()).await), expected);
    }
}

#[tokio::test]
async fn a_pause_is_read_in_both_forms() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let server_date = "Sun, 06 Nov 1994 08:49:30 GMT";
    for (reply, seconds) in [
        (Reply::status(429).header("Retry-After", "120"), Some(120)),
        (Reply::status(429).header("Retry-After", date).header("Date", server_date), Some(7)),
        (Reply::status(503).header("Retry-After", "120"), Some(120)),
        (Reply::status(503).header("Retry-After", date).header("Date", server_date), Some(7)),
        (Reply::status(429).header("Retry-After", "99999999"), Some(3600)),
        (Reply::status(429).header("Retry-After", "soon"), None),
        (Reply::status(429), None),
    ] {
        let expected = seconds.map(Duration::from_secs);
        match submit_to(reply.clone()).await {
            SubmitOutcome::Throttled { retry_after, .. }
            | SubmitOutcome::Unavailable { retry_after, .. } => assert_eq!(retry_after, expected),
            other => panic!("{other:?}"),
        }
        let StatusOutcome::Throttled { retry_after, .. } = status_of(reply).await else {
            panic!("not heard by polls")
        };
        assert_eq!(retry_after, expected);
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let target = ScriptedServer::start_at([127, 0, 0, 2].into(), Vec::new()).await;
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::status(status).header("Location", target.url("/"));
        assert_eq!(word(&submit_to(reply.clone()).await), format!("account {status}"));
        let StatusOutcome::Unavailable(failure) = status_of(reply).await else {
            panic!("a redirect is no status")
        };
        assert_eq!(failure.http_status, Some(status));
    }
    assert_eq!(target.requests(), []);
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let message = in_doubt_message(submit_to(Reply::endless(64 << 20)).await);
    assert_eq!(message, format!("the answer is longer than {LONGEST_ANSWER} bytes"));
    let StatusOutcome::Unavailable(_) = status_of(Reply::endless(64 << 20)).await else {
        panic!("believed an endless answer")
    };
}

#[tokio::test]
async fn a_compressed_answer_is_bounded_by_what_it_unpacks_to() {
    let packed = zeros_gzipped(16 << 20);
    assert!(packed.len() < LONGEST_ANSWER);
    let bomb =
        |status| Reply::status(status).header("Content-Encoding", "gzip").body(packed.clone());
    let message = in_doubt_message(submit_to(bomb(202)).await);
    assert_eq!(message, format!("the answer is longer than {LONGEST_ANSWER} bytes"));
    assert_eq!(word(&submit_to(bomb(402)).await), "account 402");
}

#[tokio::test]
async fn the_service_s_own_polling_url_is_used_byte_for_byte() {
    let server = ScriptedServer::start(Vec::new()).await;
    let api = api_at(&server.url("/prefix/"));
    for target in ["/v9/odd%2Fpath;x=1?sig=a%2Bb%3D&&t=+", "/", "/a?url=https://h/b"] {
        api.status(&known("r1", Some(server.url(target)))).await;
        let request = server.requests().pop().unwrap();
        assert_eq!(request.target, target);
        assert_eq!(key_of(&request), Some(KEY));
    }
}

#[tokio::test]
async fn a_polling_url_elsewhere_is_never_opened() {
    let server = ScriptedServer::start(Vec::new()).await;
    let elsewhere = ScriptedServer::start_at([127, 0, 0, 2].into(), Vec::new()).await;
    let other_port = ScriptedServer::start(Vec::new()).await;
    let api = api_at(&server.url("/"));
    let address = server.address();
    for url in [
        elsewhere.url("/v2/requests/status/r1"),
        format!("http://127.0.0.2:{}/x", address.port()),
        other_port.url("/x"),
        format!("https://{address}/x"),
        format!("http://user:password@{address}/x"),
        format!("http://user@{address}/x"),
        format!("http://{address}@{}/x", elsewhere.address()),
        format!("//{}/x", elsewhere.address()),
        "/v2/requests/status/other".into(),
        "file:///etc/passwd".into(),
        server.url(&format!("/{}", "x".repeat(LONGEST_ADDRESS))),
        String::new(),
    ] {
        api.status(&known("r1", Some(url.clone()))).await;
        let request = server.requests().pop().unwrap();
        assert_eq!(request.target, "/v2/requests/status/r1", "{url}");
        assert_eq!(request.header("authorization"), None, "{url}");
    }
    assert_eq!(server.requests().len(), 12);
    assert_eq!((elsewhere.requests(), other_port.requests()), (vec![], vec![]));
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_without_being_shown() {
    for key in ["k3y\nX-Other: 1", "k3y\r", "k3y\0", "k3y-ü"] {
        let unusable =
            ApiSettings { key: Some(SecretString::from(key)), ..settings("http://127.0.0.1") };
        let error = HttpApi::new(unusable).unwrap_err();
        assert!(matches!(error, BuildError::Key), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("k3y"), "{error:?}");
    }
}

#[test]
fn only_what_is_encrypted_goes_through_a_proxy() {
    for (base, may) in [
        ("https://gateway.pixazo.ai/", true),
        ("http://gateway.pixazo.ai/", false),
        ("http://192.168.1.5:8787/", false),
        ("https://127.0.0.1:8787/", false),
        ("https://localhost/", false),
    ] {
        assert_eq!(may_use_proxy(&Url::parse(base).unwrap()), may, "{base}");
    }
}

#[test]
fn a_base_that_is_no_service_is_refused() {
    for base in ["mailto:a@b.org", "data:,x", "file:///srv"] {
        let error = HttpApi::new(settings(base)).unwrap_err();
        assert!(matches!(error, BuildError::BaseUrl(_)), "{base}: {error:?}");
    }
}

#[test]
fn an_unknown_status_word_is_news_once() {
    let words = StrangeWords::default();
    assert!(!words.is_news("queued"));
    assert!(words.is_news("STARTING"));
    assert!(!words.is_news("STARTING"));
    let news = (0..99).filter(|number| words.is_news(&number.to_string())).count();
    assert_eq!(news, StrangeWords::MOST - 1);
}

#[tokio::test]
async fn a_key_that_the_service_repeats_is_not_told() {
    let echo = format!(r#"{{"message":"no such key: {KEY}","status":"FAILED","error":"{KEY}"}}"#);
    let SubmitOutcome::Account(refused) = submit_to(Reply::json(401, &echo)).await else {
        panic!("401 is about the account")
    };
    assert_eq!(refused.message, "no such key: [key]");
    let StatusOutcome::Failed(failed) = status_of(Reply::json(200, &echo)).await else {
        panic!("FAILED is a failure")
    };
    assert_eq!(failed.message, "[key]");
}

#[tokio::test]
async fn neither_debug_nor_errors_show_what_is_secret() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let base = format!("http://{address}");
    let api = api_at(&base);
    let shown = format!("{api:?} {:?}", settings(&base));
    assert!(!shown.contains(KEY), "{shown}");

    let signed = known("r1", Some(format!("{base}/x?sig=S3CRET")));
    let order = SubmitOrder { img: "https://h.org/a?sig=S3CRET".into(), ..order() };
    let refused = format!("{:?} {:?}", api.status(&signed).await, api.submit(&order).await);
    let broken = raw_server(b"HTTP/1.1 2").await;
    let base = format!("http://{broken}");
    let signed = known("r1", Some(format!("{base}/x?sig=S3CRET")));
    let api = api_at(&base);
    let broke = format!("{:?} {:?}", api.status(&signed).await, api.submit(&order).await);
    for text in [refused, broke] {
        assert!(!text.contains("S3CRET") && !text.contains(KEY), "{text}");
    }
}

/// What each connection of [`keep_alive_server`] does after its first answer.
#[derive(Clone, Copy)]
enum Then {
    /// Closes at once: the client may or may not have noticed when it sends again.
    Close,
    /// Reads the second request and closes without an answer.
    ReadAndClose,
}

/// Answers the first request of each connection with an acceptance that promises to
/// keep the connection, and breaks the promise. Returns every request that was read.
async fn keep_alive_server(then: Then) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let record = record.clone();
            tokio::spawn(async move {
                let first = read_post(&mut stream).await;
                record.lock().unwrap().extend(first);
                let answer = format!(
                    "HTTP/1.1 202 Accepted\r\nContent-Length: {}\r\n\r\n{ACCEPTED}",
                    ACCEPTED.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                if matches!(then, Then::ReadAndClose) {
                    let second = read_post(&mut stream).await;
                    record.lock().unwrap().extend(second);
                }
            });
        }
    });
    (address, seen)
}

fn numbered(number: usize) -> SubmitOrder {
    SubmitOrder { img: format!("https://h.org/{number}"), ..order() }
}

fn times_seen(seen: &Mutex<Vec<String>>, number: usize) -> usize {
    let mark = format!("\"https://h.org/{number}\"");
    seen.lock().unwrap().iter().filter(|request| request.contains(&mark)).count()
}

/// The HTTP library sends a request again by itself only when it never began to send it.
#[tokio::test]
async fn a_kept_connection_that_closes_never_sends_a_request_twice() {
    let (address, seen) = keep_alive_server(Then::Close).await;
    for round in 0..100 {
        let api = api_at(&format!("http://{address}"));
        for number in [round * 2, round * 2 + 1] {
            let outcome = api.submit(&numbered(number)).await;
            let times = times_seen(&seen, number);
            match outcome {
                SubmitOutcome::Accepted { .. } => assert_eq!(times, 1),
                SubmitOutcome::InDoubt(_) => assert!(times <= 1),
                SubmitOutcome::NotSent(failure) => assert_eq!(times, 0, "{failure}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_swallows_a_request_leaves_doubt() {
    let (address, seen) = keep_alive_server(Then::ReadAndClose).await;
    let mut doubts = 0;
    for round in 0..20 {
        let api = api_at(&format!("http://{address}"));
        let outcome = api.submit(&numbered(round * 2)).await;
        assert_eq!(word(&outcome), "accepted r1");
        let second = round * 2 + 1;
        let outcome = api.submit(&numbered(second)).await;
        assert_eq!(times_seen(&seen, second), 1);
        match word(&outcome).as_str() {
            "in doubt" => doubts += 1,
            // The kept connection was not back in the pool in time, and a new one accepts.
            word => assert_eq!(word, "accepted r1"),
        }
    }
    assert!(doubts > 0, "no connection was ever used twice");
}
