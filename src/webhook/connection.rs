//! Connections from anybody, bounded in number, time and bytes.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// Connections that are served at once; more wait in the system's queue. One carries one
/// callback of a few milliseconds.
const CONNECTIONS: usize = 64;

/// Longest life of a connection: a service far away needs a second or two, and whoever
/// says nothing takes a place no longer than this.
const LIFETIME: Duration = Duration::from_secs(15);

/// Most bytes that one connection may send: the longest body, with its headers and the
/// way it is cut into chunks.
const MOST_BYTES: usize = 192 << 10;

/// Accepts connections that cannot last or say much.
#[derive(Debug)]
pub(super) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    lifetime: Duration,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS)), lifetime: LIFETIME }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Never closed, so that there is always a place in the end.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let ends = Box::pin(sleep(self.lifetime));
        (BoundedStream { stream, ends, left: MOST_BYTES, _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself.
#[derive(Debug)]
pub(super) struct BoundedStream {
    stream: TcpStream,
    ends: Pin<Box<Sleep>>,
    /// Bytes it may still send.
    left: usize,
    _place: Option<OwnedSemaphorePermit>,
}

impl BoundedStream {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.ends.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn listener() -> (BoundedListener, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (BoundedListener::new(listener), address)
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends_by_itself() {
        let (listener, address) = listener().await;
        let mut listener = BoundedListener { lifetime: Duration::from_millis(20), ..listener };
        let client = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = listener.accept().await;
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.write(b"x").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn no_more_is_read_than_a_callback_can_have() {
        let (mut listener, address) = listener().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = listener.accept().await;
        let sender =
            tokio::spawn(async move { client.write_all(&vec![b'x'; 2 * MOST_BYTES]).await });
        let mut read = 0;
        let mut buffer = [0; 1_000];
        let error = loop {
            match stream.read(&mut buffer).await {
                Ok(bytes) => read += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!((MOST_BYTES..MOST_BYTES + buffer.len()).contains(&read), "{read}");
        drop(stream);
        let _ = sender.await.unwrap();
    }

    #[tokio::test]
    async fn a_further_connection_waits_for_a_place() {
        let (listener, address) = listener().await;
        let mut listener = BoundedListener { places: Arc::new(Semaphore::new(1)), ..listener };
        let _clients = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let (first, _) = listener.accept().await;
        assert!(listener.accept().now_or_never().is_none());
        drop(first);
        listener.accept().await;
    }
}
