//! A server for callbacks alone.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connection::BoundedListener;

/// How long callbacks that are being read may take after the end was asked for. They are
/// answered in milliseconds; whoever takes longer does not hold up the end of a run.
const DRAIN: Duration = Duration::from_secs(1);

/// A server that listens, and answers once it is [served](Self::serve).
#[derive(Debug)]
pub struct WebhookServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl WebhookServer {
    /// Opens the address. Connections wait until [`serve`](Self::serve) is called.
    ///
    /// # Errors
    ///
    /// When the address is taken, or not this machine's.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns where it listens, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, and at most a second longer.
    ///
    /// # Errors
    ///
    /// When the listening socket fails.
    pub async fn serve(self, router: Router, stop: CancellationToken) -> io::Result<()> {
        let server = axum::serve(BoundedListener::new(self.listener), router)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let end = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! { biased;
            ended = server.into_future() => ended,
            () = end => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
