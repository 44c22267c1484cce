//! A pause that the service asked for outlives the run that heard of it.
//!
//! The gate of an endpoint lives in memory; the ledger keeps until when it is closed, and
//! the next run begins with it closed. Only what the service said in so many words is
//! kept: the pause after a 429 that names none is a guess of ours.
//!
//! A pause longer than the outage limit is waited for, where it is heard and by the next
//! run: the service has said when it will answer.

use std::time::Duration;

use tokio::time::Instant;

use super::{super::step::Action, Board};
use crate::{
    core::{Endpoint, Failure, FailureClass, FailureCode, RunEvent, retry_after},
    ledger::Pauses,
};

/// The pauses asked for, and what the ledger is still to be told of them.
#[derive(Debug, Default)]
pub(super) struct PauseBook {
    asked: Pauses,
    untold: Pauses,
    /// Writes that are not confirmed yet.
    writing: usize,
}

impl Board {
    /// Closes the gates that the service wanted closed before this run. A pause is cut to
    /// the longest there is, because the clock may have been wrong that told its end.
    pub(in crate::run) fn resume_pauses(&mut self, kept: Pauses) {
        if self.rules.volatile_service {
            return;
        }
        self.pauses.asked = kept;
        let now = self.clock.instant();
        for endpoint in [Endpoint::Submit, Endpoint::Poll] {
            let opens = kept.of(endpoint).map(|at| self.clock.instant_of(at, retry_after::LONGEST));
            let Some(opens) = opens.filter(|opens| *opens > now) else { continue };
            let pause = opens.duration_since(now);
            self.pacer.pause(endpoint, pause);
            self.told.push(RunEvent::GateStillClosed { endpoint, pause });
            self.count_patience(endpoint, pause, now);
        }
    }

    /// From now on someone waits for the end of a pause.
    fn count_patience(&mut self, endpoint: Endpoint, pause: Duration, now: Instant) {
        let failure = Failure::new(
            FailureClass::Throttled,
            FailureCode::Throttled,
            "the service asked for a pause that began before this run",
        );
        match endpoint {
            Endpoint::Submit => self.breaker.throttled(failure, Some(pause), now),
            // Without a request at the service nobody waits for a poll.
            Endpoint::Poll if self.pacer.in_use(Endpoint::Submit) > 0 => {
                self.breaker.poll_throttled(failure, Some(pause), now)
            }
            Endpoint::Poll | Endpoint::Fetch => None,
        };
    }

    /// The service asked for a pause in so many words.
    pub(super) fn asked_to_pause(&mut self, endpoint: Endpoint, pause: Duration) {
        if self.rules.volatile_service || pause.is_zero() {
            return;
        }
        let until = retry_after::end(pause, self.clock.now());
        if self.pauses.asked.extend(endpoint, until) {
            self.pauses.untold.extend(endpoint, until);
        }
    }

    /// Closes a gate for a pause that the service asked for, if it did.
    pub(super) fn pause_as_asked(&mut self, endpoint: Endpoint, pause: Option<Duration>) {
        if let Some(pause) = pause {
            self.asked_to_pause(endpoint, pause);
            self.pacer.pause(endpoint, pause);
        }
    }

    /// Tells the ledger of pauses that it does not know.
    pub(super) fn keep_pauses(&mut self, actions: &mut Vec<Action>) {
        let untold = std::mem::take(&mut self.pauses.untold);
        for endpoint in [Endpoint::Submit, Endpoint::Poll] {
            let Some(until) = untold.of(endpoint) else { continue };
            self.pauses.writing += 1;
            actions.push(Action::KeepPause { endpoint, until });
        }
    }

    /// The ledger has a pause, or cannot go on.
    pub(in crate::run) fn pause_kept(&mut self) {
        self.pauses.writing -= 1;
    }

    /// Returns true when the ledger has every pause that the service asked for.
    pub(super) fn pauses_are_kept(&self) -> bool {
        self.pauses.writing == 0 && self.pauses.untold == Pauses::default()
    }
}
