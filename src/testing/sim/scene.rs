//! What the fakes of one life share: the world's time, its dice, the service's books.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Boundaries, Faults, books::Books, dice::Dice};
use crate::clock::Clock;

/// Time of the world: it goes on through every life, whatever the client's clock shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorldTime {
    before: Duration,
    start: Instant,
}

impl WorldTime {
    /// Goes on where an earlier life has stopped.
    pub(super) fn after(before: Duration) -> Self {
        Self { before, start: Instant::now() }
    }

    /// Returns how old the world is.
    pub(super) fn now(self) -> Duration {
        self.before + self.start.elapsed()
    }
}

/// The wall clock that the client's machine shows. The program reads it when it starts;
/// only a `Retry-After` date without the server's `Date` is held against it later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    pub(super) clock: Clock,
    /// At this age of the world it is set…
    pub(super) set_at: Duration,
    /// … by this much.
    pub(super) set_by: SignedDuration,
}

/// What the fakes of one life share.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) life: u32,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) time: WorldTime,
    pub(super) wall: Wall,
    pub(super) boundaries: Arc<Boundaries>,
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) trace: Trace,
}

impl Scene {
    pub(super) fn now(&self) -> Duration {
        self.time.now()
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// Returns what the client's wall clock shows.
    pub(super) fn client_wall(&self) -> Timestamp {
        let set = self.now() >= self.wall.set_at;
        let by = if set { self.wall.set_by } else { SignedDuration::ZERO };
        self.wall.clock.now().saturating_add(by).unwrap_or(Timestamp::MAX)
    }

    /// Writes a line into the world's trace.
    pub(super) fn tell(&self, line: std::fmt::Arguments<'_>) {
        self.trace.tell(self.now(), self.life, line);
    }
}

/// Everything that happened in a world, one line each.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(super) fn tell(&self, at: Duration, life: u32, text: std::fmt::Arguments<'_>) {
        lock(&self.0).push(format!("{:>9.3} life {life}: {text}", at.as_secs_f64()));
    }

    pub(super) fn to_text(&self) -> String {
        lock(&self.0).join("\n")
    }
}

/// Never held across an await; what a panicking step has left is still readable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
