//! The seam between a run and whatever makes a local picture public.

use futures::future::BoxFuture;

use crate::core::Failure;

/// Makes sources reachable by URL.
pub trait Stager: Send + Sync {
    /// Returns a URL under which the service can read `source`, as the manifest has it.
    fn stage<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<String, Failure>>;
}
