//! A world in which a whole run takes milliseconds and can be stopped anywhere.
//!
//! The coordinator, the ledger contract, the pacing and all rules are the real ones;
//! only the other machines are fakes: [`FakeService`] answers with seeded faults,
//! [`FakeFetcher`] remembers what it published. Time is tokio's paused clock.
//!
//! Every effect passes a *boundary* ([`Boundaries`]): before and after each ledger
//! write, each request and each publication. [`World::live`] can stop everything at
//! boundary k, as a power cut would, and a later run continues with the same ledger
//! and the same service. [`World::check`] then looks at the invariants.

mod boundary;
mod checks;
mod fetcher;
mod ledger;
mod service;
mod world;

pub use boundary::Boundaries;
pub use fetcher::FakeFetcher;
pub use ledger::BoundaryLedger;
pub use service::{FakeService, Faults};
pub use world::{Ending, Scenario, World};
