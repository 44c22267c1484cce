//! Places where a crash may happen, counted.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// Counts boundaries and stops the world at one of them.
#[derive(Debug, Default)]
pub struct Boundaries {
    passed: AtomicU64,
    stop_at: Option<u64>,
    stopped: AtomicBool,
    stop: Notify,
}

impl Boundaries {
    /// Creates boundaries of which number `stop_at` (from 1) is never passed.
    #[must_use]
    pub fn new(stop_at: Option<u64>) -> Arc<Self> {
        Arc::new(Self { stop_at, ..Self::default() })
    }

    /// Passes one boundary, or stands still for ever when the world has stopped.
    pub async fn pass(&self) {
        let number = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if self.stop_at == Some(number) {
            self.stopped.store(true, Ordering::Relaxed);
            self.stop.notify_one();
        }
        if self.stopped.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    /// Returns when the world has stopped.
    pub async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// Returns how many boundaries were reached.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}
