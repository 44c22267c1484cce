//! What a run may ask of the service, and what can come back.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::core::{Failure, RequestId};

/// One picture to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitOrder {
    /// Public URL of the picture.
    pub img: String,
    /// Upscale factor, 1 to 4.
    pub scale: u8,
    /// Model version.
    pub version: String,
    /// Where the service shall call back when the request has ended; a key, see
    /// [`CallbackAddresses`](crate::core::CallbackAddresses).
    pub webhook: Option<String>,
}

/// What a submit came to. Each variant says what is known about money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Accepted; paid unless it ends in ERROR.
    Accepted {
        /// The service's name for the request.
        request_id: RequestId,
        /// Where the service says its status is.
        polling_url: Option<String>,
    },
    /// Nothing left this machine. Free.
    NotSent(Failure),
    /// The service answered and accepted nothing; the same request may pass later. Free.
    Unavailable {
        /// Why.
        failure: Failure,
        /// The pause the service asked for.
        retry_after: Option<Duration>,
    },
    /// 429: nothing accepted, slow down. Free.
    Throttled {
        /// Why.
        failure: Failure,
        /// The pause the service asked for.
        retry_after: Option<Duration>,
    },
    /// The service refuses this picture for good. Free.
    Rejected(Failure),
    /// The service refuses the account, the key or the model. Free.
    Account(Failure),
    /// The request left and nobody can know whether it was accepted.
    InDoubt(Failure),
}

/// A request whose status is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The service's name for it.
    pub request_id: RequestId,
    /// Where the service said its status is.
    pub polling_url: Option<String>,
}

/// What a status request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusOutcome {
    /// Not finished yet, or in a state this version does not know.
    Waiting {
        /// The service's word.
        word: String,
    },
    /// Finished, with at least one address of a picture.
    Completed {
        /// Addresses, in the service's order.
        media: Vec<String>,
        /// How long the service has taken, by its own clock, when it says.
        took: Option<Duration>,
    },
    /// COMPLETED without an address of a picture.
    NoMedia(Failure),
    /// FAILED: charged.
    Failed(Failure),
    /// ERROR: not charged.
    Error(Failure),
    /// 404: the service does not know the id, or not yet.
    Unknown(Failure),
    /// 429 (class `Throttled`: slow down) or 503 (class `Transient`: out of order).
    Throttled {
        /// Why.
        failure: Failure,
        /// The pause the service asked for.
        retry_after: Option<Duration>,
    },
    /// 401 or 403: polling is useless until the key is right.
    Account(Failure),
    /// No answer that says anything about the request.
    Unavailable(Failure),
}

/// The remote service as a run sees it.
pub trait RestoreApi: Send + Sync {
    /// Sends one request. The caller has made the attempt durable.
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome>;

    /// Asks for the status of one request. Free.
    fn status<'a>(&'a self, request: &'a Known) -> BoxFuture<'a, StatusOutcome>;
}
