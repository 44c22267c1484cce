//! The words between the board, which decides, and the workers, which act.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    core::{Endpoint, Failure, Item, ItemId, Micros, RequestId},
    ledger::LedgerError,
};

/// One durable move of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the source reachable by URL.
    Stage,
    /// Reserve, POST, remember the answer.
    Submit,
    /// Ask for the status.
    Poll,
    /// Download, verify, publish.
    Fetch,
}

/// What the answer to a step says about the service, beyond the item.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Signal {
    /// It answered.
    Sane,
    /// It says nothing about the service.
    None,
    /// It asked for a pause (429).
    Throttled { failure: Failure, retry_after: Option<Duration> },
    /// It could not be reached, or is briefly unavailable. Nothing was accepted. Of a
    /// download: it may succeed another time.
    Down { failure: Failure, retry_after: Option<Duration> },
    /// It left a submit in doubt.
    Doubtful(Failure),
    /// It refuses the account.
    Account(Failure),
    /// The output folder of this machine cannot be written.
    Output(Failure),
}

/// How a step ended.
#[derive(Debug)]
pub(super) struct StepReport {
    pub(super) step: Step,
    /// The item after the step, as the ledger has it.
    pub(super) item: Item,
    pub(super) signal: Signal,
    /// A failure that the policy will try again; reported to people.
    pub(super) retrying: Option<Failure>,
    /// How long the service has taken, when this poll found the request done.
    pub(super) took: Option<Duration>,
}

/// What a finished task hands to the loop.
#[derive(Debug)]
pub(super) enum Finished {
    Step(Box<StepReport>),
    /// The step panicked; the ledger has the item as it was before the panic.
    Panicked {
        step: Step,
        item: ItemId,
    },
    /// The ledger cannot go on; found out by this step, if by one.
    Ledger {
        error: LedgerError,
        step: Option<(Step, ItemId)>,
    },
    /// Items that may be worked on.
    Loaded {
        items: Vec<Item>,
        complete: bool,
    },
    /// What was to be done about an item in doubt is done: the item after it, and what it
    /// had committed before; `None` when nothing was done.
    Resolved {
        id: ItemId,
        attempt: u32,
        change: Option<(Box<Item>, Micros)>,
    },
    /// The same, and the ledger cannot go on.
    Unresolved {
        id: ItemId,
        attempt: u32,
        error: LedgerError,
    },
    /// A probe came back, with what it says about the service.
    Probed(Signal),
    /// The ledger has a pause, or cannot go on.
    PauseKept(Result<(), LedgerError>),
}

/// What the board wants done.
#[derive(Debug)]
pub(super) enum Action {
    /// Run a step of an item.
    Start(Step, Box<Item>),
    /// Read more items after this one: owed ones, or such as are not submitted yet;
    /// `complete` when the manifest is known to be read to its end.
    Load { owed: bool, after: ItemId, complete: bool },
    /// Ask for the status of a request to see whether the service is back.
    Probe,
    /// Write down the name of the request of an attempt, if that is in doubt.
    /// An attempt that was free is only named when its price is set aside: when it was
    /// `denied` a moment ago.
    Name { item: ItemId, attempt: u32, request_id: RequestId, denied: bool },
    /// Take an item in doubt up again, as the policy says.
    Resubmit { item: ItemId, attempt: u32 },
    /// Write that an item is given up, whose status can never be read.
    GiveUp { item: Box<Item>, failure: Failure },
    /// Write down until when the service asked for a pause.
    KeepPause { endpoint: Endpoint, until: Timestamp },
    /// Wake an item at this time.
    Park(ItemId, tokio::time::Instant),
}
