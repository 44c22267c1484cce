//! `--local`: the gateway inside this process, on loopback, with a key of its own.
//!
//! Its state lies in the job's state folder, where there is room for results anyway, and
//! not in the system's temporary folder, which may be small or in memory. It is gone with
//! the run; what a killed run leaves is removed by the next.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{error::AppError, models::local_engine};
use crate::{
    config::Settings,
    core::Micros,
    engine::DecodeLimits,
    gateway::{AccessKey, Gateway, GatewaySettings, LocalFiles, Retention},
    run::most_unfetched,
    stage::LocalPublisher,
};

/// How the names of its state folders begin.
const PREFIX: &str = "local-";

/// How many times as many ended requests are kept as can wait for their download: one whose
/// download is tried again must not be swept because others end meanwhile.
const SLACK: usize = 2;

/// A gateway that lives and dies with this process.
pub(super) struct LocalGateway {
    pub(super) base_url: Url,
    pub(super) key: SecretString,
    files: LocalFiles,
    stop: CancellationToken,
    task: JoinHandle<()>,
    state: TempDir,
}

impl LocalGateway {
    /// Starts it on a free port, with its state in a new folder below `parent`, where no
    /// other works.
    pub(super) async fn start(settings: &Settings, parent: &Path) -> Result<Self, AppError> {
        let state = new_state(parent)
            .map_err(|source| AppError::JobFolder { path: parent.to_owned(), source })?;
        let key = SecretString::from(random_word());
        let files = LocalFiles::new(blake3::hash(random_word().as_bytes()).into());
        let decode = DecodeLimits { max_pixels: settings.max_pixels, ..DecodeLimits::default() };
        let gateway = Gateway::bind(
            GatewaySettings {
                keys: vec![AccessKey::new("local", &key)],
                price: Micros::ZERO,
                allow_private: true,
                decode,
                local_files: Some(files.clone()),
                retention: retention(settings.in_flight),
                state: Some(state.path().to_owned()),
                ..GatewaySettings::default()
            },
            Arc::new(local_engine(settings)?),
        )
        .await?;
        let base_url = gateway.base_url().clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(gateway.serve(stop.clone()));
        Ok(Self { base_url, key, files, stop, task, state })
    }

    /// Returns what gives this machine's files a URL on the gateway.
    pub(super) fn publisher(&self) -> LocalPublisher {
        let (base, files) = (self.base_url.clone(), self.files.clone());
        LocalPublisher::new(move |path: &Path| files.url_for(&base, path))
    }

    /// Stops it, waits for its end and removes its state.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A panic in it was logged and changes nothing any more.
        let _ = self.task.await;
        if let Err(error) = self.state.close() {
            tracing::warn!(%error, "the folder of the local engine could not be removed");
        }
    }
}

/// Makes a state folder, and removes those of runs that were killed.
fn new_state(parent: &Path) -> io::Result<TempDir> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            let folder = entry.path();
            tracing::warn!(%error, folder = %folder.display(), "a left folder was not removed");
        }
    }
    tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)
}

/// A result is kept until it is fetched, and not much longer: it lies on the disk twice.
fn retention(in_flight: usize) -> Retention {
    let requests = SLACK.saturating_mul(most_unfetched(in_flight));
    // Only the number counts: neither a large picture nor a slow disk may cost a result.
    Retention { requests, bytes: u64::MAX, age: Duration::MAX }
}

/// 122 random bits, for a key that only this process knows.
fn random_word() -> String {
    Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    fn settings() -> Settings {
        Settings::new(&RawConfig::load(true, None, None, [], vec![]).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn its_state_is_in_the_job_and_gone_with_it_also_what_a_killed_run_left() {
        let job = tempfile::tempdir().unwrap();
        let left = job.path().join("local-left/results");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("a.png"), "a").unwrap();
        fs::write(job.path().join("ledger.db"), "l").unwrap();
        let names = || {
            let names = fs::read_dir(job.path()).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let gateway = LocalGateway::start(&settings(), job.path()).await.unwrap();
        let state = gateway.state.path().file_name().unwrap().to_owned();
        assert_eq!(names(), ["ledger.db".into(), state.clone()]);
        assert!(job.path().join(state).join("gateway.db").exists());
        gateway.stop().await;
        assert_eq!(names(), ["ledger.db"]);
    }

    #[test]
    fn what_can_wait_for_its_download_is_kept_and_not_much_more() {
        let waiting = most_unfetched(settings().in_flight);
        let Retention { requests, bytes, .. } = retention(settings().in_flight);
        assert!((waiting..=200).contains(&requests), "{requests}");
        assert_eq!(bytes, u64::MAX);
    }
}
