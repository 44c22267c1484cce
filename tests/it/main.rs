//! The program from outside, and the shape of what is inside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod support;

mod damaged_ledger;
mod deploy;
mod disk;
mod edits;
mod exit_codes;
mod gateway;
mod help;
mod layering;
mod neighbours;
mod readme;
mod resume;
mod run_batch;
mod secrets;
mod signals;
mod source_text;
mod summary;
mod webhooks;
