//! Calls back: tells whoever asked for it by `X-Webhook-URL` that a request has ended.
//!
//! ```text
//! requests: due ─► line: fair between hosts ─► message: reply, signed ─► guarded POST
//!    ▲                                                                      │
//!    └──────────── again, later and later ◄─ policy ◄───────────────────────┘
//! ```
//!
//! At least once: the attempts are kept with the request, so that a restart forgets none
//! and may repeat the one that was under way. A callback can arrive before the answer to
//! the submit, when the picture is small. Its order among others means nothing.
//!
//! Addresses belong to strangers: the client opens no private ones unless that is allowed,
//! follows no redirect, reads no answer but its head, and waits no longer than ten
//! seconds; nobody's slow host takes more than its share of the places.
//!
//! Not responsible for: what a reply says (`status`), what is due (`requests`). Called by
//! `server`.

mod line;
mod message;
mod policy;
mod sender;

pub(super) use policy::PAUSES;
pub(super) use sender::call_back;
