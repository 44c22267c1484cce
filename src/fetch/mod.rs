//! FETCH, step 7: downloads a finished picture, makes sure that it is one, and makes it
//! visible.
//!
//! The address comes from the service's answer, so nothing about it is trusted:
//! [`GuardedClient`] opens public http(s) addresses only, hop by hop, and never
//! carries the API key. What arrives goes to a temporary file in the destination
//! folder (a small picture not before it is checked), is decoded once to see that it is
//! whole, and only then gets its name.
//! Nothing else creates a file in the output folder, and no file there is ever
//! overwritten.
//!
//! Not responsible for: when to fetch and how often (`run`), which name a picture
//! gets (`manifest`). Called by `run`; the gateway borrows [`GuardedClient`] to read
//! the pictures it is asked to restore and to call back, and [`write_whole`] to keep
//! their results.

mod address;
mod address_guard;
mod completeness;
mod contract;
mod fetcher;
mod folders;
mod group;
mod http;
mod post;
mod publish;
mod resolver;
mod spool;
mod verify;

pub use address::without_query;
pub use address_guard::is_public;
pub use contract::{FetchError, Fetcher};
pub use fetcher::{FetchLimits, HttpFetcher};
pub use http::{ClientSettings, GetError, GetErrorKind, GetLimits, GuardedClient, Received, Sink};
pub use post::Posted;
pub use publish::{TEMPORARY_PREFIX, sweep_leftovers, write_whole};
pub use verify::{Claim, Picture, Rejection, claim, verify};
