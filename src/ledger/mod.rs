//! Keeps every durable fact of a job: rows, items, attempts, money.
//!
//! The ledger is the only record of money there is, because the service has no list
//! of requests and no balance endpoint. So a write is acknowledged only once it would
//! survive a power cut, and an item changes in one way only: [`Ledger::advance`]
//! applies [`Item::apply`](crate::core::Item::apply), and with it the transition
//! table of [`core`](crate::core).
//!
//! It does not decide anything: when to submit, poll or give up is up to
//! [`run`](crate::run). It is called by `run`, `report` (through records) and `cli`.
//!
//! Two implementations fulfil the same contract, and the same conformance suite
//! (`testing::ledger_suite`): [`SqliteLedger`] for real jobs, [`MemoryLedger`] for
//! simulation.
//!
//! How the `SQLite` ledger is built:
//!
//! ```text
//!  Ledger calls ──writes──► channel ──► writer: all that wait, in one transaction,
//!       │                               commit, and only then the answers
//!       └────────reads────► reader: a small pool of connections that cannot write
//! ```
//!
//! Tables grow at their ends only, so that the ten millionth row is imported about as fast
//! as the first: what is asked for by a hash, the keys of items and the stems they took, is
//! in `names`.

mod contract;
mod record;

// What both ledgers do alike.
mod head;
mod import;
mod names;

mod memory;

mod bulk;
mod counts;
mod fault;
mod given;
mod import_rows;
mod reader;
mod rows;
mod schema;
mod sqlite;
mod statements;
mod steps;
mod writer;

mod lock;

pub use contract::{Audit, Ledger, LedgerError, LedgerResult};
pub use lock::{JobLock, LockError, LockHolder, network_file_system};
pub use memory::MemoryLedger;
pub use record::{
    EditionHeader, Imported, JobRecord, Money, NewItem, NewRow, Pauses, RowFilter, RowRecord,
    SettledRow, Totals,
};
pub use sqlite::SqliteLedger;
