//! The columns that this program adds to a manifest's own.
//!
//! Both sides need them: `report` writes them, and `manifest` drops them again when a
//! results.csv or failures.csv is used as a manifest.

/// Our columns in results.csv.
pub const RESULT_COLUMNS: [&str; 13] = [
    "status",
    "output",
    "media_url",
    "request_id",
    "attempts",
    "submitted_at",
    "completed_at",
    "seconds",
    "width",
    "height",
    "bytes",
    "blake3",
    "cost_usd",
];

/// Our columns in failures.csv.
pub const FAILURE_COLUMNS: [&str; 6] =
    ["code", "reason", "http_status", "request_id", "attempts", "charged"];
