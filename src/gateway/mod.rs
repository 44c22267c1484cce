//! The service's self-hosted twin: the same HTTP contract around an [`Engine`] on this
//! machine.
//!
//! ```text
//! POST generate ─► accounts ─► queue ─► worker: fetch img ─► decode ─► engine ─► PNG
//!      202          key, rate,   429      PROCESSING                             │
//!                   balance     if full                                          ▼
//! GET status ◄──────────────── requests: QUEUED … COMPLETED | FAILED | ERROR ◄─ media
//! X-Webhook-URL ◄─ callback ◄──────┘ ended
//! ```
//!
//! A client of the hosted service needs another base URL and nothing else. What is
//! accepted is charged; ERROR, a fault of ours, is refunded; FAILED, a fault of the
//! picture, is not.
//!
//! What was accepted outlives the gateway: the `store` has it on disk before the client
//! hears of it, and the next start goes on with it, after a `kill -9` too. Everything is
//! bounded: the queue by its length, work by the pixels in memory, what is kept by number,
//! bytes and age.
//!
//! A test can make it misbehave ([`GatewayFaults`]), seeded by the number of the submit,
//! and read its books: in the same process by the [`GatewayHandle`], from another one at
//! `/faults/stats` and `/faults/books`, which exist only with that switch.
//!
//! Not responsible for: restoring
//! (`engine`), or anything about jobs and manifests. Called by `cli`, for
//! `restore-batch gateway` and for `--local`, and by whole-program tests.
//!
//! [`Engine`]: crate::engine::Engine

mod accounts;
mod asked;
mod body;
mod callback;
mod conditions;
mod connection;
mod fault_spec;
mod faults;
mod file_reply;
mod idempotency;
mod idle;
mod keys;
mod local_files;
mod media;
mod openapi;
mod pace;
mod pages;
mod pixels;
mod range;
mod ready;
mod refusal;
mod requests;
mod routes;
mod server;
mod serving;
mod settings;
mod shared;
mod source;
mod stats;
mod status;
mod store;
mod submit;
mod worker;

#[cfg(test)]
mod tests;

pub use fault_spec::FaultSpecError;
pub use keys::{AccessKey, KeyFileError};
pub use local_files::LocalFiles;
pub use server::{Gateway, GatewayError, GatewayHandle};
pub use settings::{GatewayFaults, GatewaySettings, Retention};
pub use stats::{BookedRequest, GatewayStats};
pub use store::StateError;
