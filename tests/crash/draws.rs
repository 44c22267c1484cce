//! What the gateway did to each submit, by the same draws that it made itself.

use std::time::Duration;

use restore_batch::{core::jitter, gateway::GatewayFaults};

/// The gateway's faults, and how long the program waits for an answer.
///
/// The numbers of the draws are those of the gateway's `faults.rs`; that they still are is
/// checked by [`accepts`](Self::accepts) against its books.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    pub(crate) faults: GatewayFaults,
    pub(crate) request_timeout: Duration,
}

impl Draws {
    fn hits(&self, draw: u32, probability: f64, submit: i64) -> bool {
        jitter(self.faults.seed, submit, draw) < probability
    }

    /// Returns true when this submit was refused in words that leave no doubt.
    fn is_refused(&self, submit: i64) -> bool {
        self.hits(1, self.faults.throttled, submit) || self.hits(6, self.faults.unavailable, submit)
    }

    /// Returns true when this submit was refused, which the program cannot know.
    fn is_dropped(&self, submit: i64) -> bool {
        let dropped = self.hits(2, self.faults.server_error, submit)
            || self.hits(7, self.faults.reset, submit);
        dropped && !self.is_refused(submit)
    }

    /// Returns whether the gateway accepted this submit.
    pub(crate) fn accepts(&self, submit: i64) -> bool {
        !self.is_refused(submit) && !self.is_dropped(submit)
    }

    /// Returns true when this submit was accepted, and the answer did not arrive, or not
    /// in time, or not whole.
    pub(crate) fn loses_the_answer(&self, submit: i64) -> bool {
        let too_late = self.faults.slow_for > self.request_timeout;
        let lost = self.hits(3, self.faults.reply_lost, submit)
            || self.hits(8, self.faults.malformed, submit)
            || too_late && self.hits(9, self.faults.slow_reply, submit);
        lost && self.accepts(submit)
    }

    /// Returns how many of the first so many submits were refused unheard.
    pub(crate) fn drops_among(&self, submits: u64) -> u64 {
        among(submits, |submit| self.is_dropped(submit))
    }

    /// Returns how many of the first so many submits left the program in doubt.
    pub(crate) fn doubts_among(&self, submits: u64) -> u64 {
        among(submits, |submit| self.is_dropped(submit) || self.loses_the_answer(submit))
    }
}

fn among(submits: u64, has: impl Fn(i64) -> bool) -> u64 {
    let submits = 0..i64::try_from(submits).unwrap();
    submits.filter(|submit| has(*submit)).count() as u64
}
