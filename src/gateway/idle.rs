//! Connections from anybody, bounded in number, in all and of each peer, and in how long
//! they say nothing.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// Connections of one peer: no single machine shuts out the others. Loopback is exempt: a
/// proxy on this machine brings everybody's requests, and has its own bounds.
const CONNECTIONS_OF_PEER: usize = CONNECTIONS / 4;

/// Longest time in which nothing is read or written. Longer than clients keep an unused
/// connection (90 s is common): otherwise a submit could meet a connection that is just
/// being closed, and nobody would know whether it was accepted.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_mins(2);

/// Places for connections.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    of_peer: usize,
    /// Connections of each peer that has any.
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self::of(CONNECTIONS, CONNECTIONS_OF_PEER)
    }

    fn of(all: usize, of_peer: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), of_peer, peers: Arc::default() }
    }

    /// Waits until there is a place for somebody.
    pub(super) async fn free(&self) -> Free {
        // Never closed, so that there is always a place in the end.
        Free(Arc::clone(&self.free).acquire_owned().await.ok())
    }

    /// Gives the place to a peer, unless that has too many.
    pub(super) fn take(&self, free: Free, address: IpAddr) -> Option<Place> {
        let Free(held) = free;
        let address = address.to_canonical();
        if address.is_loopback() {
            return Some(Place { _held: held, _share: None });
        }
        let peer = peer_of(address);
        let mut peers = lock(&self.peers);
        let connections = peers.entry(peer).or_default();
        if *connections >= self.of_peer {
            return None;
        }
        *connections += 1;
        drop(peers);
        let share = Share { peers: Arc::clone(&self.peers), peer };
        Some(Place { _held: held, _share: Some(share) })
    }
}

/// Returns the address that stands for a peer: in version 6 its network of 64 bits, in
/// which a machine can have any address it likes (RFC 4291, section 2.5.4).
fn peer_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

fn lock(peers: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    peers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place that is nobody's yet.
#[derive(Debug)]
pub(super) struct Free(Option<OwnedSemaphorePermit>);

/// A place for one connection.
#[derive(Debug)]
pub(super) struct Place {
    _held: Option<OwnedSemaphorePermit>,
    _share: Option<Share>,
}

/// One connection of a peer.
#[derive(Debug)]
struct Share {
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut peers = lock(&self.peers);
        if let Entry::Occupied(mut connections) = peers.entry(self.peer) {
            *connections.get_mut() -= 1;
            if *connections.get() == 0 {
                connections.remove();
            }
        }
    }
}

/// A connection that ends when nothing happens on it for too long.
#[derive(Debug)]
pub(super) struct Lively<S> {
    stream: S,
    _place: Place,
    /// When something was last read or written.
    last: Instant,
    wakes: Pin<Box<Sleep>>,
}

impl<S> Lively<S> {
    pub(super) fn new(stream: S, place: Place) -> Self {
        let last = Instant::now();
        let wakes = Box::pin(sleep_until(last + LONGEST_SILENCE));
        Self { stream, _place: place, last, wakes }
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
            let ends = self.last + LONGEST_SILENCE;
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

    async fn place(places: &Places, address: &str) -> Option<Place> {
        places.take(places.free().await, address.parse().unwrap())
    }

    async fn lively<S>(stream: S) -> Lively<S> {
        Lively::new(stream, place(&Places::new(), "127.0.0.1").await.unwrap())
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
        let places = Places::of(1, 1);
        let first = place(&places, "127.0.0.1").await;
        assert!(places.free().now_or_never().is_none());
        drop(first);
        places.free().await;
    }

    #[tokio::test]
    async fn a_peer_has_no_more_than_its_share_and_a_proxy_beside_us_any() {
        let places = Places::of(9, 2);
        let held = [place(&places, "192.0.2.1").await, place(&places, "::ffff:192.0.2.1").await];
        assert!(held.iter().all(Option::is_some));
        assert!(place(&places, "192.0.2.1").await.is_none());
        let other = place(&places, "192.0.2.2").await;
        let here = [place(&places, "::1").await, place(&places, "127.0.0.1").await];
        assert!(other.is_some() && here.iter().all(Option::is_some));
        let network = [place(&places, "2001:db8::1").await, place(&places, "2001:db8::2").await];
        assert!(network.iter().all(Option::is_some));
        assert!(place(&places, "2001:db8::3").await.is_none());
        assert!(place(&places, "2001:db8:0:1::3").await.is_some());
        drop(held);
        assert!(place(&places, "192.0.2.1").await.is_some());
        drop((other, here, network));
        assert!(lock(&places.peers).is_empty());
        assert_eq!(places.free.available_permits(), 9);
    }
}
