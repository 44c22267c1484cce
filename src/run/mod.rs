//! Moves items through the flow: manifest → ledger → pace → stage → submit → poll →
//! fetch → publish → report.
//!
//! # Theory of operation
//!
//! One loop, the `coordinator`, turns everything that happens into one
//! event at a time: a step ended, a poll is due, rows arrived, someone pressed Ctrl-C.
//! The `Board` decides, synchronously and without I/O, what follows, and the loop
//! starts it. A *step* is one durable move of one item, done by a worker: ask the
//! service, let `verdict` say what the answer means, write the resulting event to the
//! ledger, report back.
//!
//! Three rules carry the promises of the program:
//!
//! - **A POST leaves only after its attempt is durable.** The worker writes
//!   `SubmitIntent` and waits for the ledger before it calls the service. Quota, gate
//!   and slot are in hand before that; nothing but the POST comes after.
//! - **Nobody waits in line holding something another could use.** Permission to call
//!   is asked for when the call could start at once, and given whole or not at all.
//! - **Memory does not depend on the manifest.** Items wait in the ledger; the board
//!   holds those at the service (`in_flight`) and a small supply of the next ones.
//!
//! Where the service is asked to call back ([`Webhooks`]), a callback is one more event:
//! it brings the poll of its item forward, or names the request of an item in doubt,
//! which is then polled like any other. The status endpoint decides; polls go on, rarely.
//!
//! A restart reads what is owed from the ledger ([`recovery`]) and goes on; were it more
//! than may be at the service at once, page by page. What was
//! `Submitting` is in doubt then, because nobody knows whether the POST left.
//!
//! Called by `cli`; in simulation by `testing`.

mod board;
mod breaker;
mod coordinator;
mod intake;
mod outcome;
mod poller;
mod recorder;
pub mod recovery;
mod settings;
mod shutdown;
mod step;
mod supply;
mod verdict;
mod webhooks;
mod worker;

pub use board::most_unfetched;
pub use coordinator::{Parts, run};
pub use intake::{
    Intake, IntakeError, IntakeNotice, IntakePlan, edition_content, header_of, new_row,
    start as start_intake,
};
pub use outcome::{Outcome, RunError};
pub use recorder::{Recorder, RecorderError, RecorderHandle, RecorderReporter};
pub use settings::RunSettings;
pub(crate) use shutdown::die_of;
pub use shutdown::{StopLevel, Stops};
pub use webhooks::Webhooks;
pub use worker::probe;
