//! The only task that writes to a database.
//!
//! It takes every command that waits, applies them in one transaction, commits, and
//! only then answers them ("group commit"): with many callers a commit costs each of
//! them a fraction of a disk flush. Commands own their data, so that a caller who
//! goes away changes nothing, and the task itself is never cancelled half-way.
//!
//! A refused command fails alone. When the database fails, every command of the
//! transaction fails, none is acknowledged, and before the next one the connection is
//! opened anew.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
};

use sqlx::{ConnectOptions as _, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{error::SqliteError, place::Place};

/// Most commands in one transaction: enough that the commit no longer counts, few
/// enough that the first one does not wait long.
const BATCH: usize = 512;

/// Commands that may wait before callers have to.
const QUEUE: usize = 1024;

/// Where a command is answered.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// Answers a command that was not written.
pub(crate) fn answer<T, E>(reply: Reply<T, E>, result: Result<T, E>) {
    // A caller that has gone away does not want to know.
    drop(reply.send(result));
}

/// What a command may fail with.
pub(crate) trait WriteError: Clone + From<SqliteError> + Send + Sync + 'static {
    /// Returns true when the transaction has to end, as opposed to what only one command
    /// hears.
    fn ends_transaction(&self) -> bool;
}

/// Says what commands do to a database.
pub(crate) trait Book: Send + 'static {
    /// One write, with where to answer it.
    type Command: fmt::Debug + Send + 'static;
    /// What it may fail with.
    type Error: WriteError;

    /// A transaction has begun: reads what the commands need to know.
    fn begin(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Applies `command`, and with it those of the `batch` that follow it, if that is
    /// cheaper. Fails only with what has to end the transaction.
    fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        command: Self::Command,
        batch: &mut VecDeque<Self::Command>,
        answers: &mut Answers<Self::Error>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Every command is applied: writes what they have in common.
    fn end(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The transaction is durable, or nothing of it is known to be.
    fn settled(&mut self, durable: bool);

    /// Answers a command that was not applied with an error.
    fn refuse(command: Self::Command, error: Self::Error);
}

/// One answer, to be called with how the commit went.
type Answer<E> = Box<dyn FnOnce(Result<(), E>) + Send>;

/// Answers that wait for the commit.
pub(crate) struct Answers<E>(Vec<Answer<E>>);

impl<E: WriteError> Answers<E> {
    /// Keeps the answer to one command.
    ///
    /// # Errors
    ///
    /// What has to end the transaction.
    pub(crate) fn keep<T: Send + 'static>(
        &mut self,
        reply: Reply<T, E>,
        result: Result<T, E>,
    ) -> Result<(), E> {
        let failure = match &result {
            Err(error) if error.ends_transaction() => Err(error.clone()),
            _ => Ok(()),
        };
        self.0.push(Box::new(move |commit| answer(reply, commit.and(result))));
        failure
    }

    fn send(self, commit: &Result<(), E>) {
        for answer in self.0 {
            answer(commit.clone());
        }
    }
}

/// The writing end of a database.
pub(crate) struct Writer<B> {
    book: B,
    options: SqliteConnectOptions,
    place: Place,
    /// `None` after a failure: a full disk ends a transaction behind the library's back,
    /// which then takes no other on the same connection.
    connection: Option<SqliteConnection>,
}

impl<B: Book> Writer<B> {
    /// `connection` is one that was opened with `options`, and its file lies at `place`.
    pub(crate) fn new(
        book: B,
        options: SqliteConnectOptions,
        place: Place,
        connection: SqliteConnection,
    ) -> Self {
        Self { book, options, place, connection: Some(connection) }
    }

    /// Starts the task.
    pub(crate) fn start(self) -> Writing<B::Command> {
        let (commands, waiting) = mpsc::channel(QUEUE);
        let task = tokio::spawn(self.run(waiting));
        Writing { open: Mutex::new(Some(Open { commands, task })) }
    }

    /// Serves commands until all senders are gone, then closes the database.
    async fn run(mut self, mut commands: mpsc::Receiver<B::Command>) {
        let mut batch = Vec::with_capacity(BATCH);
        while commands.recv_many(&mut batch, BATCH).await > 0 {
            self.serve(batch.drain(..).collect()).await;
        }
        self.close().await;
    }

    async fn serve(&mut self, mut batch: VecDeque<B::Command>) {
        let mut answers = Answers(Vec::with_capacity(batch.len()));
        let commit = self.transact(&mut batch, &mut answers).await;
        self.book.settled(commit.is_ok());
        answers.send(&commit);
        if let Err(error) = commit {
            for command in batch {
                B::refuse(command, error.clone());
            }
        }
    }

    /// Takes commands from `batch` and applies them, all in one transaction.
    async fn transact(
        &mut self,
        batch: &mut VecDeque<B::Command>,
        answers: &mut Answers<B::Error>,
    ) -> Result<(), B::Error> {
        self.place.check()?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(SqliteError::from)?,
        };
        let begun = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(SqliteError::from)?;
        self.book.begin(&mut transaction).await?;
        while let Some(command) = batch.pop_front() {
            self.book.apply(&mut transaction, command, batch, answers).await?;
        }
        self.book.end(&mut transaction).await?;
        transaction.commit().await.map_err(SqliteError::at_commit)?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn close(self) {
        let Some(mut connection) = self.connection else { return };
        // Both are only tidy: the next open reads the log whatever becomes of them.
        let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err(error) = checkpoint.execute(&mut connection).await {
            tracing::debug!(%error, "the database's log was not folded in at the end");
        }
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "the database was not closed cleanly");
        }
    }
}

/// Hands commands to a writer. Dropping it lets what was begun end in the background.
#[derive(Debug)]
pub(crate) struct Writing<C> {
    /// `None` once it is closed.
    open: Mutex<Option<Open<C>>>,
}

#[derive(Debug)]
struct Open<C> {
    commands: mpsc::Sender<C>,
    task: JoinHandle<()>,
}

/// The writer has ended, so that nothing can be written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

impl<C> Writing<C> {
    /// Hands a command to the writer and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when there is no writer any more.
    pub(crate) async fn write<T, E>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> C,
    ) -> Result<Result<T, E>, Stopped> {
        let commands = self.open().as_ref().map(|open| open.commands.clone()).ok_or(Stopped)?;
        let (reply, answer) = oneshot::channel();
        commands.send(command(reply)).await.map_err(|_| Stopped)?;
        drop(commands);
        answer.await.map_err(|_| Stopped)
    }

    /// Waits for the last commit and folds the log into the file. Later writes fail.
    pub(crate) async fn close(&self) {
        let open = self.open().take();
        if let Some(Open { commands, task }) = open {
            drop(commands);
            if let Err(error) = task.await {
                tracing::error!(%error, "the database's writer ended abnormally");
            }
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Option<Open<C>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
