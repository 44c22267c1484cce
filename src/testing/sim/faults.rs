//! What goes wrong in a world, as data.
//!
//! Numbers are probabilities in `0.0..=1.0` for each request unless they say otherwise;
//! which request meets which fault follows from the seed.

use std::time::Duration;

use super::dice::{Dice, What};

/// Everything that goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Of submits.
    pub submit: SubmitFaults,
    /// Of what becomes of accepted requests.
    pub course: Courses,
    /// Of status requests.
    pub poll: PollFaults,
    /// Of downloads.
    pub fetch: FetchFaults,
    /// Of webhooks.
    pub hook: HookFaults,
    /// Of the account.
    pub account: AccountFaults,
    /// The service refuses connections.
    pub down: Window,
    /// The service takes requests and does not say a word.
    pub silent: Window,
    /// No download succeeds.
    pub media_down: Window,
    /// The output folder cannot be written.
    pub disk_full: Window,
    /// The ledger cannot be written.
    pub ledger_down: Window,
}

/// Faults of submits; together at most one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SubmitFaults {
    /// The connection is refused.
    pub refused: f64,
    /// 429, with `Retry-After` in each of its forms or without.
    pub throttled: f64,
    /// 503, with or without `Retry-After`.
    pub unavailable: f64,
    /// 500, 502, 504 and their like; half of them after the request was accepted.
    pub server_error: f64,
    /// Accepted, and the answer is cut.
    pub reply_lost: f64,
    /// No answer before the client gives up; half of them accepted.
    pub hang: f64,
    /// A success whose body cannot be read; half of them accepted.
    pub garbled: f64,
    /// Rejected for good, by its status or in words.
    pub rejected: f64,
    /// The answer is slow: seconds, and now and then more than half a minute.
    pub slow: f64,
}

impl SubmitFaults {
    /// How many of the submits get no answer that says the service is sane.
    pub(super) fn unanswered(&self) -> f64 {
        let nothing = self.refused + self.unavailable + self.throttled;
        nothing + self.server_error + self.reply_lost + self.hang + self.garbled
    }
}

/// What becomes of an accepted request when it does not simply complete.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Courses {
    /// FAILED.
    pub failed: f64,
    /// ERROR.
    pub error: f64,
    /// COMPLETED without a picture at first.
    pub no_media: f64,
    /// COMPLETED, and a picture is never named.
    pub never_media: f64,
    /// Never finishes.
    pub stuck: f64,
    /// COMPLETED with several pictures.
    pub several: f64,
}

/// Faults of status requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PollFaults {
    /// No answer: refused, cut, or none in time.
    pub lost: f64,
    /// 500, 502 or 504.
    pub server_error: f64,
    /// 429 or 503, as for submits.
    pub throttled: f64,
    /// A body that cannot be read, or about another request.
    pub garbled: f64,
    /// 404, in the first 20 s of a request.
    pub early_unknown: f64,
    /// A status word nobody has documented.
    pub strange_word: f64,
}

/// Faults of downloads; together at most one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FetchFaults {
    /// The download breaks.
    pub cut: f64,
    /// It takes up to a minute.
    pub slow: f64,
    /// The link has expired.
    pub expired: f64,
    /// The step panics.
    pub panic: f64,
}

/// Faults of webhooks, where the client has asked for them; the first four together at
/// most one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HookFaults {
    /// It never comes.
    pub lost: f64,
    /// It comes twice.
    pub doubled: f64,
    /// It comes before the answer to the submit.
    pub early: f64,
    /// It comes minutes late.
    pub late: f64,
    /// Others come that somebody has made up.
    pub forged: f64,
    /// One comes about a submit that is answered with 429, 503 or a rejection, and that
    /// the service does nothing for.
    pub belied: f64,
}

/// What the owner of the account has to mend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountFaults {
    /// After this many accepted requests the wallet is empty; 0 for never.
    pub wallet: u64,
    /// The key is revoked at this second.
    pub key_revoked_at: Option<u64>,
    /// The model is disabled at this second.
    pub model_disabled_at: Option<u64>,
}

/// A part of the world's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// It begins at this second of the world…
    pub from: u64,
    /// … or up to so many seconds later, as the seed says.
    pub spread: u64,
    /// It lasts this many seconds; 0 for never.
    pub seconds: u64,
}

impl Window {
    /// Returns a window without spread.
    #[must_use]
    pub const fn new(from: u64, seconds: u64) -> Self {
        Self { from, spread: 0, seconds }
    }

    /// Returns true when `now` lies in it.
    pub(super) fn has(self, dice: Dice, now: Duration) -> bool {
        if self.seconds == 0 {
            return false;
        }
        let from = match self.spread {
            0 => self.from,
            spread => dice.between(What::Window, 0, self.from, self.from + spread),
        };
        (from..from + self.seconds).contains(&now.as_secs())
    }
}
