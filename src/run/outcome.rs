//! How a run ended.

use super::intake::IntakeError;
use crate::{
    core::{HaltCause, Pace},
    ledger::LedgerError,
};

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Why it stopped early, if it did by itself.
    pub halted: Option<HaltCause>,
    /// The signal that ended it.
    pub interrupted: Option<i32>,
    /// Why the manifest could not be read to its end.
    pub manifest: Option<IntakeError>,
    /// Steps that panicked: bugs.
    pub panics: u64,
    /// How fast submits could go, and pauses asked for.
    pub submit: Pace,
    /// The same for polls.
    pub poll: Pace,
}

impl Outcome {
    /// Returns true when nothing is left to do: every item is settled.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        let Self { halted, interrupted, manifest, panics, .. } = self;
        halted.is_none() && interrupted.is_none() && manifest.is_none() && *panics == 0
    }
}

/// A run could not go on. Nothing that was acknowledged is lost.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
