use std::{
    io,
    net::Ipv4Addr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::Notify;

use super::*;
use crate::testing::scripted_server::{Reply, ScriptedServer};

fn client(allow_private: bool) -> GuardedClient {
    GuardedClient::new(&ClientSettings { allow_private, ..ClientSettings::default() }).unwrap()
}

async fn get(url: &str) -> Result<(Received, Vec<u8>), GetError> {
    get_within(url, &GetLimits::default()).await
}

async fn get_within(url: &str, limits: &GetLimits) -> Result<(Received, Vec<u8>), GetError> {
    let mut sink = Vec::new();
    let received = client(true).get_to(url, &mut sink, limits).await?;
    Ok((received, sink))
}

#[tokio::test]
async fn a_body_arrives_with_its_hash_and_type() {
    let reply = Reply::ok("picture").header("Content-Type", "image/png");
    let server = ScriptedServer::start(vec![reply]).await;
    let (received, body) = get(&server.url("/a")).await.unwrap();
    assert_eq!(body, b"picture");
    assert_eq!(received.bytes, 7);
    assert_eq!(received.blake3, blake3::hash(b"picture"));
    assert_eq!(received.content_type.as_deref(), Some("image/png"));
}

#[tokio::test]
async fn only_our_own_headers_leave() {
    let server = ScriptedServer::start(vec![Reply::ok("x")]).await;
    get(&server.url("/a")).await.unwrap();
    let request = server.requests().remove(0);
    let mut names: Vec<_> =
        request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    let agent = request.header("user-agent").unwrap();
    assert_eq!(agent, concat!("restore-batch/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn signed_urls_arrive_byte_for_byte() {
    let server = ScriptedServer::start(Vec::new()).await;
    for target in [
        "/b/k%2Fe%20y+x/%C3%BC.png?X-Amz-Credential=AK%2F2026%2Fauto&X-Amz-Signature=0aF",
        "/a?sig=a%2Bb%2F%3D%3D&se=2026-01-01T00%3A00%3A00Z&sp=r",
        "/a?b=1&b=2&c&d=&&e==+%20",
        "/a?mixed=%c3%BC%7E~-._!$()*,;:@/?",
        "/a;v=1/@:!$&()*+,=~b?x",
        "/a%2e/b%5C%5cc?%00",
    ] {
        let _ = get(&server.url(target)).await;
        assert_eq!(server.requests().last().unwrap().target, target);
    }
    let _ = get(&server.url("/a?it's")).await;
    assert_eq!(server.requests().last().unwrap().target, "/a?it%27s");
}

#[tokio::test]
async fn private_addresses_are_never_asked() {
    let server = ScriptedServer::start(Vec::new()).await;
    let port = server.address().port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0.0.0.0",
        "localhost",
        "10.0.0.1",
        "169.254.169.254",
        "[64:ff9b::127.0.0.1]",
    ] {
        let url = format!("http://{host}:{port}/a?secret=1");
        let error =
            client(false).get_to(&url, &mut Vec::new(), &GetLimits::default()).await.unwrap_err();
        assert!(matches!(error.kind, GetErrorKind::Blocked), "{host}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn what_is_no_web_address_is_refused() {
    for url in [
        "",
        "photo.png",
        "/a",
        "file:///etc/passwd",
        "ftp://h/a",
        "data:,x",
        "http://",
        "https://u:p@h/",
    ] {
        let error = get(url).await.unwrap_err();
        assert!(matches!(error.kind, GetErrorKind::BadUrl(_)), "{url}: {error}");
    }
}

#[tokio::test]
async fn redirects_are_followed_and_end() {
    let target = ScriptedServer::start(vec![Reply::ok("there")]).await;
    let server = ScriptedServer::start(Vec::new())
        .await
        .on("GET /a", Reply::redirect("b?x=%2F"))
        .on("GET /b", Reply::status(308).header("Location", target.url("/c")))
        .on("GET /loop", Reply::redirect("/loop"))
        .on("GET /nowhere", Reply::status(302))
        .on("GET /strange", Reply::redirect("ftp://example.org/"));
    let (_, body) = get(&server.url("/a")).await.unwrap();
    assert_eq!(body, b"there");
    assert_eq!(server.requests()[1].target, "/b?x=%2F");

    let before = server.requests().len();
    let error = get(&server.url("/loop")).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::Redirect("too often")), "{error}");
    assert_eq!(server.requests().len() - before, MAX_REDIRECTS + 1);

    let error = get(&server.url("/nowhere")).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::Redirect("to nowhere")), "{error}");
    let error = get(&server.url("/strange")).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::BadRedirect(_)), "{error}");
}

/// The guard lets no test reach a public server, so the hop is checked from the inside.
#[tokio::test]
async fn a_redirect_passes_the_same_checks() {
    let server = ScriptedServer::start(vec![
        Reply::redirect("http://169.254.169.254/latest"),
        Reply::redirect("http://u:p@example.org/"),
        Reply::redirect("http://example.org/"),
    ])
    .await;
    let from = Url::parse("https://example.org/a").unwrap();
    let answer = async || {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
            .get(server.url("/a"))
            .send()
            .await
            .unwrap()
    };
    let plain = Url::parse("http://example.org/a").unwrap();
    let next = next_hop(&plain, &answer().await).unwrap().unwrap();
    assert!(matches!(client(false).check(&next), Err(GetErrorKind::Blocked)));
    assert!(matches!(next_hop(&plain, &answer().await), Err(GetErrorKind::BadRedirect(_))));
    assert!(matches!(next_hop(&from, &answer().await), Err(GetErrorKind::Downgrade)));
}

