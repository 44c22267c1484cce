//! What every durable book of this program has in common: how its `SQLite` file is opened,
//! recognised, brought up to date, watched, and written to.
//!
//! ```text
//!  callers ──commands──► Writer: all that wait, in one transaction, commit, and only then
//!     ▲                          the answers ("group commit")
//!     └────────answers───────────┘
//! ```
//!
//! It knows no table: which statements a command stands for is up to a [`Book`]. Two use
//! it, the [`ledger`](crate::ledger) of jobs and the store of the
//! [`gateway`](crate::gateway).

mod error;
mod place;
mod schema;
mod writer;

pub(crate) use error::SqliteError;
pub(crate) use place::Place;
pub(crate) use schema::{Migration, Schema, reader_options, writer_options};
pub(crate) use writer::{Answers, Book, Reply, WriteError, Writer, Writing, answer};
