//! Delivers a picture over HTTP: download, verify, publish, and say what a failure
//! means for what happens next.

use std::{
    num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism, time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

use super::{
    address::without_query,
    contract::{FetchError, Fetcher},
    http::{GetError, GetErrorKind, GetLimits, GuardedClient, Received},
    publish::{Draft, PublishError},
    verify::{Picture, Rejection, claim, most_memory, verify},
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
    /// checking it takes up to 16 bytes of memory for each. All pictures that are checked
    /// at a time together take no more than one of this size may.
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
    images_dir: PathBuf,
    limits: FetchLimits,
    /// Decoding is heavy on the processor: one picture per core at a time.
    verifying: Arc<Semaphore>,
    /// And on memory: a permit is a mebibyte, and there are as many as the largest picture
    /// allowed needs, so that many large ones come one after the other.
    memory: Arc<Semaphore>,
}

impl HttpFetcher {
    /// Creates a fetcher that publishes below `images_dir`, which is created when the
    /// first picture arrives.
    #[must_use]
    pub fn new(client: GuardedClient, images_dir: PathBuf, limits: FetchLimits) -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let memory = mebibytes(most_memory(limits.max_pixels, limits.download.max_bytes));
        Self {
            client,
            images_dir,
            limits,
            verifying: Arc::new(Semaphore::new(cores)),
            memory: Arc::new(Semaphore::new(memory as usize)),
        }
    }

    async fn fetch(&self, media_url: &str, stem: &str) -> Result<Artifact, FetchError> {
        let draft = self.open(stem).await?;
        let received = self.download(media_url, &draft).await?;
        let (draft, picture) = self.verify(draft).await?;
        let hash = received.blake3;
        let published = blocking(move || draft.publish(picture.extension, &hash)).await?;
        Ok(Artifact {
            path: format!("{IMAGES}/{}", published.map_err(|error| not_published(&error))?),
            media_url: without_query(media_url),
            width: picture.width,
            height: picture.height,
            bytes: received.bytes,
            blake3: ContentHash::from(hash),
        })
    }

    async fn open(&self, stem: &str) -> Result<Draft, FetchError> {
        let (root, stem) = (self.images_dir.clone(), stem.to_owned());
        blocking(move || Draft::open(&root, &stem)).await?.map_err(|error| not_published(&error))
    }

    async fn download(&self, media_url: &str, draft: &Draft) -> Result<Received, FetchError> {
        let handle = draft.handle().map_err(|error| FetchError::Output(not_writable(&error)))?;
        let mut sink = tokio::fs::File::from_std(handle);
        let download = &self.limits.download;
        self.client
            .get_to(media_url, &mut sink, download)
            .await
            .map_err(|error| not_downloaded(&error))
    }

    async fn verify(&self, draft: Draft) -> Result<(Draft, Picture), FetchError> {
        let handle = draft.handle().map_err(|error| FetchError::Output(not_writable(&error)))?;
        let max_pixels = self.limits.max_pixels;
        // Neither semaphore is ever closed, so an error cannot happen; without a permit
        // the check would still be right, only less frugal. Permits go into the closures:
        // blocking work goes on when its future is dropped.
        let core = Arc::clone(&self.verifying).acquire_owned().await.ok();
        let look = move || (claim(&handle, max_pixels), handle, core);
        let (claim, handle, core) = blocking(look).await?;
        let claim = claim.map_err(|rejection| not_a_picture(&rejection))?;
        let needed = mebibytes(claim.memory);
        let memory = Arc::clone(&self.memory).acquire_many_owned(needed).await.ok();
        let check = move || {
            let picture = verify(&handle, claim);
            drop((core, memory));
            picture
        };
        let picture = blocking(check).await?;
        Ok((draft, picture.map_err(|rejection| not_a_picture(&rejection))?))
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

/// Returns how many permits stand for this much memory, at least one.
fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX).max(1)
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchError> {
    let interrupted = |error: JoinError| {
        retry(FailureCode::MediaUnavailable, format!("the download was interrupted: {error}"))
    };
    spawn_blocking(work).await.map_err(interrupted)
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
