//! Connections from anybody, bounded in number, and in how long they say nothing.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

/// Connections that are served at once; more wait in the system's queue. A client in full
/// use has some hundred.
const CONNECTIONS: usize = 1_000;

/// Longest time in which nothing is read or written. Longer than clients keep an unused
/// connection (90 s is common): otherwise a submit could meet a connection that is just
/// being closed, and nobody would know whether it was accepted.
const LONGEST_SILENCE: Duration = Duration::from_mins(2);

/// Places for connections.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    longest_silence: Duration,
}

impl Places {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(CONNECTIONS)), longest_silence: LONGEST_SILENCE }
    }

    /// Waits for a free place.
    pub(super) async fn take(&self) -> Place {
        // Never closed, so that there is always a place in the end.
        let held = Arc::clone(&self.free).acquire_owned().await.ok();
        Place { longest_silence: self.longest_silence, _held: held }
    }
}

/// A place for one connection.
#[derive(Debug)]
pub(super) struct Place {
    longest_silence: Duration,
    _held: Option<OwnedSemaphorePermit>,
}

/// A connection that ends when nothing happens on it for too long.
#[derive(Debug)]
pub(super) struct Lively<S> {
    stream: S,
    place: Place,
    /// When something was last read or written.
    last: Instant,
    wakes: Pin<Box<Sleep>>,
}

impl<S> Lively<S> {
    pub(super) fn new(stream: S, place: Place) -> Self {
        let last = Instant::now();
        let wakes = Box::pin(sleep_until(last + place.longest_silence));
        Self { stream, place, last, wakes }
    }

    /// Notes progress, or sees how long there was none. The timer is set anew only when it
    /// has run out, not for each packet.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.last = Instant::now();
            return outcome;
        }
        while self.wakes.as_mut().poll(context).is_ready() {
            let ends = self.last + self.place.longest_silence;
            if ends <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.wakes.as_mut().reset(ends);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lively<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lively<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    async fn lively<S>(stream: S) -> Lively<S> {
        Lively::new(stream, Places::new().take().await)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_ends() {
        let (near, _far) = duplex(8);
        let mut near = lively(near).await;
        let began = Instant::now();
        assert_eq!(near.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), LONGEST_SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_nothing_ends_too() {
        let (near, _far) = duplex(8);
        let mut near = lively(near).await;
        assert_eq!(near.write_all(&[0; 9]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_on_lives_on() {
        let (near, mut far) = duplex(8);
        let mut near = lively(near).await;
        let talking = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(LONGEST_SILENCE.mul_f64(0.9)).await;
                far.write_all(b"x").await.unwrap();
            }
        });
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.len(), 10);
        talking.await.unwrap();
    }

    #[tokio::test]
    async fn a_further_connection_waits_for_a_place() {
        let places = Places { free: Arc::new(Semaphore::new(1)), ..Places::new() };
        let (near, _far) = duplex(8);
        let first = Lively::new(near, places.take().await);
        assert!(places.take().now_or_never().is_none());
        drop(first);
        places.take().await;
    }
}
