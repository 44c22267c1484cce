//! Restores photo archives through a hosted GFPGAN API: every photo exactly once,
//! never paid for twice, never lost.
//!
//! A manifest row travels through the folders of `src/` in this order:
//!
//! ```text
//! manifest ─► ledger ─► limit ─► stage ─► api (submit, poll) ─► fetch ─► report
//!   read      remember   pace    reach        the service      publish    tell
//! ```
//!
//! [`core`] holds the rules, [`run`] moves items through the flow, [`cli`] is what a
//! person types. [`webhook`] hears the service when it calls back. [`engine`] and
//! [`gateway`] are the service's self-hosted twin.

// Rules and time, used by everything below.
pub mod core;

pub mod clock;

mod sqlite;

// The flow, in order.
pub mod manifest;

pub mod ledger;

pub mod limit;

pub mod stage;

pub mod api;

pub mod fetch;

pub mod run;

pub mod report;

// The self-hosted service.
pub mod engine;

pub mod gateway;

// The way back from the service.
pub mod webhook;

// What a person types and sees.
pub mod config;

pub mod cli;

pub mod telemetry;

// Fakes and harnesses; never in a release binary.
#[cfg(feature = "testing")]
pub mod testing;
