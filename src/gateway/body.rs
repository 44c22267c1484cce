//! Reads the body of a submit, bounded in bytes and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::time::timeout;

use super::refusal::Refusal;

/// Largest body of a submit in bytes. It holds one URL and a few words.
pub(super) const MAX_BODY: usize = 64 << 10;

/// How much more of a body that is too large is read and thrown away. A client that still
/// writes when the connection closes sees a broken connection instead of the answer, and
/// would have to hold the request for in doubt.
const MOST_DRAINED: usize = 8 << 20;

/// Longest time for a body; 64 KiB take less on any line.
const LONGEST_TIME: Duration = Duration::from_secs(30);

/// Reads a whole body.
///
/// # Errors
///
/// 413 when it is larger than [`MAX_BODY`], 400 when it takes too long or breaks off.
pub(super) async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    let reading = read_within(body, MAX_BODY, MOST_DRAINED);
    timeout(LONGEST_TIME, reading).await.unwrap_or_else(|_| Err(Refusal::slow_body()))
}

async fn read_within(body: Body, limit: usize, drained: usize) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let broken = |_| Refusal::bad_request("The body could not be read.");
        let chunk = chunk.map_err(broken)?;
        seen = seen.saturating_add(chunk.len());
        if seen <= limit {
            kept.extend_from_slice(&chunk);
        } else if seen > limit + drained {
            break;
        }
    }
    if seen > limit { Err(Refusal::payload_too_large(limit)) } else { Ok(kept.freeze()) }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::response::IntoResponse as _;

    use super::*;

    /// A body of so many bytes in pieces of ten, and how many pieces were taken.
    fn body(bytes: usize) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let piece = move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(b"0123456789"))
        };
        (Body::from_stream(futures::stream::iter(0..bytes / 10).map(piece)), taken)
    }

    #[tokio::test]
    async fn a_body_of_the_limit_is_read_and_one_above_it_is_drained() {
        assert_eq!(read_within(body(100).0, 100, 50).await.unwrap().len(), 100);
        let (larger, taken) = body(110);
        assert_eq!(read_within(larger, 100, 50).await, Err(Refusal::payload_too_large(100)));
        assert_eq!(taken.load(Ordering::Relaxed), 11);
    }

    #[tokio::test]
    async fn a_body_without_end_is_left() {
        let (endless, taken) = body(1_000_000);
        assert_eq!(read_within(endless, 100, 50).await, Err(Refusal::payload_too_large(100)));
        assert_eq!(taken.load(Ordering::Relaxed), 16);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let broken = futures::stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
        let refused = read_body(Body::from_stream(broken)).await;
        assert_eq!(refused, Err(Refusal::bad_request("The body could not be read.")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let silent = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let refused = read_body(Body::from_stream(silent)).await.unwrap_err();
        assert_eq!(refused, Refusal::slow_body());
        let answer = refused.into_response();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["connection"], "close");
    }
}
