//! Reads the manifest: which photographs, in which order, under which names.
//!
//! ```text
//! bytes ─► sniff ─► table | json_lines ─► columns ─► row ─► Row
//!  hash    what it is   cells and lines    which is what   source, naming
//! ```
//!
//! Responsible for turning a file or standard input into rows with line numbers,
//! one at a time and in bounded memory, whatever the input. A row that cannot be
//! used fails by itself; input that is no manifest stops the job with a
//! [`ManifestError`] before anything is spent. Not responsible for reaching sources
//! (`stage`), for keeping rows (`ledger`) or for telling equal names apart
//! ([`core::artifact_stem`](crate::core::artifact_stem), counted by the ledger).
//!
//! Everything here blocks; `run` calls it from a blocking thread.

mod bytes;
mod columns;
mod error;
mod json_lines;
mod naming;
mod reader;
mod row;
mod sniff;
mod source;
mod splitter;
mod table;
#[cfg(test)]
mod tests;

pub use bytes::fingerprint_file;
pub use error::ManifestError;
pub use naming::{output_stem, source_stem};
pub use reader::{Input, Manifest, ReadOptions};
pub use row::{Row, RowItem};
pub use source::{Source, SourceError};
