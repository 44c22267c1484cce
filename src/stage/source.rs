//! The stager for local sources: inspect, then publish.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::{Publisher, Stager, inspect};
use crate::core::{Failure, FailureClass, FailureCode, normalise_path};

/// Stages local pictures through the first publisher that knows their folder.
#[derive(Debug)]
pub struct SourceStager {
    base_dir: PathBuf,
    publishers: Vec<Box<dyn Publisher>>,
    max_pixels: u64,
    /// A header takes a processor and some memory: one file per core at a time.
    inspecting: Arc<Semaphore>,
}

impl SourceStager {
    /// Creates a stager; relative sources are taken from `base_dir`.
    #[must_use]
    pub fn new(base_dir: PathBuf, publishers: Vec<Box<dyn Publisher>>, max_pixels: u64) -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self { base_dir, publishers, max_pixels, inspecting: Arc::new(Semaphore::new(cores)) }
    }
}

impl Stager for SourceStager {
    fn stage<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async move {
            if source.starts_with("s3://") {
                return Err(not_public(format!(
                    "`{source}` is in a bucket, which this version cannot read; use presigned https:// addresses"
                )));
            }
            let path = normalise_path(&self.base_dir.join(source));
            let Some(url) = self.publishers.iter().find_map(|one| one.url_of(&path)) else {
                return Err(not_public(format!(
                    "`{source}` is a file on this machine, which the service cannot read; use `--local`, \
                     or `--public-base FOLDER=URL` for a folder that a web server publishes"
                )));
            };
            let max_pixels = self.max_pixels;
            // Never closed; the work would be right without a permit, only less frugal.
            let permit = Arc::clone(&self.inspecting).acquire_owned().await.ok();
            let look = move || {
                let seen = inspect(&path, max_pixels);
                drop(permit);
                seen
            };
            // A panic in a decoder is the picture's fault and must end as its failure.
            let checked = tokio::task::spawn_blocking(look).await;
            checked.unwrap_or_else(|_| {
                Err(Failure::new(
                    FailureClass::Permanent,
                    FailureCode::SourceUnreadable,
                    format!("`{source}` made the picture reader fail"),
                ))
            })?;
            Ok(url.into())
        })
    }
}

fn not_public(message: String) -> Failure {
    Failure::new(FailureClass::Permanent, FailureCode::SourceNotPublic, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::PublicBase;

    #[tokio::test]
    async fn a_local_path_without_a_publisher_names_both_options() {
        let stager = SourceStager::new("/data".into(), Vec::new(), 1_000);
        let failure = stager.stage("a.jpg").await.unwrap_err();
        assert_eq!(failure.code, FailureCode::SourceNotPublic);
        assert!(failure.message.contains("--local") && failure.message.contains("--public-base"));
    }

    #[tokio::test]
    async fn a_published_picture_is_inspected_first() {
        let folder = tempfile::tempdir().unwrap();
        image::DynamicImage::new_rgb8(4, 4).save(folder.path().join("a.png")).unwrap();
        let base = PublicBase::parse(".=https://x.org", folder.path()).unwrap();
        let stager = SourceStager::new(folder.path().into(), vec![Box::new(base)], 1_000);
        assert_eq!(stager.stage("a.png").await.unwrap(), "https://x.org/a.png");
        let failure = stager.stage("b.png").await.unwrap_err();
        assert_eq!(failure.code, FailureCode::SourceUnreadable);
    }
}
