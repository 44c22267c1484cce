//! Whoever wants to hear what a run does.

use crate::core::RunEvent;

/// Hears every event of a run, in order. Must not block: it is called from the loop
/// that moves all items.
pub trait Reporter: Send {
    /// Hears one event.
    fn observe(&mut self, event: &RunEvent);
}

/// Several reporters as one.
#[derive(Default)]
pub struct Reporters(Vec<Box<dyn Reporter>>);

impl Reporters {
    /// Adds a reporter.
    #[must_use]
    pub fn with(mut self, reporter: impl Reporter + 'static) -> Self {
        self.0.push(Box::new(reporter));
        self
    }
}

impl Reporter for Reporters {
    fn observe(&mut self, event: &RunEvent) {
        for reporter in &mut self.0 {
            reporter.observe(event);
        }
    }
}

impl std::fmt::Debug for Reporters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reporters({})", self.0.len())
    }
}
