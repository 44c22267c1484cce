//! Speaks with the service: submits (5) and polls (6).
//!
//! [`RestoreApi`] is the seam: [`HttpApi`] in production, a fake in simulation. What a
//! reply *means* is decided in one place, [`classify`], which follows the rules for
//! everything the service's page leaves open; above all, which replies prove that no
//! request was accepted and which leave it in doubt.
//!
//! Nothing here retries, waits or remembers: one call is one request on the wire.
//! Called by the workers of [`run`](crate::run); [`wire`] is shared with the gateway, and
//! [`webhook`] reads what the service calls back with.

pub mod classify;
mod contract;
mod http;

pub mod webhook;
pub mod wire;

pub use contract::{Known, RestoreApi, StatusOutcome, SubmitOrder, SubmitOutcome};
pub use http::{ApiSettings, BuildError, HttpApi};
