//! How a caller follows one restoration, ends it, and says how many threads it may have.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio_util::sync::CancellationToken;

use super::contract::EngineError;

/// How far a restoration is, in tiles and bands. Both are 0 before the engine knows the work, and
/// `total` may grow when a later step finds more to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tiles and bands that are finished.
    pub done: u32,
    /// Tiles and bands known of.
    pub total: u32,
}

/// Follows one restoration from another thread. Clones watch the same one.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    cancel: CancellationToken,
    progress: Arc<Mutex<Progress>>,
    threads: Option<NonZeroUsize>,
}

impl Watch {
    /// Watches a restoration that ends early once `cancel` is cancelled.
    #[must_use]
    pub fn new(cancel: CancellationToken) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// Returns the watch of a restoration that works on so many threads instead of one a
    /// core. The result is the same.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Returns how many threads the restoration may work on.
    pub(super) fn threads(&self) -> usize {
        let cores = || thread::available_parallelism().ok();
        self.threads.or_else(cores).map_or(1, NonZeroUsize::get)
    }

    /// Returns how far the restoration is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the restoration to end.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Tells whether the restoration was asked to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Fails once the restoration was asked to end, so that `?` ends the work.
    ///
    /// # Errors
    ///
    /// [`EngineError::Cancelled`].
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() { Err(EngineError::Cancelled) } else { Ok(()) }
    }

    /// Adds `tiles` to the work known of.
    pub fn expect(&self, tiles: u32) {
        self.change(|progress| progress.total = progress.total.saturating_add(tiles));
    }

    /// Counts one more tile as finished.
    pub fn advance(&self) {
        self.change(|progress| progress.done = progress.done.saturating_add(1));
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_watch_the_same_restoration() {
        let watch = Watch::default();
        let engines = watch.clone();
        engines.expect(3);
        engines.advance();
        assert_eq!(watch.progress(), Progress { done: 1, total: 3 });
        assert_eq!(engines.check(), Ok(()));
        watch.cancel();
        assert_eq!(engines.check(), Err(EngineError::Cancelled));
    }

    #[test]
    fn the_callers_token_cancels() {
        let token = CancellationToken::new();
        let watch = Watch::new(token.clone());
        token.cancel();
        assert!(watch.is_cancelled());
    }
}
