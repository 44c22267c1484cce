//! The folders below the images folder: created as needed, each step durable, and walked
//! anew only when another is in their place.
//!
//! Not responsible for the files in them ([`publish`](super::publish)). Blocking.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::publish::PublishError;

/// Most folders that are remembered. Walking one costs a dozen system calls, so that
/// forgetting all of them now and then costs nothing.
const MOST_KNOWN: usize = 1_024;

/// One folder below the root.
#[derive(Debug)]
pub(super) struct Folder {
    /// Its real path, without symbolic links.
    pub(super) path: PathBuf,
    /// Its path below the root, empty or ending in `/`.
    pub(super) prefix: String,
    identity: Identity,
}

/// Device and number of a folder.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The folders below one root.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    known: Mutex<HashMap<String, Arc<Folder>>>,
}

impl Folders {
    /// `root` is created when the first folder is needed.
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// Walks down from the root along `prefix`, and creates what is missing. A symbolic
    /// link is followed only when it stays below the root.
    ///
    /// # Errors
    ///
    /// [`PublishError`] when a link leads out, or a folder cannot be made.
    pub(super) fn get(&self, prefix: &str) -> Result<Arc<Folder>, PublishError> {
        let known = self.known().get(prefix).cloned();
        // Somebody may have put a link in its place meanwhile.
        let same = |folder: &Arc<Folder>| identity(&folder.path).ok() == Some(folder.identity);
        if let Some(folder) = known.filter(same) {
            return Ok(folder);
        }
        let path = walk(&self.root, prefix)?;
        let identity = identity(&path).map_err(PublishError::io(&path))?;
        let folder = Arc::new(Folder { path, prefix: prefix.to_owned(), identity });
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(prefix.to_owned(), folder.clone());
        Ok(folder)
    }

    /// Walks down anew the next time: the folder is not there any more.
    pub(super) fn forget(&self, prefix: &str) {
        self.known().remove(prefix);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Folder>>> {
        // What a panicking thread has left are still folders.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn walk(root: &Path, prefix: &str) -> Result<PathBuf, PublishError> {
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

/// Makes a folder's entries durable. Some file systems cannot, and say so; there is
/// nothing better to do on them.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
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
