//! What a gateway has done so far, for operators and tests.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::core::Micros;

/// How many requests are where; ended ones are counted after they are swept, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) queued: u64,
    pub(super) processing: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) errors: u64,
}

/// What a gateway has done since it started. What its state still had then of earlier
/// requests, and all money, is included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStats {
    /// Charged to all accounts in micro-dollars, refunds taken off.
    pub charged: Micros,
    /// Requests that wait now.
    pub queued: u64,
    /// Requests that are being worked on now.
    pub processing: u64,
    /// Requests that ended in COMPLETED.
    pub completed: u64,
    /// Requests that ended in FAILED.
    pub failed: u64,
    /// Requests that ended in ERROR.
    pub errors: u64,
    /// Status requests with a valid key.
    pub polls: u64,
    /// Downloads that were asked for.
    pub downloads: u64,
    /// Accepted submits for each `img`; empty unless
    /// [`record_submits`](super::GatewaySettings::record_submits) is on.
    pub accepted: BTreeMap<String, u64>,
}

/// One accepted request as the gateway's books have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedRequest {
    /// The gateway's name for it.
    pub request_id: String,
    /// Number of the submit; refused ones count too.
    pub submit: i64,
    /// What was to be restored.
    pub img: String,
    /// A status word.
    pub status: String,
    /// BLAKE3 of the result, once there is one.
    pub blake3: Option<String>,
}

/// Counts what clients ask for and is not remembered otherwise.
#[derive(Debug, Default)]
pub(super) struct Visits {
    polls: AtomicU64,
    downloads: AtomicU64,
}

impl Visits {
    pub(super) fn poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn download(&self) {
        self.downloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns polls and downloads.
    pub(super) fn counted(&self) -> (u64, u64) {
        (self.polls.load(Ordering::Relaxed), self.downloads.load(Ordering::Relaxed))
    }
}

/// Counts accepted submits for each `img`, when that is wanted.
#[derive(Debug)]
pub(super) struct SubmitRecord(Option<Mutex<BTreeMap<String, u64>>>);

impl SubmitRecord {
    pub(super) fn new(wanted: bool) -> Self {
        Self(wanted.then(Mutex::default))
    }

    pub(super) fn add(&self, img: &str) {
        if let Some(record) = &self.0 {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            *record.entry(img.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.as_ref().map_or_else(BTreeMap::new, |record| {
            record.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}
