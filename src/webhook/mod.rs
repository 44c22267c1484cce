//! Hears the service when it calls back: the public end of a run.
//!
//! ```text
//! service ── POST root/item-attempt-mac ──► server ──► router ──► bounded queue ──► run
//!                                           bounds     200, whatever it says
//! ```
//!
//! What is here faces the internet, so that everything about a connection is bounded:
//! how many there are, how long one lives, how much it may say. Every address answers
//! alike, known or not, so that nobody learns by trying which ones are. A callback is
//! answered once it is queued, not once it is acted on: it is a hint, and polls go on.
//! When the queue is full, or nobody listens any more, the answer is 503, and the service
//! calls again.
//!
//! Not responsible for: what an address means ([`core`](crate::core)), what a body says
//! ([`api::webhook`](crate::api::webhook)), what follows ([`run`](crate::run)). The
//! router knows no server, so that another one can mount it below a path of its own.
//! Called by `cli`.

mod connection;
mod router;
mod server;

pub use router::router;
pub use server::WebhookServer;
