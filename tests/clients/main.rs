//! Programs that others have written, against the real binary: the three clients of the
//! provider's page by their own interpreters, a receiver of signed callbacks, and a checker
//! that reads the gateway's own description and looks for answers that do not fit it.
//!
//! What they need is made ready by `scripts/test-tools`, once for each target folder.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod checker;
mod gateway;
mod round_trip;
mod signed;
#[expect(dead_code, unused_imports, reason = "shared with `it`, which needs more of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod tools;
