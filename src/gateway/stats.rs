//! What a gateway has done so far, for operators and tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

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

/// What a gateway has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayStats {
    /// Charged to all accounts, refunds taken off.
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
    /// Accepted submits for each `img`; empty unless
    /// [`record_submits`](super::GatewaySettings::record_submits) is on.
    pub accepted: BTreeMap<String, u64>,
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
