//! What a run tells its reporters. They listen; nothing they do changes the run.

use std::time::Duration;

use super::{Failure, FailureCode, Item, ItemId, Micros, RequestId};

/// The three things a run asks of other machines, each with its own pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// POST of a request.
    Submit,
    /// Status request.
    Poll,
    /// Download of a picture.
    Fetch,
}

impl Endpoint {
    /// Returns the word used in logs and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Poll => "poll",
            Self::Fetch => "fetch",
        }
    }
}

/// Why a job stopped before its end. All of them can be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HaltCause {
    /// The account: key refused, balance empty, model disabled.
    Account(Failure),
    /// One more request would overshoot the spend cap.
    SpendCap {
        /// Charged, possibly charged and reserved so far.
        committed: Micros,
        /// The cap.
        cap: Micros,
    },
    /// The service, or the host of its pictures, gave no sane answer for this long.
    Outage {
        /// How long.
        lasted: Duration,
        /// The last thing that went wrong; its code says whose fault it was.
        failure: Failure,
    },
    /// The output folder cannot be written.
    Output(Failure),
}

/// Something a person watching the run may want to know.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// Manifest rows have reached the ledger.
    Imported {
        /// Different photos among the rows so far.
        photos: u64,
        /// Rows so far that name none, and have failed with that.
        bad: u64,
        /// True when the manifest was read to its end.
        complete: bool,
    },
    /// A request was accepted.
    Submitted {
        /// The item.
        item: ItemId,
        /// The service's name for the request.
        request_id: RequestId,
    },
    /// The service has called back and so named the request of an item in doubt, which is
    /// polled from now on.
    Named {
        /// The item.
        item: ItemId,
        /// Its source as written, which may be a key itself.
        source: String,
        /// The service's name for the request.
        request_id: RequestId,
        /// The item was told to be in doubt in this run.
        was_told: bool,
    },
    /// An item is done, failed, in doubt or skipped.
    Settled(Box<Item>),
    /// The service asked for a pause.
    GateClosed {
        /// Which requests pause.
        endpoint: Endpoint,
        /// For how long from now.
        pause: Duration,
        /// How many of them a second may leave after that.
        per_second: f64,
    },
    /// A pause that the service asked for before this run is not over yet.
    GateStillClosed {
        /// Which requests pause.
        endpoint: Endpoint,
        /// For how long from now.
        pause: Duration,
    },
    /// Submitting stopped because the service, or the host of its pictures, does not answer
    /// sanely.
    Outage {
        /// What went wrong.
        failure: Failure,
    },
    /// The outage is over: who did not answer answers again.
    OutageOver {
        /// How long it lasted.
        lasted: Duration,
    },
    /// A step failed and will be tried again.
    WillRetry {
        /// The item.
        item: ItemId,
        /// What went wrong.
        code: FailureCode,
        /// After this long.
        after: Duration,
    },
    /// The job stops submitting for good. What is paid for is finished as far as it can be:
    /// polls stop too when they are what failed, and downloads when their folder did.
    Halted(HaltCause),
    /// Someone asked the run to stop; this many requests are still on the wire.
    Draining {
        /// Steps that are being waited for.
        steps: usize,
    },
    /// Someone asked the run not to wait any more.
    Abandoning {
        /// Steps that are given up; a submit among them is in doubt.
        steps: usize,
    },
}
