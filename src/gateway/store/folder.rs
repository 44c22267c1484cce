//! The folder in which a gateway keeps its state.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use sqlx::ConnectOptions as _;
use tempfile::TempDir;

use super::{
    record::Record,
    rows::{Kept, load},
    schema::SCHEMA,
    writes::{Command, Reply, RequestBook},
};
use crate::{
    core::Micros,
    sqlite::{Place, SqliteError, Writer, Writing, writer_options},
};

const DATABASE: &str = "gateway.db";
const RESULTS: &str = "results";
const LOCK: &str = "lock";

/// Name of the thread that serves the connection.
const THREAD: &str = "gateway-writer";

/// A gateway's state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another gateway works there.
    #[error(
        "`{}` is in use by another gateway; stop that one, or choose another folder with `--state`",
        .0.display()
    )]
    InUse(PathBuf),
    /// It cannot be made, read or written.
    #[error("`{}` cannot be used; make it writable, or choose another folder with `--state`", path.display())]
    Folder {
        /// The file or folder at fault.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no place for a temporary one.
    #[error("a temporary folder for the gateway cannot be made")]
    Temporary(#[source] io::Error),
    /// The database in it cannot be used.
    #[error("`{}` cannot be used: {what}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what helps.
        what: String,
    },
}

impl StateError {
    fn folder(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Folder { path: path.to_owned(), source }
    }
}

/// The lasting state of one gateway: exclusive as long as it is open.
#[derive(Debug)]
pub(in crate::gateway) struct State {
    folder: PathBuf,
    /// Removed at the end, for a gateway whose state is nobody's business.
    _temporary: Option<TempDir>,
    /// Held until [`close`](Self::close): other gateways wait for it.
    lock: Mutex<Option<File>>,
    pub(in crate::gateway) store: Store,
}

impl State {
    /// Opens the state in `folder`, which is made if missing; `None` for a temporary one.
    ///
    /// # Errors
    ///
    /// [`StateError`] when another gateway has it, or it cannot be used.
    pub(in crate::gateway) async fn open(
        folder: Option<&Path>,
    ) -> Result<(Self, Kept), StateError> {
        let (folder, temporary) = if let Some(folder) = folder {
            (folder.to_owned(), None)
        } else {
            let prefix = "restore-batch-gateway-";
            let temporary = tempfile::Builder::new().prefix(prefix).tempdir();
            let temporary = temporary.map_err(StateError::Temporary)?;
            (temporary.path().to_owned(), Some(temporary))
        };
        let results = folder.join(RESULTS);
        // Addresses of callbacks and of pictures are nobody else's business.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&results);
        made.map_err(StateError::folder(&results))?;
        let lock = lock_of(&folder)?;
        let path = folder.join(DATABASE);
        // Made here for its permissions, which its log inherits.
        private_file(&path)?;
        let (store, kept) = Store::open(&path).await.map_err(|error| at_path(&error, &path))?;
        Ok((Self { folder, _temporary: temporary, lock: Mutex::new(Some(lock)), store }, kept))
    }

    /// Returns where it lies.
    pub(in crate::gateway) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns where results lie.
    pub(in crate::gateway) fn results(&self) -> PathBuf {
        self.folder.join(RESULTS)
    }

    /// Waits for the last commit and lets another gateway in. Later writes fail.
    pub(in crate::gateway) async fn close(&self) {
        self.store.writing.close().await;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Takes the operating system's lock on a file of the folder: a crash releases it.
fn lock_of(folder: &Path) -> Result<File, StateError> {
    let path = folder.join(LOCK);
    let file = private_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(StateError::folder(&path)(error)),
    }
}

/// Opens a file, which is made if missing, readable for its owner only.
fn private_file(path: &Path) -> Result<File, StateError> {
    let file = File::options().create(true).write(true).truncate(false).mode(0o600).open(path);
    file.map_err(StateError::folder(path))
}

pub(super) fn at_path(error: &SqliteError, path: &Path) -> StateError {
    let advice = match error {
        SqliteError::Newer { .. } => "update restore-batch; nothing was changed",
        SqliteError::Foreign => "choose another folder with `--state`",
        SqliteError::Damaged(_) => {
            "keep the file, it is the only record of what was paid; restore a backup, or try \
             `sqlite3 FILE .recover`"
        }
        _ => "then start the gateway again",
    };
    StateError::Database { path: path.to_owned(), what: format!("{error}; {advice}") }
}

/// Writes the database. Every call returns when its effect is durable.
#[derive(Debug)]
pub(in crate::gateway) struct Store {
    writing: Writing<Command>,
}

impl Store {
    async fn open(path: &Path) -> Result<(Self, Kept), SqliteError> {
        let options = writer_options(path, THREAD);
        let mut connection = options.connect().await?;
        SCHEMA.migrate(&mut connection, path).await?;
        let kept = load(&mut connection).await?;
        let writer = Writer::new(RequestBook, options, Place::of(path)?, connection);
        Ok((Self { writing: writer.start() }, kept))
    }

    /// Keeps a request and charges for it. If its idempotency key names a request already,
    /// that one is returned, and nothing is kept or charged.
    ///
    /// # Errors
    ///
    /// [`SqliteError::Uncertain`] leaves open whether it was kept; with all others it
    /// certainly was not.
    pub(in crate::gateway) async fn accept(
        &self,
        record: Record,
    ) -> Result<Option<Box<Record>>, SqliteError> {
        self.write(|reply| Command::Accept(Box::new(record), reply)).await
    }

    /// Keeps the end of a request and gives `refund` back. A second time it does nothing.
    ///
    /// # Errors
    ///
    /// [`SqliteError`] when it may not have been kept; call it again then.
    pub(in crate::gateway) async fn end(
        &self,
        record: Record,
        refund: Micros,
    ) -> Result<(), SqliteError> {
        self.write(|reply| Command::End(Box::new(record), refund, reply)).await
    }

    /// Keeps how often work on a request was begun and not ended.
    ///
    /// # Errors
    ///
    /// [`SqliteError`] when it may not have been kept.
    pub(in crate::gateway) async fn starts(
        &self,
        id: &str,
        starts: u32,
    ) -> Result<(), SqliteError> {
        let id = Arc::from(id);
        self.write(|reply| Command::Starts { id, starts, reply }).await
    }

    /// Keeps how often a callback was tried in vain, and when it is to be tried next.
    ///
    /// # Errors
    ///
    /// [`SqliteError`] when it may not have been kept.
    pub(in crate::gateway) async fn callback(
        &self,
        id: &str,
        attempts: u32,
        due: Option<Timestamp>,
    ) -> Result<(), SqliteError> {
        let id = Arc::from(id);
        self.write(|reply| Command::Callback { id, attempts, due, reply }).await
    }

    /// Forgets requests; their files may go afterwards.
    ///
    /// # Errors
    ///
    /// [`SqliteError`] when they may still be there.
    pub(in crate::gateway) async fn remove(&self, ids: Vec<String>) -> Result<(), SqliteError> {
        self.write(|reply| Command::Remove(ids, reply)).await
    }

    /// Finds out whether writes become durable.
    ///
    /// # Errors
    ///
    /// [`SqliteError`] when they do not.
    pub(in crate::gateway) async fn probe(&self) -> Result<(), SqliteError> {
        self.write(Command::Probe).await
    }

    async fn write<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SqliteError> {
        // Perhaps in the middle of it.
        let stopped = |_| Err(SqliteError::Uncertain("the gateway has ended".to_owned()));
        self.writing.write(command).await.unwrap_or_else(stopped)
    }
}
