//! Makes a source reachable by URL, just before its submit (4).
//!
//! A source that is a public URL already needs no staging and never comes here. A
//! local picture is checked first: the service charges for what it cannot read.
//!
//! [`SourceStager`] tries its publishers in order: a folder that a web server already
//! publishes ([`PublicBase`]), or the gateway of `--local` ([`LocalPublisher`]). It uploads nothing.

mod contract;
mod inspect;
mod publisher;
mod source;

pub use contract::Stager;
pub use inspect::inspect;
pub use publisher::{LocalPublisher, PublicBase, PublicBaseError, Publisher};
pub use source::SourceStager;
