//! Delivers a picture over HTTP: download, verify, publish, and say what a failure
//! means for what happens next.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};

use super::{
    address::without_query,
    contract::{FetchError, Fetcher},
    folders::Folders,
    group::{Content, Publisher, Refused},
    http::{GetError, GetErrorKind, GetLimits, GuardedClient, Received},
    publish::{PublishError, check_stem},
    spool::Spool,
    verify::{Rejection, most_memory},
};
use crate::core::{Artifact, ContentHash, Failure, FailureClass, FailureCode};

/// The folder of artifacts, as written in [`Artifact::path`].
const IMAGES: &str = "images";

/// How large a picture may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchLimits {
    /// Bytes and time of one download.
    pub download: GetLimits,
    /// Most pixels of a picture. A small file can claim to hold billions of them, and
    /// checking it takes up to 16 bytes of memory for each, unless it is a PNG, which is
    /// checked row by row. All pictures that are checked at a time together take no more
    /// than one of this size may.
    pub max_pixels: u64,
}

impl Default for FetchLimits {
    /// 200 megapixels: a photo of 12 megapixels at scale 4 has 192.
    fn default() -> Self {
        Self { download: GetLimits::default(), max_pixels: 200_000_000 }
    }
}

/// Fetches over HTTP and publishes below one images folder.
#[derive(Debug)]
pub struct HttpFetcher {
    client: GuardedClient,
    limits: FetchLimits,
    folders: Arc<Folders>,
    publisher: Publisher,
}

impl HttpFetcher {
    /// Creates a fetcher that publishes below `images_dir`, which is created when the
    /// first picture arrives.
    #[must_use]
    pub fn new(client: GuardedClient, images_dir: PathBuf, limits: FetchLimits) -> Self {
        let folders = Arc::new(Folders::below(images_dir));
        let memory = most_memory(limits.max_pixels, limits.download.max_bytes);
        let publisher = Publisher::new(folders.clone(), limits.max_pixels, memory);
        Self { client, limits, folders, publisher }
    }

    async fn fetch(&self, media_url: &str, stem: &str) -> Result<Artifact, FetchError> {
        check_stem(stem).map_err(|error| not_published(&error))?;
        let (received, content) = self.download(media_url, stem).await?;
        let published = self.publisher.publish(content, stem, received.blake3).await;
        let (path, picture) = match published.ok_or_else(interrupted)? {
            Ok(published) => published,
            Err(Refused::Picture(rejection)) => return Err(not_a_picture(&rejection)),
            Err(Refused::Folder(error)) => return Err(not_published(&error)),
        };
        Ok(Artifact {
            path: format!("{IMAGES}/{path}"),
            media_url: without_query(media_url),
            width: picture.width,
            height: picture.height,
            bytes: received.bytes,
            blake3: ContentHash::from(received.blake3),
        })
    }

    async fn download(
        &self,
        media_url: &str,
        stem: &str,
    ) -> Result<(Received, Content), FetchError> {
        let not_written =
            |why: Option<PublishError>| why.map_or_else(interrupted, |why| not_published(&why));
        let mut spool = Spool::new(self.folders.clone(), stem);
        match self.client.get_to(media_url, &mut spool, &self.limits.download).await {
            Ok(received) => Ok((received, spool.into_content().await.map_err(not_written)?)),
            Err(GetError { kind: GetErrorKind::Sink(_), .. }) => Err(not_written(spool.failure())),
            Err(error) => Err(not_downloaded(&error)),
        }
    }
}

impl Fetcher for HttpFetcher {
    fn deliver<'a>(
        &'a self,
        media_url: &'a str,
        stem: &'a str,
    ) -> BoxFuture<'a, Result<Artifact, FetchError>> {
        self.fetch(media_url, stem).boxed()
    }
}

fn interrupted() -> FetchError {
    retry(FailureCode::MediaUnavailable, "the download was interrupted".to_owned())
}

fn retry(code: FailureCode, message: String) -> FetchError {
    let failure = Failure::new(FailureClass::Transient, code, message);
    FetchError::Retry { failure, retry_after: None }
}

fn permanent(code: FailureCode, message: String) -> FetchError {
    FetchError::Permanent(Failure::new(FailureClass::Permanent, code, message))
}

fn not_writable(error: &impl ToString) -> Failure {
    Failure::new(FailureClass::Permanent, FailureCode::NotWritable, error.to_string())
}

fn not_published(error: &PublishError) -> FetchError {
    if error.is_about_the_name() {
        FetchError::Permanent(not_writable(&error))
    } else {
        FetchError::Output(not_writable(&error))
    }
}

/// An error page or a cut picture may be better the next time, and asking again is
/// free. A picture that is there and still cannot be read will not change.
fn not_a_picture(rejection: &Rejection) -> FetchError {
    let message = rejection.to_string();
    match rejection {
        Rejection::NotAPicture(_) | Rejection::Incomplete(_) => {
            retry(FailureCode::MediaInvalid, message)
        }
        Rejection::Undecodable(_) => permanent(FailureCode::MediaInvalid, message),
        Rejection::TooLarge { .. } => permanent(FailureCode::MediaTooLarge, message),
        Rejection::Unreadable(_) => FetchError::Output(not_writable(&message)),
    }
}

fn not_downloaded(error: &GetError) -> FetchError {
    let message = error.to_string();
    match &error.kind {
        GetErrorKind::BadUrl(_)
        | GetErrorKind::BadRedirect(_)
        | GetErrorKind::Blocked
        | GetErrorKind::Downgrade => permanent(FailureCode::MediaBlocked, message),
        GetErrorKind::Redirect(_) | GetErrorKind::Encoded(_) => {
            permanent(FailureCode::MediaUnavailable, message)
        }
        GetErrorKind::TooLarge { .. } => permanent(FailureCode::MediaTooLarge, message),
        GetErrorKind::Unreachable(_) | GetErrorKind::Cut(_) | GetErrorKind::TimedOut => {
            retry(FailureCode::MediaUnavailable, message)
        }
        GetErrorKind::Sink(_) => FetchError::Output(not_writable(&message)),
        GetErrorKind::Status { status, retry_after } => refused(*status, *retry_after, message),
    }
}

fn refused(status: u16, retry_after: Option<Duration>, message: String) -> FetchError {
    let failure =
        |class| Failure::new(class, FailureCode::MediaUnavailable, message).with_status(status);
    match status {
        // Object stores answer any of these for a signature that has expired; 400 is
        // garage's and, with temporary credentials, S3's.
        400 | 401 | 403 | 404 | 410 => FetchError::LinkExpired(failure(FailureClass::Transient)),
        429 | 503 => FetchError::Retry { failure: failure(FailureClass::Throttled), retry_after },
        200..=299 | 408 | 425 | 500..=599 => {
            FetchError::Retry { failure: failure(FailureClass::Transient), retry_after }
        }
        _ => FetchError::Permanent(failure(FailureClass::Permanent)),
    }
}

#[cfg(test)]
mod tests;
