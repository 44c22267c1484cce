//! Makes a file visible in the output folder, whole and under its name, or not at all.
//!
//! A draft is a temporary file in the destination folder, so that giving it its name
//! is one atomic step on one file system. Data reaches the disk before the name does,
//! and the name before success is reported. A file that is already there is never
//! replaced: the same content means that an earlier try came this far and was
//! interrupted; other content moves ours to the next free `name~k`.
//!
//! Blocking; called from blocking threads by [`fetcher`](super::fetcher).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, PersistError};

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
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
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
    /// Where it will lie, as a real path without symbolic links.
    folder: PathBuf,
    /// Its name there without extension.
    name: String,
    /// The folder's part of the stem, empty or ending in `/`.
    prefix: String,
}

impl Draft {
    /// Creates folders as needed and an empty temporary file for `stem`, a path with
    /// `/` between parts, below `root`.
    ///
    /// # Errors
    ///
    /// [`PublishError`] when the stem is unsafe or the folder cannot be written.
    pub(super) fn open(root: &Path, stem: &str) -> Result<Self, PublishError> {
        check_stem(stem)?;
        let (prefix, name) = match stem.rfind('/') {
            Some(slash) => stem.split_at(slash + 1),
            None => ("", stem),
        };
        let folder = open_folder(root, prefix)?;
        let temporary = new_temporary(&folder).map_err(PublishError::io(&folder))?;
        Ok(Self { temporary, folder, name: name.to_owned(), prefix: prefix.to_owned() })
    }

    /// Returns a second handle to the temporary file; both share one position.
    ///
    /// # Errors
    ///
    /// When the process has no file handle left.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.temporary.as_file().try_clone()
    }

    /// Gives the file its name and returns it, relative to the root, with `/` between
    /// parts.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing is visible then.
    pub(super) fn publish(
        self,
        extension: &str,
        content: &blake3::Hash,
    ) -> Result<String, PublishError> {
        let Self { mut temporary, folder, name, prefix } = self;
        temporary.as_file().sync_all().map_err(PublishError::io(&folder))?;
        for k in 1..=MAX_ALTERNATIVES {
            let file_name = match k {
                1 => format!("{name}.{extension}"),
                _ => format!("{name}~{k}.{extension}"),
            };
            let target = folder.join(&file_name);
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
            sync_folder(&folder).map_err(PublishError::io(&folder))?;
            return Ok(format!("{prefix}{file_name}"));
        }
        Err(PublishError::Taken(format!("{prefix}{name}")))
    }
}

/// Refuses stems that would not stay below the folder on some system. Names were made
/// safe when the manifest was read; this is the second line of defence.
fn check_stem(stem: &str) -> Result<(), PublishError> {
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

/// Walks down from `root` along `prefix`, creates what is missing and returns the real
/// path. A symbolic link is followed only when it stays below the root.
fn open_folder(root: &Path, prefix: &str) -> Result<PathBuf, PublishError> {
    create_root(root).map_err(PublishError::io(root))?;
    let root = root.canonicalize().map_err(PublishError::io(root))?;
    let mut folder = root.clone();
    for part in prefix.split_terminator('/') {
        let parent = folder.clone();
        folder.push(part);
        create_folder(&folder, &parent).map_err(PublishError::io(&folder))?;
        folder = folder.canonicalize().map_err(PublishError::io(&folder))?;
        if !folder.starts_with(&root) {
            return Err(PublishError::Unsafe {
                stem: prefix.to_owned(),
                reason: "a symbolic link leads out of the output folder",
            });
        }
    }
    Ok(folder)
}

/// Creates the images folder and what is missing above it, each made durable.
fn create_root(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let parent = match root.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_root(parent)?;
    create_folder(root, parent)
}

fn create_folder(folder: &Path, parent: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"))
        }
        Err(error) => Err(error),
    }
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

/// Makes a folder's entries durable. Some file systems cannot, and say so; there is
/// nothing better to do on them.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
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
