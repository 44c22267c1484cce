//! One request with everything that is kept of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::{api::wire::Status, core::Micros};

/// How request ids begin, as the hosted service's do.
pub(in crate::gateway) const ID_PREFIX: &str = "gfpgan_";

/// One accepted request.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gateway) struct Record {
    pub(in crate::gateway) id: String,
    /// Name of the account that pays.
    pub(in crate::gateway) account: Arc<str>,
    /// Number of the submit, for faults; refused ones count too.
    pub(in crate::gateway) submit: i64,
    pub(in crate::gateway) img: String,
    pub(in crate::gateway) scale: u8,
    pub(in crate::gateway) version: String,
    /// In the database PROCESSING is QUEUED.
    pub(in crate::gateway) status: Status,
    pub(in crate::gateway) created_at: Timestamp,
    pub(in crate::gateway) updated_at: Timestamp,
    pub(in crate::gateway) completed_at: Option<Timestamp>,
    pub(in crate::gateway) error: Option<String>,
    pub(in crate::gateway) result: Option<ResultFacts>,
    /// What the engine did, as the status reply shows it.
    pub(in crate::gateway) report: Option<Value>,
    /// How often work on it was begun and nothing ended it: the process was gone first.
    pub(in crate::gateway) starts: u32,
    /// What it costs; nothing once it was refunded.
    pub(in crate::gateway) charged: Micros,
    pub(in crate::gateway) idempotency: Option<IdempotencyKey>,
    pub(in crate::gateway) callback: Option<Callback>,
}

/// A finished picture; where it lies follows from the request's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct ResultFacts {
    pub(in crate::gateway) bytes: u64,
    pub(in crate::gateway) blake3: blake3::Hash,
}

/// The client's name for a submit, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct IdempotencyKey {
    pub(in crate::gateway) key: String,
    /// Hash of the submitted body.
    pub(in crate::gateway) body: blake3::Hash,
}

/// Where to tell of the end of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Callback {
    /// May hold a secret; never logged.
    pub(in crate::gateway) url: String,
    /// How often it was tried in vain.
    pub(in crate::gateway) attempts: u32,
    /// When to try next; `None` before the end, after success, and when given up.
    pub(in crate::gateway) due: Option<Timestamp>,
}

/// How a request has ended.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gateway) struct Ended {
    pub(in crate::gateway) at: Timestamp,
    /// COMPLETED, FAILED or ERROR; ERROR is refunded.
    pub(in crate::gateway) status: Status,
    pub(in crate::gateway) error: Option<String>,
    pub(in crate::gateway) result: Option<ResultFacts>,
    pub(in crate::gateway) report: Option<Value>,
}

impl Record {
    /// Returns whether a callback is still to be delivered.
    pub(in crate::gateway) fn callback_is_due(&self) -> bool {
        self.callback.as_ref().is_some_and(|callback| callback.due.is_some())
    }

    /// Ends the request: the callback, if one is wanted, is due at once, and ERROR costs
    /// nothing. Returns what is given back.
    pub(in crate::gateway) fn end(&mut self, ended: Ended) -> Micros {
        let Ended { at, status, error, result, report } = ended;
        self.status = status;
        self.updated_at = at;
        self.completed_at = Some(at);
        self.error = error;
        self.result = result;
        self.report = report;
        if let Some(callback) = &mut self.callback {
            callback.due = Some(at);
        }
        match status {
            Status::Error => std::mem::take(&mut self.charged),
            _ => Micros::ZERO,
        }
    }
}
