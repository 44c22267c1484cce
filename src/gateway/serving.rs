//! Serves connections: HTTP/1.1 with bounds in time, which `axum::serve` does not have.
//!
//! Whoever connects has ten seconds for its first request, so that the places of strangers
//! who say nothing, or say it slowly, are soon free again. Between two requests a connection
//! may be silent for longer, as the pools of clients need it; see [`LONGEST_SILENCE`].

use std::{
    future::{pending, ready},
    pin::pin,
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request},
    middleware::map_request,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    connection::{SwitchedListener, SwitchedStream},
    idle::LONGEST_SILENCE,
};

/// Longest time from connecting to the end of the first request's headers. A handshake and
/// a request take well under a second on any line.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// Serves connections until `stop` is cancelled, and then until each has sent the answer
/// that is under way. Dropping the future closes all of them.
pub(super) async fn serve(mut listener: SwitchedListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            () = stop.cancelled() => break,
            // Forgets those that have ended.
            Some(_) = connections.join_next() => continue,
        };
        connections.spawn(converse(stream, router.clone(), stop.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection. How it ends is the client's business.
async fn converse(stream: SwitchedStream, router: Router, stop: CancellationToken) {
    let switch = stream.switch();
    let asked = switch.clone();
    let note = move |request: Request| {
        asked.note_request();
        ready(request)
    };
    let router = router.layer(map_request(note)).layer(Extension(ConnectInfo(switch.clone())));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    // The time between two requests counts too.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(LONGEST_SILENCE);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let silent = async {
        sleep(FIRST_REQUEST).await;
        if switch.has_asked() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        _ = serving.as_mut() => return,
        () = silent => return,
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// Serves `hi` and returns a connection.
    async fn connected(stop: &CancellationToken) -> TcpStream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "hi"));
        tokio::spawn(serve(SwitchedListener::new(listener), router, stop.clone()));
        TcpStream::connect(address).await.unwrap()
    }

    /// Reads until `hi`, or the end.
    async fn answer(stream: &mut TcpStream) -> String {
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"hi") && matches!(stream.read(&mut byte).await, Ok(1)) {
            said.push(byte[0]);
        }
        String::from_utf8(said).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_its_first_request_too_slowly_is_left() {
        for begun in [&b""[..], b"P", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = connected(&CancellationToken::new()).await;
            let began = Instant::now();
            stream.write_all(begun).await.unwrap();
            assert_eq!(answer(&mut stream).await, "");
            let took = began.elapsed();
            assert!(took >= FIRST_REQUEST && took < 2 * FIRST_REQUEST, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_asked_may_be_silent_for_longer_but_not_for_ever() {
        let mut stream = connected(&CancellationToken::new()).await;
        for _ in 0..3 {
            stream.write_all(ASK).await.unwrap();
            assert!(answer(&mut stream).await.ends_with("hi"));
            sleep(LONGEST_SILENCE.mul_f64(0.9)).await;
        }
        assert_eq!(answer(&mut stream).await, "");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_the_end() {
        let stop = CancellationToken::new();
        let mut stream = connected(&stop).await;
        stream.write_all(ASK).await.unwrap();
        assert!(answer(&mut stream).await.ends_with("hi"));
        stop.cancel();
        assert_eq!(answer(&mut stream).await, "");
    }
}
