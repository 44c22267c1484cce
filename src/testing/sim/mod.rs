//! A world in which a whole run takes milliseconds and can be stopped anywhere.
//!
//! The coordinator, the ledger contract, the pacing, the reading of answers
//! ([`classify`](crate::api::classify)) and all rules are the real ones; only the other
//! machines are fakes: [`FakeService`] gives HTTP answers with seeded [`Faults`],
//! [`FakeFetcher`] remembers what it published. Time is tokio's paused clock.
//!
//! Every effect passes a *boundary* ([`Boundaries`]): before and after each ledger
//! write, each request and each publication. [`World::live`] can stop everything at
//! boundary k, as a power cut would, and a later run continues with the same ledger
//! and the same service.
//!
//! A [`World`] looks at the invariants of [`core::invariant`](crate::core::invariant)
//! after every life and when it is dropped: the service's books, a witness beside the
//! ledger and the disk on one side, what the ledger says on the other. Everything follows
//! from the seed; no fake keeps a die of its own.

mod boundary;
mod dice;
mod faults;
mod scenario;
mod scene;

// The other machines.
mod books;
mod fetcher;
mod hooks;
mod ledger;
mod reply;
mod rows;
mod service;

// What happens, and what is looked at.
mod checks;
mod client;
mod endings;
mod results;
mod witness;
mod world;

pub use boundary::Boundaries;
pub use client::Wrap;
pub use faults::{
    AccountFaults, Courses, Faults, FetchFaults, HookFaults, PollFaults, SubmitFaults, Window,
};
pub use fetcher::FakeFetcher;
pub use ledger::BoundaryLedger;
pub use scenario::{Retry, Scenario, Stopping};
pub use service::FakeService;
pub use world::{Ending, World};
