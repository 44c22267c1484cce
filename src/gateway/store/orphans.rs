//! Results that no row knows. Usually a crash came between the row and the file of a
//! request that was swept; but if the database was lost, they are all that is left of what
//! was paid for. So they are set aside, and removed only when they are old.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

/// Where they are, below the results.
const FOLDER: &str = "orphaned";

/// Moves results aside; their age counts from `now`. Blocking.
///
/// # Errors
///
/// When one cannot be moved; the next start tries again.
pub(super) fn set_aside(results: &Path, orphans: &[PathBuf], now: Timestamp) -> io::Result<()> {
    if orphans.is_empty() {
        return Ok(());
    }
    let folder = results.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    for orphan in orphans {
        let Some(name) = orphan.file_name() else { continue };
        File::options().write(true).open(orphan)?.set_modified(SystemTime::from(now))?;
        move_to(orphan, &folder.join(name))?;
    }
    tracing::warn!(
        count = orphans.len(),
        folder = %folder.display(),
        "results that no request knows were set aside; if `gateway.db` was lost, save them"
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it is whole, and moves within one file system")]
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Removes what was set aside longer ago than `age`, and returns how many. Blocking.
///
/// # Errors
///
/// When the folder cannot be read, or one cannot be removed.
pub(in crate::gateway) fn sweep_orphans(
    results: &Path,
    age: Duration,
    now: Timestamp,
) -> io::Result<u64> {
    let entries = match fs::read_dir(results.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let facts = entry.metadata()?;
        let since = SystemTime::from(now).duration_since(facts.modified()?);
        if facts.is_file() && since.is_ok_and(|since| since > age) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn they_are_private_and_removed_when_they_are_old() {
        let results = tempfile::tempdir().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let age = Duration::from_secs(100);
        set_aside(results.path(), &[], at(0)).unwrap();
        assert!(!results.path().join(FOLDER).exists());
        assert_eq!(sweep_orphans(results.path(), age, at(0)).unwrap(), 0);
        for (name, second) in [("a.png", 1_000), ("b.png", 1_050)] {
            let path = results.path().join(name);
            fs::write(&path, name).unwrap();
            set_aside(results.path(), &[path], at(second)).unwrap();
        }
        let folder = results.path().join(FOLDER);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(folder.join("a.png")).unwrap(), "a.png");
        assert_eq!(sweep_orphans(results.path(), age, at(1_100)).unwrap(), 0);
        assert_eq!(sweep_orphans(results.path(), age, at(1_101)).unwrap(), 1);
        assert!(folder.join("b.png").exists() && !folder.join("a.png").exists());
    }
}
