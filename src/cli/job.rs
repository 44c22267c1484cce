//! Where a job's files lie, and opening them.

use std::{
    env, fs, io,
    path::{Path, PathBuf, absolute},
};

use serde::{Deserialize, Serialize};

use super::error::AppError;
use crate::{
    clock::Clock,
    config::Settings,
    ledger::{JobLock, LedgerError, LockError, SqliteLedger, network_file_system},
    manifest::Input,
};

/// Folder below the job folder with everything that is not for people.
const STATE: &str = ".restore-batch";

/// File in a state folder outside the job folder that says whose it is.
const OWNER: &str = "job";

/// File in a job folder, below [`STATE`], that says whose it is.
const NOTE: &str = "manifest";

/// Smallest page of a database in bytes: what is shorter counts as never written.
const SMALLEST_LEDGER: u64 = 512;

/// What a job folder remembers of its job. The folder may be moved, also together with
/// its manifest, so nothing in it is an absolute path unless it lies elsewhere.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct JobNote {
    /// File name of the manifest; `-` for standard input.
    manifest: String,
    /// The state folder, seen from the job folder.
    state: PathBuf,
}

/// The right to work on a job, until dropped: the lock of its state folder, and that of
/// its job folder where that is another.
#[derive(Debug)]
pub(super) struct JobLocks {
    _locks: Vec<JobLock>,
}

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

    /// Returns the folder of everything that is not for people.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    fn ledger_path(&self) -> PathBuf {
        self.state.join("ledger.db")
    }

    /// Makes the folders and becomes the only run on this job.
    pub(super) fn lock(&self, clock: &Clock) -> Result<JobLocks, AppError> {
        for path in [&self.dir, &self.state] {
            fs::create_dir_all(path).map_err(|source| unusable(path, source))?;
        }
        let kind =
            network_file_system(&self.state).map_err(|source| unusable(&self.state, source))?;
        if let Some(kind) = kind {
            return Err(AppError::NetworkFileSystem { path: self.state.clone(), kind });
        }
        let command = format!("restore-batch {}", self.typed);
        let mut locks = vec![JobLock::acquire(&self.state, clock.now(), &command)?];
        locks.extend(self.lock_folder(clock, &command)?);
        self.claim_state()?;
        self.claim_folder()?;
        Ok(JobLocks { _locks: locks })
    }

    /// Locks the job folder too when the state lies elsewhere: two runs with different
    /// `--state` would replace each other's files.
    fn lock_folder(&self, clock: &Clock, command: &str) -> Result<Option<JobLock>, AppError> {
        let inside = self.dir.join(STATE);
        fs::create_dir_all(&inside).map_err(|source| unusable(&inside, source))?;
        let resolve = |path: &Path| fs::canonicalize(path).map_err(|e| unusable(path, e));
        if resolve(&inside)? == resolve(&self.state)? {
            return Ok(None);
        }
        match JobLock::acquire(&inside, clock.now(), command) {
            Ok(lock) => Ok(Some(lock)),
            // Often the state is elsewhere because this file system has no locks.
            Err(error @ LockError::Io { .. }) => {
                tracing::warn!(%error, "the job folder cannot be locked; the state folder is");
                Ok(None)
            }
            Err(error @ LockError::Held(_)) => Err(error.into()),
        }
    }

    /// A job folder serves one manifest and one ledger: another would replace the rows
    /// of the first, and pay anew for what only the first knows to be paid.
    fn claim_folder(&self) -> Result<(), AppError> {
        let note = self.dir.join(STATE).join(NOTE);
        let manifest = Path::new(&self.typed).file_name().unwrap_or_default();
        let here = JobNote {
            manifest: manifest.to_string_lossy().into_owned(),
            state: self.state.strip_prefix(&self.dir).unwrap_or(&self.state).to_owned(),
        };
        let dir = self.dir.clone();
        // A note that a crash has left unfinished says nothing.
        match read_if_there(&note)?.and_then(|text| serde_json::from_str::<JobNote>(&text).ok()) {
            Some(owner) if owner == here => Ok(()),
            Some(owner) if owner.manifest != here.manifest => {
                Err(AppError::OtherManifest { dir, owner: owner.manifest, note })
            }
            Some(owner) => Err(AppError::OtherState { state: dir.join(owner.state), dir, note }),
            None => {
                let text = serde_json::to_string(&here).map_err(io::Error::from);
                let written = text.and_then(|text| fs::write(&note, text + "\n"));
                written.map_err(|source| unusable(&note, source))
            }
        }
    }

    /// A state folder of its own place serves one job: two in one ledger would take each
    /// other's rows away.
    fn claim_state(&self) -> Result<(), AppError> {
        if self.state.starts_with(&self.dir) {
            return Ok(());
        }
        let state = self.state.clone();
        let inner = state.join(NOTE);
        if inner.exists() {
            // It lies in the folder of another job.
            let owner = state.parent().unwrap_or(&state).to_owned();
            return Err(AppError::OtherJob { state, owner, note: inner });
        }
        let note = state.join(OWNER);
        let here = self.dir.display().to_string();
        match read_if_there(&note)? {
            Some(owner) if owner.trim() == here => Ok(()),
            Some(owner) => Err(AppError::OtherJob { state, owner: owner.trim().into(), note }),
            None => fs::write(&note, here + "\n").map_err(|source| unusable(&state, source)),
        }
    }

    /// Opens the ledger for writing; the caller holds the lock.
    pub(super) async fn open_ledger(&self) -> Result<SqliteLedger, AppError> {
        self.has_not_lost_its_ledger()?;
        Ok(SqliteLedger::open(&self.ledger_path()).await?)
    }

    /// Opens the ledger for looking; works while a run writes.
    pub(super) async fn look_at_ledger(&self) -> Result<SqliteLedger, AppError> {
        self.has_not_lost_its_ledger()?;
        if !self.has_ledger() {
            return Err(AppError::NoJob { path: self.dir.clone() });
        }
        Ok(SqliteLedger::open_read_only(&self.ledger_path()).await?)
    }

    /// Refuses a job that was begun and whose ledger is gone or empty: with a new one,
    /// everything would be paid for again. results.csv is first written after the ledger.
    fn has_not_lost_its_ledger(&self) -> Result<(), AppError> {
        let ledger = self.ledger_path();
        let there =
            fs::metadata(&ledger).is_ok_and(|it| it.len() >= SMALLEST_LEDGER || it.is_dir());
        let results = self.dir.join("results.csv");
        if there || !results.exists() {
            return Ok(());
        }
        Err(LedgerError::Corrupt(format!(
            "`{}` is missing, empty or cut off, and `{}` says that the job was begun; delete that file to \
             begin anew and pay for everything again",
            ledger.display(),
            results.display()
        ))
        .into())
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

fn read_if_there(path: &Path) -> Result<Option<String>, AppError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unusable(path, source)),
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
        job_in(folder, manifest, None, state)
    }

    fn job_in(folder: &Path, manifest: &str, out: Option<&Path>, state: Option<&Path>) -> Job {
        let flag = |name, path: &Path| (name, vec![path.display().to_string()]);
        let flags = out.map(|out| flag("out", out)).into_iter();
        let flags = flags.chain(state.map(|state| flag("state", state))).collect();
        let raw = RawConfig::load(false, None, None, [], flags).unwrap();
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
        drop(job(folder.path(), "c.csv", None).lock(&clock).unwrap());
        let of_c = folder.path().join("c.restored").join(STATE);
        let error = job(folder.path(), "d.csv", Some(&of_c)).lock(&clock).unwrap_err();
        assert!(matches!(error, AppError::OtherJob { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_job_folder_serves_one_manifest_and_one_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let out = at("out");
        let clock = Clock::system();
        let first = job_in(folder.path(), "a.csv", Some(&out), None);
        drop(first.lock(&clock).unwrap());
        let error = job_in(folder.path(), "b.csv", Some(&out), None).lock(&clock).unwrap_err();
        assert!(matches!(error, AppError::OtherManifest { .. }), "{error}");
        assert!(error.to_string().contains("a.csv"));
        let elsewhere = at("state");
        let other = job_in(folder.path(), "a.csv", Some(&out), Some(&elsewhere));
        let error = other.lock(&clock).unwrap_err();
        assert!(matches!(error, AppError::OtherState { .. }), "{error}");
        // Also when both are moved.
        fs::create_dir(at("new")).unwrap();
        let moved = job_in(&at("new"), "a.csv", Some(&at("copy")), None);
        fs::create_dir_all(at("copy").join(STATE)).unwrap();
        let note = |dir: &Path| dir.join(STATE).join(NOTE);
        fs::copy(note(&out), note(&at("copy"))).unwrap();
        drop(moved.lock(&clock).unwrap());
        // A note that a crash left unfinished is written anew.
        fs::write(note(&out), "{\"mani").unwrap();
        drop(first.lock(&clock).unwrap());
        assert!(fs::read_to_string(note(&out)).unwrap().contains("a.csv"));
    }

    #[tokio::test]
    async fn one_run_works_in_a_job_folder_whatever_the_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let clock = Clock::system();
        let with_state = |name: &str| {
            job_in(folder.path(), "a.csv", Some(&out), Some(&folder.path().join(name)))
        };
        let held = with_state("one").lock(&clock).unwrap();
        let error = with_state("two").lock(&clock).unwrap_err();
        assert!(matches!(error, AppError::Lock(LockError::Held(_))), "{error}");
        drop(held);
        drop(with_state("one").lock(&clock).unwrap());
        // The same folder by another name is locked once.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(out.join(STATE), &link).unwrap();
        fs::remove_file(out.join(STATE).join(NOTE)).unwrap();
        drop(job_in(folder.path(), "a.csv", Some(&out), Some(&link)).lock(&clock).unwrap());
    }
}
