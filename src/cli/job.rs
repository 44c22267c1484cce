//! Where a job's files lie, and opening them.

use std::{
    env, fs, io,
    path::{Path, PathBuf, absolute},
};

use super::error::AppError;
use crate::{
    clock::Clock,
    config::Settings,
    ledger::{JobLock, SqliteLedger, network_file_system},
    manifest::Input,
};

/// Folder below the job folder with everything that is not for people.
const STATE: &str = ".restore-batch";

/// File in a state folder outside the job folder that says whose it is.
const OWNER: &str = "job";

/// The paths of one job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The manifest as it was typed.
    pub(super) typed: String,
    pub(super) input: Input,
    /// Folder against which relative sources are resolved, absolute.
    pub(super) base_dir: PathBuf,
    /// The job folder, absolute.
    pub(super) dir: PathBuf,
    state: PathBuf,
}

/// Returns the absolute folder of a manifest; the current one for standard input.
pub(super) fn manifest_dir(manifest: &Path) -> Result<PathBuf, AppError> {
    let path = if is_stdin(manifest) { env::current_dir() } else { absolute(manifest) };
    let path = path.map_err(|source| AppError::JobFolder { path: manifest.to_owned(), source })?;
    Ok(if is_stdin(manifest) { path } else { path.parent().map(Path::to_owned).unwrap_or(path) })
}

fn is_stdin(manifest: &Path) -> bool {
    manifest == Path::new("-")
}

impl Job {
    /// Works out the paths. Touches nothing.
    pub(super) fn locate(manifest: &Path, settings: &Settings) -> Result<Self, AppError> {
        let base_dir = manifest_dir(manifest)?;
        let dir = match &settings.out {
            Some(out) => out.clone(),
            None if is_stdin(manifest) => return Err(AppError::NoOut),
            None => base_dir.join(default_name(manifest)),
        };
        let made_absolute =
            |path: PathBuf| absolute(&path).map_err(|source| AppError::JobFolder { path, source });
        let dir = made_absolute(dir)?;
        let state = made_absolute(settings.state.clone().unwrap_or_else(|| dir.join(STATE)))?;
        let input = Input::from(manifest.to_owned());
        Ok(Self { typed: manifest.display().to_string(), input, base_dir, dir, state })
    }

    pub(super) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    fn ledger_path(&self) -> PathBuf {
        self.state.join("ledger.db")
    }

    /// Makes the folders and becomes the only run on this job.
    pub(super) fn lock(&self, clock: &Clock) -> Result<JobLock, AppError> {
        for path in [&self.dir, &self.state] {
            fs::create_dir_all(path).map_err(|source| unusable(path, source))?;
        }
        let kind =
            network_file_system(&self.state).map_err(|source| unusable(&self.state, source))?;
        if let Some(kind) = kind {
            return Err(AppError::NetworkFileSystem { path: self.state.clone(), kind });
        }
        let command = format!("restore-batch {}", self.typed);
        let lock = JobLock::acquire(&self.state, clock.now(), &command)?;
        self.claim_state()?;
        Ok(lock)
    }

    /// A state folder of its own place serves one job: two in one ledger would take each
    /// other's rows away.
    fn claim_state(&self) -> Result<(), AppError> {
        if self.state.starts_with(&self.dir) {
            return Ok(());
        }
        let note = self.state.join(OWNER);
        let here = self.dir.display().to_string();
        match fs::read_to_string(&note) {
            Ok(owner) if owner.trim() == here => Ok(()),
            Ok(owner) => Err(AppError::OtherJob {
                state: self.state.clone(),
                owner: owner.trim().into(),
                note,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(&note, here + "\n").map_err(|source| unusable(&self.state, source))
            }
            Err(source) => Err(unusable(&note, source)),
        }
    }

    /// Opens the ledger for writing; the caller holds the lock.
    pub(super) async fn open_ledger(&self) -> Result<SqliteLedger, AppError> {
        Ok(SqliteLedger::open(&self.ledger_path()).await?)
    }

    /// Opens the ledger for looking; works while a run writes.
    pub(super) async fn look_at_ledger(&self) -> Result<SqliteLedger, AppError> {
        if !self.has_ledger() {
            return Err(AppError::NoJob { path: self.dir.clone() });
        }
        Ok(SqliteLedger::open_read_only(&self.ledger_path()).await?)
    }

    pub(super) fn has_ledger(&self) -> bool {
        self.ledger_path().exists()
    }

    /// Returns a path as a person in the current folder would type it.
    pub(super) fn shown(path: &Path) -> String {
        let here = env::current_dir().ok();
        let relative = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
        relative.unwrap_or(path).display().to_string()
    }
}

fn unusable(path: &Path, source: io::Error) -> AppError {
    AppError::JobFolder { path: path.to_owned(), source }
}

/// `photos.csv` is restored into `photos.restored`.
fn default_name(manifest: &Path) -> PathBuf {
    let stem = manifest.file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push(".restored");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    fn job(folder: &Path, manifest: &str, state: Option<&Path>) -> Job {
        let flags = state.map(|state| ("state", vec![state.display().to_string()]));
        let raw = RawConfig::load(false, None, None, [], flags.into_iter().collect()).unwrap();
        Job::locate(&folder.join(manifest), &Settings::new(&raw).unwrap()).unwrap()
    }

    #[test]
    fn a_job_lies_beside_its_manifest() {
        let job = job(Path::new("/data"), "photos.csv", None);
        assert_eq!(job.dir, Path::new("/data/photos.restored"));
        assert_eq!(job.state, Path::new("/data/photos.restored/.restore-batch"));
    }

    #[tokio::test]
    async fn two_jobs_do_not_share_a_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let clock = Clock::system();
        drop(job(folder.path(), "a.csv", Some(&state)).lock(&clock).unwrap());
        drop(job(folder.path(), "a.csv", Some(&state)).lock(&clock).unwrap());
        let error = job(folder.path(), "b.csv", Some(&state)).lock(&clock).unwrap_err();
        assert!(matches!(error, AppError::OtherJob { .. }), "{error}");
        assert!(error.to_string().contains("a.restored"));
    }
}
