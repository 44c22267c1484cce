//! What a world is like, and what it promises.

use std::time::Duration;

use super::{
    Faults,
    service::{DEADLINE, REQUEST_TIMEOUT, UNKNOWN_GRACE},
};
use crate::{
    core::{Cadence, InDoubtPolicy, Micros, RetryPolicy},
    limit::LaneLimits,
    run::RunSettings,
};

/// Submits per second in every world.
pub(super) const SUBMIT_RATE: f64 = 5.0;

/// Status requests per second in every world.
pub(super) const POLL_RATE: f64 = 20.0;

/// Status requests at once in every world.
pub(super) const POLLS_AT_ONCE: usize = 10;

/// Shortest time between two polls of one item.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How long a drain may take when no submit is on the wire.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// Submits of one item when the service answers ERROR.
pub(super) const ERROR_TRIES: u32 = 4;

/// Tries of a download.
pub(super) const FETCH_TRIES: u32 = 8;

/// Fresh links asked for when they expire.
pub(super) const MOST_REFRESHES: u32 = 5;

/// An outage halts the job after this long.
pub(super) const OUTAGE_LIMIT: Duration = Duration::from_mins(30);

/// The service's price.
pub(super) const PRICE: Micros = Micros(3_100);

/// What a world is like. The default is a quiet one.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name for messages and for `seeds.txt`.
    pub name: &'static str,
    /// Pictures in the manifest.
    pub items: u32,
    /// What goes wrong.
    pub faults: Faults,
    /// Policy for lost answers.
    pub in_doubt: InDoubtPolicy,
    /// Most requests at the service.
    pub in_flight: usize,
    /// Spend cap in requests.
    pub cap: Option<u64>,
    /// When all is done, `retry` takes up what has failed.
    pub retry: Option<Retry>,
    /// Who asks a life to stop, and when.
    pub stops: Stopping,
    /// The manifest arrives in batches, up to so many seconds apart, while the first
    /// pictures are on their way.
    pub import_gap: u64,
    /// The manifest is edited after the first life.
    pub edited: bool,
    /// The client's wall clock is wrong by up to a day, differently in each life, and is
    /// set while it runs.
    pub wall_jumps: bool,
    /// The service is asked to call back.
    pub webhooks: bool,
    /// In the first life the manifest breaks off after so many batches.
    pub breaks_off: Option<u32>,
}

/// What `retry` takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// What has failed.
    Failed,
    /// And what is in doubt.
    InDoubtToo,
}

/// Who asks a life to stop, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// Nobody.
    Never,
    /// The first life drains after this many seconds.
    DrainAfter(u64),
    /// The first three lives drain, and half of them are stopped for good while they
    /// drain, at seeded times.
    Anytime,
    /// A second client takes the job over while the first one runs, which hears of it
    /// only from the ledger.
    Takeover,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "quiet",
            items: 20,
            faults: Faults::default(),
            in_doubt: InDoubtPolicy::Hold,
            in_flight: 10,
            cap: None,
            retry: None,
            stops: Stopping::Never,
            import_gap: 0,
            edited: false,
            wall_jumps: false,
            webhooks: false,
            breaks_off: None,
        }
    }
}

impl Scenario {
    /// Returns the spend cap in money.
    pub(super) fn cap(&self) -> Option<Micros> {
        self.cap.map(|requests| PRICE.times(requests))
    }

    /// Returns the rules of every life.
    pub(super) fn rules(&self, seed: u64) -> RunSettings {
        let lane = |per_second, at_once| LaneLimits { per_second, at_once };
        let policy = |tries, first| RetryPolicy {
            tries,
            first_delay: Duration::from_secs(first),
            max_delay: Duration::from_mins(1),
        };
        RunSettings {
            submit: lane(SUBMIT_RATE, self.in_flight),
            poll: lane(POLL_RATE, POLLS_AT_ONCE),
            fetch: lane(20.0, 4),
            cadence: Cadence { interval: POLL_INTERVAL, max_interval: Duration::from_secs(30) },
            deadline: DEADLINE,
            unknown_grace: UNKNOWN_GRACE,
            price: PRICE,
            max_spend: self.cap(),
            in_doubt: self.in_doubt,
            fetch_retry: policy(FETCH_TRIES, 1),
            error_retry: policy(ERROR_TRIES, 10),
            no_media: policy(5, 5),
            most_refreshes: MOST_REFRESHES,
            outage_limit: OUTAGE_LIMIT,
            grace: GRACE,
            request_timeout: REQUEST_TIMEOUT,
            volatile_service: false,
            seed,
        }
    }
}
