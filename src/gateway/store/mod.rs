//! Keeps what was accepted, what it has come to, and what each account has spent, so that
//! a restart, a `kill -9` included, forgets nothing.
//!
//! ```text
//! STATE/ gateway.db   requests and money; a row is durable before its client hears of it
//!        results/     ID.png, whole and durable before its row says COMPLETED
//!                     orphaned/ results that no row knows
//!        lock         held while a gateway works here
//! ```
//!
//! **Accepting** is one transaction: the row and the charge. **Ending** is another: state,
//! refund, and when the callback is due. In between only that work
//! on it has begun is counted, so a request that was being worked on is QUEUED when the
//! gateway comes back, and one that keeps ending the process is known by its count. If its result is
//! there, it is whole, because results get their name only when they are durable; then the
//! request ends from that file and is not restored again. **Sweeping** removes the row
//! first: a file without a row is set aside at the next start, a row without its file
//! would promise what is not there.
//!
//! Not responsible for: what clients see, which is the book in memory
//! ([`requests`](super::requests)); it is filled from here at the start. The gateway's
//! other parts call it through [`Shared`](super::shared::Shared).

mod folder;
mod orphans;
mod record;
mod recovery;
mod rows;
mod schema;
mod writes;

pub(super) use folder::State;
pub use folder::StateError;
pub(super) use orphans::sweep_orphans;
pub(super) use record::{Callback, Ended, ID_PREFIX, IdempotencyKey, Record, ResultFacts};
pub(super) use recovery::recover;
pub(super) use rows::Kept;

#[cfg(test)]
mod tests;
