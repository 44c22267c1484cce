//! Watches that a database is still where it was opened.
//!
//! A file that was deleted or replaced takes writes as if nothing had happened, and is
//! gone with the process. The next start would know nothing of what this one has paid or
//! charged for, so nothing more is promised once it has gone.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::error::SqliteError;

/// A file that is open, and its path.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Place {
    /// Remembers which file lies at `path`.
    ///
    /// # Errors
    ///
    /// [`SqliteError::Unavailable`] when there is none.
    pub(crate) fn of(path: &Path) -> Result<Self, SqliteError> {
        let file = file_at(path).map_err(|error| SqliteError::Unavailable(error.to_string()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Looks whether that file still lies there. One `stat`, about a microsecond.
    ///
    /// # Errors
    ///
    /// [`SqliteError::Replaced`] when it does not.
    pub(crate) fn check(&self) -> Result<(), SqliteError> {
        match file_at(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(SqliteError::Replaced),
        }
    }
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|facts| (facts.dev(), facts.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_deleted_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&path, "old").unwrap();
        fs::write(&other, "new").unwrap();
        let place = Place::of(&path).unwrap();
        fs::write(&path, "old and longer").unwrap();
        assert_eq!(place.check(), Ok(()));
        fs::copy(&path, folder.path().join("c")).unwrap();
        std::process::Command::new("mv").args([&other, &path]).status().unwrap();
        assert_eq!(place.check(), Err(SqliteError::Replaced));
        fs::remove_file(&path).unwrap();
        assert_eq!(place.check(), Err(SqliteError::Replaced));
    }
}
