//! Tells people and programs what happened (8): progress, results.csv, failures.csv,
//! the summary.
//!
//! Everything here listens. It hears [`core::RunEvent`](crate::core::RunEvent) or is
//! handed rows, and never asks the ledger or the run for anything; whoever owns those
//! (`run::recorder`, `cli`) brings the data.

mod failures_csv;
mod progress;
mod reporter;
mod results_csv;
mod summary;
mod table;
mod words;

pub use progress::{ProgressBar, ProgressLines};
pub use reporter::{Reporter, Reporters};
pub use summary::{Ending, Summary};
pub use table::{Sheet, SheetKind, SheetRow};
pub use words::silent_party;
