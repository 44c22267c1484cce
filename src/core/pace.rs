//! What the pace of one endpoint came to in a run, for people.

use serde::Serialize;

/// How fast one kind of request was allowed to go, and how often it had to pause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pace {
    /// Requests per second that the settings allow.
    pub allowed: f64,
    /// The lowest rate that 429s brought it down to, in requests per second.
    pub slowest: f64,
    /// The rate in force now, in requests per second.
    pub now: f64,
    /// Pauses the service asked for.
    pub pauses: u64,
}

impl Pace {
    /// Returns the pace of an endpoint that nothing has slowed down.
    #[must_use]
    pub fn steady(allowed: f64) -> Self {
        Self { allowed, slowest: allowed, now: allowed, pauses: 0 }
    }
}
