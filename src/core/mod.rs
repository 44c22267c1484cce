//! The rules of the program, and nothing else: what an item is, which moves are
//! legal, what an answer means for money, when to try again.
//!
//! Everything here is pure. No function awaits, reads a file, a clock or a random
//! number; time and jitter come in as arguments. That is what lets the same rules
//! run in production, in the in-memory ledger and under a simulated clock.

mod budget;
mod cadence;
mod callback;
mod cell;
mod columns;
mod event;
mod failure;
pub mod http_date;
mod ids;
pub mod invariant;
mod item;
mod loopback;
mod money;
mod naming;
mod pace;
mod paths;
mod redact;
mod retry;
pub mod retry_after;
mod service_time;
mod state;

pub use budget::Budget;
pub use cadence::{Cadence, OpenRequest, poll_price};
pub use callback::{Callback, CallbackAddresses, CallbackSecret};
pub use cell::{escape_formula, unescape_formula};
pub use columns::{FAILURE_COLUMNS, RESULT_COLUMNS};
pub use event::{Endpoint, HaltCause, RunEvent};
pub use failure::{Failure, FailureClass, FailureCode};
pub use ids::{ContentHash, Edition, Fence, ItemId, ItemKey, RequestId};
pub use item::{Artifact, Attempt, Booking, Item, Photo, Request};
pub use loopback::is_loopback;
pub use money::{Micros, ParseMicrosError};
pub use naming::{artifact_stem, collision_key};
pub use pace::Pace;
pub use paths::{PATH_SEGMENT, normalise_path};
pub use redact::{is_disturbing, without_queries};
pub use retry::{InDoubtPolicy, MOST_DOUBTFUL_SUBMITS, RetryDecision, RetryPolicy, jitter};
pub use service_time::{Observation, ServiceTimes};
pub use state::{EventKind, IllegalTransition, ItemEvent, ItemState};
