//! One test's folder, servers and patience.

use std::{
    fmt::Debug,
    fs,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};

/// How long a condition may take to come true; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_mins(2);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// An empty home, a folder to work in, and a runtime on which servers run.
///
/// Tests are plain functions: they block, and the servers go on meanwhile.
pub(crate) struct World {
    runtime: Runtime,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "work", "logs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { runtime, folder }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The current folder of every command.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// Returns the path of a file in the current folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file in the current folder, with the folders it needs.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs a future to its end; servers start in it.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Looks until `look` finds what it wants; its error says what it saw instead.
    ///
    /// # Panics
    ///
    /// When it takes too long, with what was seen last.
    pub(crate) fn until<T, E: Debug>(
        &self,
        wanted: &str,
        mut look: impl FnMut() -> Result<T, E>,
    ) -> T {
        self.block_on(async {
            let ends = Instant::now() + PATIENCE;
            loop {
                match look() {
                    Ok(found) => return found,
                    Err(seen) if Instant::now() >= ends => {
                        panic!("waited in vain for: {wanted}; saw: {seen:?}")
                    }
                    Err(_) => sleep(LOOK_EVERY).await,
                }
            }
        })
    }
}
