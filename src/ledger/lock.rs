//! Keeps two runs out of one job folder.
//!
//! The lock is the operating system's, on an open file, so that a crash releases it;
//! what the file says is only for the message to the second run. The fence of the
//! ledger guards against what slips through (invariant I6).

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of the lock file in the state folder.
const FILE_NAME: &str = "lock";

/// Longest content that is read of a lock file; ours are far shorter.
const MAX_CONTENT: u64 = 4096;

/// The right to work on a job, until dropped.
#[derive(Debug)]
pub struct JobLock {
    /// Holds the lock; closing it releases it. The file stays: removing it would let
    /// a third run lock a new file while a second one waits for the old.
    _file: File,
}

/// Who holds a lock, as far as the lock file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockHolder {
    /// Process id on the machine where it runs.
    pub pid: Option<u32>,
    /// When it started.
    pub since: Option<Timestamp>,
    /// What was started, without secrets.
    pub command: Option<String>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another run")?;
        if let Some(command) = &self.command {
            write!(f, " (`{command}`)")?;
        }
        if let Some(pid) = self.pid {
            write!(f, ", process {pid}")?;
        }
        if let Some(since) = self.since {
            write!(f, ", since {since:.0}")?;
        }
        Ok(())
    }
}

/// A job could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run works on the job.
    #[error("this job is in use by {0}; wait until it ends, or stop it")]
    Held(LockHolder),
    /// The lock file cannot be made or locked.
    #[error("cannot lock `{}`; make the folder writable, or choose another with `--state`", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl JobLock {
    /// Locks the job whose state is in `state_dir`, which is created if missing, and
    /// notes there that `command` did so at `now`.
    ///
    /// A file that a crashed run has left is taken over.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] at once when another process, or another lock of this
    /// process, has it; [`LockError::Io`] when the file cannot be used.
    pub fn acquire(state_dir: &Path, now: Timestamp, command: &str) -> Result<Self, LockError> {
        let path = state_dir.join(FILE_NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        std::fs::create_dir_all(state_dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_holder(&mut file))),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let holder = LockHolder {
            pid: Some(std::process::id()),
            since: Some(now),
            command: Some(command.to_owned()),
        };
        write_holder(&mut file, &holder).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Reads what a lock file says. A file that says nothing readable, such as one that
/// is being written, names nobody.
fn read_holder(file: &mut File) -> LockHolder {
    let mut content = String::new();
    match file.take(MAX_CONTENT).read_to_string(&mut content) {
        Ok(_) => serde_json::from_str(&content).unwrap_or_default(),
        Err(_) => LockHolder::default(),
    }
}

fn write_holder(file: &mut File, holder: &LockHolder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    serde_json::to_writer(&mut *file, holder)?;
    file.write_all(b"\n")
}

/// Names the network file system that `path` is on; `None` for local ones.
///
/// `SQLite`'s write-ahead log needs memory that all readers share, and locks that hold,
/// so a ledger must not lie on a file system that other machines may write to. Known:
/// NFS, SMB (three numbers), AFS and Ceph, by their numbers in Linux's `statfs(2)`.
/// 9p and FUSE are let through: containers and virtual machines use them for disks of
/// one machine, and nothing tells the two uses apart.
///
/// # Errors
///
/// When the operating system knows nothing of `path`; it has to exist.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    Ok(match rustix::fs::statfs(path)?.f_type {
        0x6969 => Some("NFS"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => Some("SMB"),
        0x5346_414F => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        _ => None,
    })
}

/// Names the network file system that `path` is on: always `None` here, because this
/// platform offers no portable way to ask.
///
/// # Errors
///
/// None on this platform.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub fn network_file_system(_path: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deep/state");
        let lock = JobLock::acquire(&state, at(1_700_000_000), "restore-batch run a.csv").unwrap();

        let Err(LockError::Held(holder)) = JobLock::acquire(&state, at(1_700_000_001), "x") else {
            panic!("the second lock must fail");
        };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert_eq!(holder.since, Some(at(1_700_000_000)));
        assert_eq!(
            LockError::Held(LockHolder { pid: Some(7), ..holder }).to_string(),
            "this job is in use by another run (`restore-batch run a.csv`), process 7, since \
             2023-11-14T22:13:20Z; wait until it ends, or stop it"
        );

        drop(lock);
        JobLock::acquire(&state, at(1_700_000_002), "restore-batch run a.csv").unwrap();
    }

    #[test]
    fn a_file_left_by_a_crash_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, "x".repeat(9000)).unwrap();
        let _lock = JobLock::acquire(dir.path(), at(0), "restore-batch").unwrap();
        let holder: LockHolder =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(holder.command.as_deref(), Some("restore-batch"));
    }

    #[test]
    fn a_holder_that_is_still_writing_is_nobody_in_particular() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = JobLock::acquire(dir.path(), at(0), "restore-batch").unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "{\"pid\":").unwrap();
        let Err(LockError::Held(holder)) = JobLock::acquire(dir.path(), at(0), "x") else {
            panic!("the second lock must fail");
        };
        assert_eq!(holder, LockHolder::default());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = JobLock::acquire(&file.join("state"), at(0), "x").unwrap_err();
        assert!(error.to_string().contains("file/state/lock"), "{error}");
    }

    #[test]
    fn temporary_files_are_local() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(network_file_system(dir.path()).unwrap(), None);
        assert!(network_file_system(&dir.path().join("missing")).is_err());
    }
}
