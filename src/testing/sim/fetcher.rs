//! A fetcher that publishes into memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Boundaries, Faults, service::is_within};
use crate::{
    clock::{Clock, elapsed},
    core::{Artifact, ContentHash, Failure, FailureClass, FailureCode, jitter},
    fetch::{FetchError, Fetcher},
};

/// What lies in the output folder: path to content. Outlives every crash.
pub(super) type Disk = Arc<Mutex<BTreeMap<String, String>>>;

/// Publishes into memory, with seeded faults.
#[derive(Debug)]
pub struct FakeFetcher {
    seed: u64,
    faults: Faults,
    disk: Disk,
    began: Timestamp,
    clock: Clock,
    number: Mutex<u32>,
    boundaries: Arc<Boundaries>,
}

impl FakeFetcher {
    pub(super) fn new(
        seed: u64,
        faults: Faults,
        disk: Disk,
        began: Timestamp,
        clock: Clock,
        boundaries: Arc<Boundaries>,
    ) -> Self {
        Self { seed, faults, disk, began, clock, number: Mutex::new(0), boundaries }
    }

    fn hit(&self, what: u64, number: u32, probability: f64) -> bool {
        jitter(self.seed ^ (what << 40), i64::from(number), 0) < probability
    }

    async fn fetch(&self, url: &str, stem: &str) -> Result<Artifact, FetchError> {
        let number = {
            let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
            *number += 1;
            *number
        };
        self.boundaries.pass().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let failure =
            || Failure::new(FailureClass::Transient, FailureCode::MediaUnavailable, "simulated");
        let Faults { media_down_from, media_down_for, .. } = self.faults;
        let age = elapsed(self.began, self.clock.now());
        let down = is_within(media_down_from, media_down_for, age);
        if down || self.hit(1, number, self.faults.download_cut) {
            return Err(FetchError::Retry { failure: failure(), retry_after: None });
        }
        if self.hit(2, number, self.faults.link_expired) {
            return Err(FetchError::LinkExpired(failure()));
        }
        let path = self.publish(url, stem);
        self.boundaries.pass().await;
        Ok(Artifact {
            path,
            media_url: url.to_owned(),
            width: 2,
            height: 2,
            bytes: url.len() as u64,
            blake3: ContentHash::from(blake3::hash(url.as_bytes())),
        })
    }

    /// Never overwrites: the same content is ours already, other content gets another
    /// name, as the real one does.
    fn publish(&self, url: &str, stem: &str) -> String {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut path = format!("images/{stem}.png");
        let mut next = 2;
        while disk.get(&path).is_some_and(|content| content != url) {
            path = format!("images/{stem}~{next}.png");
            next += 1;
        }
        disk.insert(path.clone(), url.to_owned());
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
