//! How a life may end, and how a world tells its story.

use std::time::Duration;

use super::{
    Ending, Scenario, Window, World,
    books::Books,
    checks::Verdict,
    rows::Version,
    scenario::{OUTAGE_LIMIT, PRICE},
    scene::lock,
};
use crate::{
    core::{
        Endpoint, HaltCause, ItemState,
        invariant::{self, Violation},
    },
    ledger::LedgerError,
    run::Outcome,
};

/// What else an outage may consist of, beside the pauses that were asked for.
const OUTAGE_SLACK: Duration = Duration::from_mins(5);

impl World {
    /// Returns true when nobody has to start the program again.
    pub(super) fn is_over(&mut self, ending: &Ending) -> bool {
        let Ending::Returned(outcome) = ending else { return false };
        if matches!(outcome.halted, Some(HaltCause::SpendCap { .. })) {
            let owed = self.items().iter().any(|item| item.state.is_owed());
            return outcome.interrupted.is_none() && outcome.manifest.is_none() && !owed;
        }
        if ended_early(outcome) {
            return false;
        }
        if self.scenario.edited && self.version() != Version::Second {
            return false;
        }
        let was_last = self.retrying || self.scenario.retry.is_none();
        self.retrying = true;
        was_last
    }

    /// No life ends in a way that its world does not explain.
    pub(super) fn check_ending(&self, books: &Books, ending: &Ending) -> Verdict {
        let Scenario { faults, .. } = self.scenario;
        let explained = match ending {
            Ending::Returned(outcome) => {
                self.check_rest(outcome, asked_for_long(books))?;
                self.explains(books, outcome)
            }
            Ending::Broke(LedgerError::Unavailable(_)) => faults.ledger_down.seconds > 0,
            Ending::Crashed => true,
            Ending::Broke(_) | Ending::Endless => false,
        };
        if explained { Ok(()) } else { Err(Violation::new("life", format!("{ending:?}"))) }
    }

    fn explains(&self, books: &Books, outcome: &Outcome) -> bool {
        let Scenario { faults, breaks_off, .. } = self.scenario;
        let cause = outcome.halted.as_ref();
        (outcome.panics == 0 || faults.fetch.panic > 0.0)
            && (outcome.manifest.is_none()
                || faults.ledger_down.seconds > 0
                || (breaks_off.is_some() && self.lives == 1))
            && (outcome.interrupted.is_none() || !lock(&self.asked).is_empty())
            && cause.is_none_or(|cause| self.explains_halt(books, cause))
    }

    fn explains_halt(&self, books: &Books, cause: &HaltCause) -> bool {
        let faults = self.scenario.faults;
        match cause {
            HaltCause::Account(_) => [Endpoint::Submit, Endpoint::Poll].iter().any(|endpoint| {
                let calls = books.calls_of(self.lives, *endpoint);
                calls.iter().any(|call| call.refused && call.heard.is_some())
            }),
            HaltCause::SpendCap { committed, cap } => {
                let waits = |item: &crate::core::Item| {
                    matches!(item.state, ItemState::Pending | ItemState::Staged)
                };
                self.scenario.cap() == Some(*cap)
                    && committed <= cap
                    && *committed + PRICE > *cap
                    && self.items().iter().any(waits)
            }
            HaltCause::Outage { lasted, .. } => {
                let lasts = |window: Window| window.seconds >= OUTAGE_LIMIT.as_secs();
                let never = faults.submit.unanswered() >= 1.0;
                let windows = [faults.down, faults.silent, faults.media_down];
                let explained = never || asked_for_long(books);
                *lasted >= OUTAGE_LIMIT && (explained || windows.into_iter().any(lasts))
            }
            HaltCause::Output(_) => faults.disk_full.seconds > 0,
        }
    }

    /// I1: a run that says it is through leaves nothing, and one that has spent all it may
    /// leaves nothing that is paid for.
    ///
    /// `patient`: the service has asked for so long a pause that nobody waits for it.
    fn check_rest(&self, outcome: &Outcome, patient: bool) -> Verdict {
        let capped = matches!(outcome.halted, Some(HaltCause::SpendCap { .. }));
        let otherwise = outcome.interrupted.is_some() || outcome.panics > 0;
        if otherwise || (ended_early(outcome) && !capped) {
            return Ok(());
        }
        for item in self.items() {
            if !capped {
                invariant::is_reported_once(&item)?;
            }
        }
        if capped && patient {
            return Ok(());
        }
        let all = self.items_seen_by(&lock(&self.witness));
        let owed = all.iter().filter(|item| item.state.is_owed());
        owed.into_iter().try_for_each(invariant::is_reported_once)
    }

    /// Returns everything one needs to see why, and the line that repeats it.
    pub(super) fn story(&self) -> String {
        let Scenario { name, .. } = self.scenario;
        let seed = self.seed;
        let last = self.stops.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let word = |stop: &Option<u64>| stop.map_or("-".to_owned(), |stop| stop.to_string());
        let stops: Vec<_> = self.stops[..last].iter().map(word).collect();
        let crashes = match stops.as_slice() {
            [] => String::new(),
            stops => format!(", crashed at boundary {} of its lives", stops.join(", ")),
        };
        let line = [vec![name.to_owned(), seed.to_string()], stops].concat().join(" ");
        format!(
            "scenario `{name}`, seed {seed}{crashes}:\n{}\n\nto repeat it with every run, add this line to tests/sim/seeds.txt:\n{line}\n",
            self.trace()
        )
    }
}

fn ended_early(outcome: &Outcome) -> bool {
    outcome.halted.is_some()
        || outcome.interrupted.is_some()
        || outcome.panics > 0
        || outcome.manifest.is_some()
}

pub(super) fn word(ending: &Ending) -> String {
    match ending {
        Ending::Returned(outcome) => format!("{outcome:?}"),
        Ending::Crashed => "crashed".to_owned(),
        Ending::Broke(error) => error.to_string(),
        Ending::Endless => "it has no end".to_owned(),
    }
}

/// Returns true when the service itself has asked for pauses of nearly an outage's length:
/// a server whose clock is a day ahead does.
fn asked_for_long(books: &Books) -> bool {
    let both = |life| [Endpoint::Submit, Endpoint::Poll].map(|of| books.calls_of(life, of));
    // A pause outlives the run that was asked for it, and a client that was taken over.
    let calls = books.lives().into_iter().flat_map(both).flatten();
    let asked: Duration = calls.filter_map(|call| call.pause).sum();
    asked + books.asked_before() + OUTAGE_SLACK >= OUTAGE_LIMIT
}
