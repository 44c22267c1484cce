//! A fetcher that publishes into memory.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;

use super::{
    dice::What,
    scene::{Scene, lock},
};
use crate::{
    core::{Artifact, ContentHash, Failure, FailureClass, FailureCode, without_queries},
    fetch::{FetchError, Fetcher},
};

/// What lies in the output folder: path to content. Outlives every crash.
pub(super) type Disk = Arc<Mutex<BTreeMap<String, String>>>;

/// Publishes into memory, with seeded faults.
#[derive(Debug)]
pub struct FakeFetcher {
    scene: Scene,
    disk: Disk,
}

#[derive(Debug, Clone, Copy)]
enum FetchFault {
    Cut,
    Slow,
    Expired,
    Panic,
}

impl FakeFetcher {
    pub(super) fn new(scene: Scene, disk: Disk) -> Self {
        Self { scene, disk }
    }

    async fn fetch(&self, url: &str, stem: &str) -> Result<Artifact, FetchError> {
        let number = self.scene.books().next_number();
        self.scene.boundaries.pass().await;
        let (dice, faults) = (self.scene.dice, self.scene.faults);
        let fault = self.fault(number);
        let seconds = match fault {
            Some(FetchFault::Slow) => 60.0 * dice.roll(What::Latency, number),
            _ => 0.2,
        };
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        let now = self.scene.now();
        let failure = |code| Failure::new(FailureClass::Transient, code, "simulated");
        match fault {
            _ if faults.media_down.has(dice, now) => return Err(self.broken(url, number)),
            Some(FetchFault::Cut) => return Err(self.broken(url, number)),
            Some(FetchFault::Expired) => {
                self.scene.books().heard_of(request_of(url), |heard| heard.expired += 1);
                return Err(FetchError::LinkExpired(failure(FailureCode::MediaUnavailable)));
            }
            // Unlike `panic!`, without a line on standard error.
            Some(FetchFault::Panic) => resume_unwind(Box::new("simulated")),
            Some(FetchFault::Slow) | None => {}
        }
        if faults.disk_full.has(dice, now) {
            return Err(FetchError::Output(failure(FailureCode::NotWritable)));
        }
        let content = without_queries(url);
        let path = self.publish(&content, stem);
        self.scene.tell(format_args!("published {path} from {content}"));
        self.scene.boundaries.pass().await;
        let (bytes, blake3) = facts(&content);
        Ok(Artifact { path, media_url: content, width: 2, height: 2, bytes, blake3 })
    }

    /// The connection broke, or the file server asks for patience.
    fn broken(&self, url: &str, number: u32) -> FetchError {
        self.scene.books().heard_of(request_of(url), |heard| heard.broken += 1);
        let pause = self.scene.dice.hit(What::PauseForm, number, 0.3);
        let retry_after =
            pause.then(|| Duration::from_secs(self.scene.dice.between(What::Pause, number, 1, 20)));
        let code = FailureCode::MediaUnavailable;
        FetchError::Retry {
            failure: Failure::new(FailureClass::Transient, code, "simulated"),
            retry_after,
        }
    }

    fn fault(&self, number: u32) -> Option<FetchFault> {
        let faults = self.scene.faults.fetch;
        let table = [
            (faults.cut, FetchFault::Cut),
            (faults.slow, FetchFault::Slow),
            (faults.expired, FetchFault::Expired),
            (faults.panic, FetchFault::Panic),
        ];
        self.scene.dice.draw(What::FetchFault, number, &table)
    }

    /// Never overwrites: the same content is ours already, other content gets another
    /// name, as the real one does.
    fn publish(&self, content: &str, stem: &str) -> String {
        let mut disk = lock(&self.disk);
        let mut path = format!("images/{stem}.png");
        let mut next = 2;
        while disk.get(&path).is_some_and(|there| there != content) {
            path = format!("images/{stem}~{next}.png");
            next += 1;
        }
        disk.insert(path.clone(), content.to_owned());
        path
    }
}

impl Fetcher for FakeFetcher {
    fn deliver<'a>(
        &'a self,
        media_url: &'a str,
        stem: &'a str,
    ) -> BoxFuture<'a, Result<Artifact, FetchError>> {
        Box::pin(self.fetch(media_url, stem))
    }
}

/// Returns the request whose picture lies at this address.
fn request_of(url: &str) -> &str {
    url.split('/').nth(3).unwrap_or_default()
}

/// Returns size and hash of a file's content.
pub(super) fn facts(content: &str) -> (u64, ContentHash) {
    (content.len() as u64, ContentHash::from(blake3::hash(content.as_bytes())))
}
