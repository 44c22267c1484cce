//! What the pipeline asks of a fetcher.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::core::{Artifact, Failure};

/// Brings one finished picture into the output folder.
pub trait Fetcher: Send + Sync {
    /// Downloads, verifies and publishes one picture as `images/{stem}.{ext}`.
    ///
    /// The extension follows from the content. Calling it again after it succeeded,
    /// or after a crash between publishing and remembering, gives the same artifact.
    /// Dropping the future leaves no temporary file behind.
    ///
    /// # Errors
    ///
    /// [`FetchError`], cut by what the caller does next.
    fn deliver<'a>(
        &'a self,
        media_url: &'a str,
        stem: &'a str,
    ) -> BoxFuture<'a, Result<Artifact, FetchError>>;
}

/// A picture was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// May go away by itself: fetch the same address again.
    #[error("{failure}")]
    Retry {
        /// What happened.
        failure: Failure,
        /// The pause the server asked for; not clamped.
        retry_after: Option<Duration>,
    },
    /// The address no longer works: ask the service for a fresh one.
    #[error("{0}")]
    LinkExpired(Failure),
    /// Will not go away by itself.
    #[error("{0}")]
    Permanent(Failure),
    /// The output folder cannot take files. Every other picture would fare the same,
    /// so stop the job.
    #[error("{0}")]
    Output(Failure),
}

impl FetchError {
    /// Returns what happened, whatever follows from it.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Retry { failure, .. }
            | Self::LinkExpired(failure)
            | Self::Permanent(failure)
            | Self::Output(failure) => failure,
        }
    }
}
