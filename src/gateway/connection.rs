//! Connections that can be closed without an answer.
//!
//! A lost reply is the fault that matters most to a client that pays for each request,
//! and an HTTP server library has no way to answer nothing. Here each connection
//! carries a switch, and a handler that turns it makes the next write fail.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use super::idle::{Lively, Places};

/// What those who handle a connection's requests share with the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Arc<Turned>);

#[derive(Debug, Default)]
struct Turned {
    cut: AtomicBool,
    asked: AtomicBool,
}

impl Switch {
    /// Lets nothing more be written.
    pub(super) fn cut(&self) {
        self.0.cut.store(true, Ordering::Relaxed);
    }

    /// Notes that a request was understood.
    pub(super) fn note_request(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Returns whether there was a request.
    pub(super) fn has_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn check(&self) -> io::Result<()> {
        if self.0.cut.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// Accepts connections with a switch each.
#[derive(Debug)]
pub(super) struct SwitchedListener {
    listener: TcpListener,
    places: Places,
}

impl SwitchedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Places::new() }
    }

    /// Waits for the next connection for which there is a place. Can be dropped at any
    /// time without losing one.
    pub(super) async fn accept(&mut self) -> SwitchedStream {
        loop {
            let free = self.places.free().await;
            let (stream, from) = Listener::accept(&mut self.listener).await;
            let Some(place) = self.places.take(free, from.ip()) else {
                tracing::debug!(peer = %from.ip(), "closed, because it has too many connections");
                continue;
            };
            // Answers are small and waited for; a socket without the option is only slower.
            let _ = stream.set_nodelay(true);
            let stream = Lively::new(stream, place);
            return SwitchedStream { stream, switch: Switch::default() };
        }
    }
}

/// A connection with a switch.
#[derive(Debug)]
pub(super) struct SwitchedStream {
    stream: Lively<TcpStream>,
    switch: Switch,
}

impl SwitchedStream {
    /// Returns its switch.
    pub(super) fn switch(&self) -> Switch {
        self.switch.clone()
    }
}

impl AsyncRead for SwitchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for SwitchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.switch.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.switch.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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
