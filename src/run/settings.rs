//! What a run needs to know, validated by `config`.

use std::time::Duration;

use crate::{
    core::{Cadence, InDoubtPolicy, Micros, RetryPolicy},
    limit::LaneLimits,
};

/// The rules of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// Submits; `at_once` is the most requests at the service.
    pub submit: LaneLimits,
    /// Status requests.
    pub poll: LaneLimits,
    /// Downloads.
    pub fetch: LaneLimits,
    /// Rhythm of polls.
    pub cadence: Cadence,
    /// Longest wait for one request.
    pub deadline: Duration,
    /// How long the service may not know an id it has just given.
    pub unknown_grace: Duration,
    /// Price of one request.
    pub price: Micros,
    /// Most the job may commit.
    pub max_spend: Option<Micros>,
    /// What to do with a submit without a known answer.
    pub in_doubt: InDoubtPolicy,
    /// Tries of one download.
    pub fetch_retry: RetryPolicy,
    /// Submits of one item when the service answers ERROR.
    pub error_retry: RetryPolicy,
    /// Polls that may say COMPLETED without a picture.
    pub no_media: RetryPolicy,
    /// Fresh addresses asked for when downloads are refused.
    pub most_refreshes: u32,
    /// How long the service may give no sane answer before the job halts.
    pub outage_limit: Duration,
    /// How long a drain may take; with submits on the wire at least `request_timeout`,
    /// because a submit given up is in doubt.
    pub grace: Duration,
    /// Longest time for one API request and its answer.
    pub request_timeout: Duration,
    /// The service lives and dies with this process (`--local`): requests of an
    /// earlier run are gone, and were free.
    pub volatile_service: bool,
    /// Seed of the jitter.
    pub seed: u64,
}
