//! Fakes and harnesses for tests and benchmarks.
//!
//! Compiled only with the feature `testing`, which the crate switches on for itself
//! as a dev-dependency; a release binary never contains it.

pub mod bomb;
pub mod degrade;
mod held_engine;
pub mod ledger_suite;
pub mod likeness;
pub mod samples;
pub mod scripted_server;
pub mod sim;

pub use held_engine::HeldEngine;
