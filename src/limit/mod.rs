//! Paces what leaves this machine: rate, concurrency, and pauses the service asks for.
//!
//! [`Pacer`] is the only way to obtain permission to call. It answers at once, yes or
//! "not before": nobody ever waits in line while holding something another could use,
//! and permission is taken whole or not at all. The run's coordinator asks it.
//!
//! It does not sleep and does not retry.

mod gate;
mod pacer;
mod quota;
mod rate;
mod slots;

pub use pacer::{Grant, LaneLimits, Pacer};
