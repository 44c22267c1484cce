//! Makes a file visible in the output folder, whole and under its name, or not at all.
//!
//! A draft is a temporary file in the destination folder, so that giving it its name
//! is one atomic step on one file system. Data reaches the disk before the name does,
//! and the name before success is reported. A file that is already there is never
//! replaced: the same content means that an earlier try came this far and was
//! interrupted; other content moves ours to the next free `name~k`.
//!
//! Each of these steps is one call here; [`group`](super::group) takes them for many files
//! together. Blocking.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::{NamedTempFile, PersistError};

use super::folders::{Folder, Folders, sync_folder};
use crate::core::is_disturbing;

/// How names of temporary files begin. No artifact ever has such a name.
pub const TEMPORARY_PREFIX: &str = ".restore-batch-";

/// How names of temporary files end.
const TEMPORARY_SUFFIX: &str = ".part";

/// Highest `k` tried in `name~k`. Reaching it means that something else fills the folder.
const MAX_ALTERNATIVES: u32 = 9_999;

/// The output folder did not take a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// The name would lead out of the folder, or is ours for temporary files.
    #[error("`{stem}` is not a safe file name: {reason}")]
    Unsafe { stem: String, reason: &'static str },
    /// Everything that the name could be is taken.
    #[error("every name from `{0}` to `{0}~{MAX_ALTERNATIVES}` is taken by another file")]
    Taken(String),
    /// The file system said no.
    #[error("`{}` cannot be written: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl PublishError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Returns true when only this name is at fault, not the folder.
    pub(super) fn is_about_the_name(&self) -> bool {
        match self {
            Self::Unsafe { .. } | Self::Taken(_) => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::InvalidFilename,
        }
    }
}

/// A file in the making. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Draft {
    temporary: NamedTempFile,
    /// Where it will lie.
    folder: Arc<Folder>,
    /// Its name there without extension.
    name: String,
}

/// A file that has its name, which is not durable yet.
#[derive(Debug)]
pub(super) struct Named {
    folder: Arc<Folder>,
    file_name: String,
}

impl Named {
    /// Returns the folder whose entries are to be made durable.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Returns the path relative to the root, with `/` between parts.
    pub(super) fn path(&self) -> String {
        format!("{}{}", self.folder.prefix, self.file_name)
    }
}

impl Draft {
    /// Creates folders as needed and an empty temporary file for `stem`, a path with
    /// `/` between parts.
    ///
    /// # Errors
    ///
    /// [`PublishError`] when the stem is unsafe or the folder cannot be written.
    pub(super) fn open(folders: &Folders, stem: &str) -> Result<Self, PublishError> {
        check_stem(stem)?;
        let (prefix, name) = match stem.rfind('/') {
            Some(slash) => stem.split_at(slash + 1),
            None => ("", stem),
        };
        let mut folder = folders.get(prefix)?;
        let mut temporary = new_temporary(&folder.path);
        if temporary.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Someone has removed the folder since it was last used.
            folders.forget(prefix);
            folder = folders.get(prefix)?;
            temporary = new_temporary(&folder.path);
        }
        let temporary = temporary.map_err(PublishError::io(&folder.path))?;
        Ok(Self { temporary, folder, name: name.to_owned() })
    }

    /// Returns the temporary file.
    pub(super) fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Appends to the file.
    ///
    /// # Errors
    ///
    /// [`PublishError::Io`], on a full disk for one.
    pub(super) fn write(&mut self, content: &[u8]) -> Result<(), PublishError> {
        self.temporary.as_file_mut().write_all(content).map_err(PublishError::io(&self.folder.path))
    }

    /// Lets the file system begin to write what it holds of the file, without waiting for
    /// it: a hint, so that the writes of several files overlap.
    pub(super) fn start_writeback(&self) {
        // Linux begins with it when it is told that nobody will read the file soon; there
        // is `sync_file_range`, too, which no safe library offers.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(self.file(), 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Waits until the file's content is on the disk.
    ///
    /// # Errors
    ///
    /// [`PublishError::Io`]; the content cannot be relied on then.
    pub(super) fn sync(&self) -> Result<(), PublishError> {
        self.file().sync_all().map_err(PublishError::io(&self.folder.path))
    }

    /// Gives the file its name. It must be [synced](Self::sync) before, and its folder
    /// after.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing is visible then.
    pub(super) fn give_name(
        self,
        extension: &str,
        content: &blake3::Hash,
    ) -> Result<Named, PublishError> {
        let Self { mut temporary, folder, name } = self;
        for k in 1..=MAX_ALTERNATIVES {
            let file_name = match k {
                1 => format!("{name}.{extension}"),
                _ => format!("{name}~{k}.{extension}"),
            };
            let target = folder.path.join(&file_name);
            match temporary.persist_noclobber(&target) {
                Ok(_) => {}
                Err(PersistError { error, file })
                    if error.kind() == io::ErrorKind::AlreadyExists =>
                {
                    temporary = file;
                    if !holds(&target, temporary.as_file(), content)
                        .map_err(PublishError::io(&target))?
                    {
                        continue;
                    }
                }
                Err(error) => return Err(PublishError::io(&target)(error.error)),
            }
            return Ok(Named { folder, file_name });
        }
        Err(PublishError::Taken(format!("{}{name}", folder.prefix)))
    }
}

/// Refuses stems that would not stay below the folder on some system. Names were made
/// safe when the manifest was read; this is the second line of defence.
pub(super) fn check_stem(stem: &str) -> Result<(), PublishError> {
    let unsafe_because = |reason| PublishError::Unsafe {
        stem: stem.chars().filter(|c| !is_disturbing(*c)).collect(),
        reason,
    };
    if stem.contains(|c: char| c.is_control() || c == '\\') {
        return Err(unsafe_because("it holds a control character or a backslash"));
    }
    for part in stem.split('/') {
        match part {
            "" => return Err(unsafe_because("it is absolute, or a part of it is empty")),
            "." | ".." => return Err(unsafe_because("it leads out of the folder")),
            _ if part.starts_with(TEMPORARY_PREFIX) => {
                return Err(unsafe_because("such names are for temporary files"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Creates the temporary file with the permissions of an ordinary new file; the
/// library's own are for secrets.
fn new_temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666)); // less the umask
    }
    builder.tempfile_in(folder)
}

/// Writes a file whole under its name or not at all, durably, and readable for its owner
/// only. What had the name before is replaced. Blocking.
///
/// # Errors
///
/// When the folder does not take it; what had the name before is as it was then.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut draft = tempfile::Builder::new();
    draft.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
    let mut draft = draft.tempfile_in(folder)?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    sync_folder(folder)
}

/// Returns true when `target` is a regular file with the content of `ours`.
fn holds(target: &Path, ours: &File, content: &blake3::Hash) -> io::Result<bool> {
    let found = match fs::symlink_metadata(target) {
        Ok(found) => found,
        // It was there a moment ago; whoever removed it may put it back.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !found.is_file() || found.len() != ours.metadata()?.len() {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(target)?)?;
    Ok(hasher.finalize() == *content)
}

/// Removes temporary files that a killed process has left below `images_dir`, and
/// returns how many. Call it at the start of a job, while holding the job's lock.
///
/// Symbolic links are not followed. A folder that does not exist has no leftovers.
///
/// # Errors
///
/// When a folder cannot be read or a leftover cannot be removed.
pub fn sweep_leftovers(images_dir: &Path) -> io::Result<u64> {
    let mut removed = 0;
    let mut folders = vec![images_dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && is_leftover(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn is_leftover(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX)
}

#[cfg(test)]
mod tests;