#[tokio::test]
async fn the_size_is_capped_while_it_streams() {
    let limits = GetLimits { max_bytes: 10_000, ..GetLimits::default() };
    let server = ScriptedServer::start(vec![
        Reply::endless(100 << 20),
        Reply::ok(vec![b'x'; 10_001]),
        Reply::ok(vec![b'x'; 10_000]),
        Reply::ok("x").header("Content-Length", "10001"),
    ])
    .await;
    let mut sink = Vec::new();
    let error = client(true).get_to(&server.url("/"), &mut sink, &limits).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::TooLarge { limit: 10_000 }), "{error}");
    assert!(sink.len() <= 10_000, "{}", sink.len());
    assert!(get_within(&server.url("/"), &limits).await.is_err());
    assert_eq!(get_within(&server.url("/"), &limits).await.unwrap().1.len(), 10_000);
    let error = get_within(&server.url("/"), &limits).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_cut() {
    let server = ScriptedServer::start(vec![
        Reply::ok("0123456789").cut_after(4),
        Reply::ok("short").header("Content-Length", "99"),
        Reply::close(),
    ])
    .await;
    for _ in 0..3 {
        let error = get(&server.url("/")).await.unwrap_err();
        assert!(matches!(error.kind, GetErrorKind::Cut(_)), "{error}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let server = ScriptedServer::start(vec![
        Reply::ok("x").header("Content-Encoding", "gzip"),
        Reply::ok("x").header("Content-Encoding", "Identity"),
        Reply::ok("x").header("Content-Encoding", "z".repeat(9_999)),
    ])
    .await;
    let error = get(&server.url("/")).await.unwrap_err();
    assert!(matches!(&error.kind, GetErrorKind::Encoded(how) if how == "gzip"), "{error}");
    get(&server.url("/")).await.unwrap();
    let error = get(&server.url("/")).await.unwrap_err().to_string();
    assert!(error.len() < 200, "{error}");
}

#[tokio::test]
async fn any_status_but_200_is_an_error() {
    for status in [204, 206, 304, 400, 403, 404, 500] {
        let server = ScriptedServer::start(vec![Reply::status(status).body("no")]).await;
        let error = get(&server.url("/")).await.unwrap_err();
        assert!(
            matches!(error.kind, GetErrorKind::Status { status: found, .. } if found == status),
            "{error}"
        );
    }
    let reply = Reply::status(503).header("Retry-After", "7");
    let server = ScriptedServer::start(vec![reply]).await;
    let error = get(&server.url("/")).await.unwrap_err();
    let GetErrorKind::Status { retry_after, .. } = error.kind else { panic!("{error}") };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn silence_ends_at_the_idle_timeout() {
    let settings = ClientSettings {
        allow_private: true,
        idle_timeout: Duration::from_millis(100),
        ..ClientSettings::default()
    };
    let client = GuardedClient::new(&settings).unwrap();
    let server =
        ScriptedServer::start(vec![Reply::hang(), Reply::ok("0123456789").stall_after(4)]).await;
    for _ in 0..2 {
        let limits = GetLimits::default();
        let error = client.get_to(&server.url("/"), &mut Vec::new(), &limits).await.unwrap_err();
        assert!(matches!(error.kind, GetErrorKind::TimedOut), "{error}");
    }
}

/// The connection is taken, and nobody speaks TLS on it.
#[tokio::test]
async fn a_silent_handshake_ends_at_the_connect_timeout() {
    let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = ClientSettings {
        allow_private: true,
        connect_timeout: Duration::from_millis(100),
        ..ClientSettings::default()
    };
    let url = format!("https://{}/a", silent.local_addr().unwrap());
    let client = GuardedClient::new(&settings).unwrap();
    let limits = GetLimits::default();
    let error = client.get_to(&url, &mut Vec::new(), &limits).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::TimedOut), "{error}");
}

/// A byte now and then defeats an idle timeout; the total one still ends it.
#[tokio::test]
async fn a_drip_ends_at_the_total_timeout() {
    let next = Arc::new(Notify::new());
    let server =
        ScriptedServer::start(vec![Reply::ok("0123456789").drip(1, Arc::clone(&next))]).await;
    next.notify_one();
    let limits = GetLimits { total_timeout: Duration::from_millis(200), ..GetLimits::default() };
    let error = get_within(&server.url("/a?secret"), &limits).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::TimedOut), "{error}");
    assert_eq!(error.url, server.url("/a"));
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let server = ScriptedServer::start(Vec::new()).await;
    let url = server.url("/?secret");
    drop(server);
    // The port is closed once the server's task has seen the end.
    loop {
        match get(&url).await.unwrap_err() {
            error @ GetError { kind: GetErrorKind::Unreachable(_), .. } => {
                assert!(!format!("{error:?}").contains("secret"), "{error:?}");
                break;
            }
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn another_host_sees_no_more_than_the_first() {
    let second =
        ScriptedServer::start_at(Ipv4Addr::new(127, 0, 0, 2).into(), vec![Reply::ok("x")]).await;
    let first = ScriptedServer::start(vec![Reply::redirect(second.url("/b"))]).await;
    get(&first.url("/a?token=1")).await.unwrap();
    let request = second.requests().remove(0);
    let text = format!("{request:?}").to_lowercase();
    for word in ["subscription", "authorization", "cookie", "referer", "token"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

struct FullDisk;

impl AsyncWrite for FullDisk {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_full_disk_is_told_from_a_broken_download() {
    let server = ScriptedServer::start(vec![Reply::ok("x")]).await;
    let limits = GetLimits::default();
    let error = client(true).get_to(&server.url("/"), &mut FullDisk, &limits).await.unwrap_err();
    assert!(matches!(error.kind, GetErrorKind::Sink(_)), "{error}");
}
