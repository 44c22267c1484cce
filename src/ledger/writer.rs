//! The only task that writes to the database.
//!
//! It takes every command that waits, applies them in one transaction, commits, and
//! only then answers them ("group commit"): with many callers a commit costs each of
//! them a fraction of a disk flush. Commands own their data, so that a caller who
//! goes away changes nothing, and the task itself is never cancelled half-way.
//!
//! A refused command (stale fence, illegal event) fails alone. When the database
//! fails, every command of the transaction fails, none is acknowledged, and before the
//! next one the connection is opened and the head is read anew.

use std::collections::VecDeque;

use jiff::Timestamp;
use sqlx::{ConnectOptions as _, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    contract::{LedgerError, LedgerResult},
    head::Head,
    place::Place,
    record::{EditionHeader, Imported, NewRow, Totals},
    statements,
    steps::{self, Step},
};
use crate::core::{Edition, Endpoint, Fence, Item};

/// Most commands in one transaction: enough that the commit no longer counts, few
/// enough that the first one does not wait long.
const BATCH: usize = 512;

/// Commands that may wait before callers have to.
pub(super) const QUEUE: usize = 1024;

pub(super) type Reply<T> = oneshot::Sender<LedgerResult<T>>;

/// One write, with where to answer it.
#[derive(Debug)]
pub(super) enum Command {
    BeginSession(Reply<Fence>),
    BindService(Fence, String, Reply<()>),
    Pause(Fence, Endpoint, Timestamp, Reply<()>),
    BeginEdition(Fence, EditionHeader, Reply<Edition>),
    Import(Fence, Edition, Vec<NewRow>, Reply<Imported>),
    FinishEdition(Fence, Edition, String, Reply<()>),
    Advance(Step, Reply<Item>),
}

impl Command {
    /// Answers with an error.
    fn refuse(self, error: LedgerError) {
        match self {
            Self::BeginSession(reply) => answer(reply, Err(error)),
            Self::BindService(.., reply)
            | Self::Pause(.., reply)
            | Self::FinishEdition(.., reply) => answer(reply, Err(error)),
            Self::BeginEdition(.., reply) => answer(reply, Err(error)),
            Self::Import(.., reply) => answer(reply, Err(error)),
            Self::Advance(.., reply) => answer(reply, Err(error)),
        }
    }
}

fn answer<T>(reply: Reply<T>, result: LedgerResult<T>) {
    // A caller that has gone away does not want to know.
    drop(reply.send(result));
}

/// Answers that wait for the commit. Called with how that went.
#[derive(Default)]
struct Answers(Vec<Box<dyn FnOnce(LedgerResult<()>) + Send>>);

impl Answers {
    /// Keeps the answer to one command.
    ///
    /// # Errors
    ///
    /// What has to end the transaction, as opposed to what only this command hears.
    fn keep<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        result: LedgerResult<T>,
    ) -> LedgerResult<()> {
        let failure = match &result {
            Err(error) if ends_transaction(error) => Err(error.clone()),
            _ => Ok(()),
        };
        self.0.push(Box::new(move |commit| answer(reply, commit.and(result))));
        failure
    }

    fn send(self, commit: &LedgerResult<()>) {
        for answer in self.0 {
            answer(commit.clone());
        }
    }
}

fn ends_transaction(error: &LedgerError) -> bool {
    match error {
        LedgerError::Illegal { .. }
        | LedgerError::StaleFence
        | LedgerError::NotReading(_)
        | LedgerError::UnknownItem(_) => false,
        LedgerError::Newer { .. } | LedgerError::Corrupt(_) | LedgerError::Unavailable(_) => true,
    }
}

/// The writing end of a ledger.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    place: Place,
    /// `None` after a failure: a full disk ends a transaction behind the library's back,
    /// which then takes no other on the same connection.
    connection: Option<SqliteConnection>,
    /// `None` after a failure: what the tables say is not known then.
    head: Option<Head>,
    totals: watch::Sender<Totals>,
}

impl Writer {
    /// `connection` is one that was opened with `options`, and its file lies at `place`.
    pub(super) fn new(
        options: SqliteConnectOptions,
        place: Place,
        connection: SqliteConnection,
        head: Head,
    ) -> (Self, watch::Receiver<Totals>) {
        let (totals, watched) = watch::channel(head.totals);
        (Self { options, place, connection: Some(connection), head: Some(head), totals }, watched)
    }

    /// Serves commands until all senders are gone, then closes the database.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH);
        while commands.recv_many(&mut batch, BATCH).await > 0 {
            self.serve(batch.drain(..).collect()).await;
        }
        self.close().await;
    }

    async fn serve(&mut self, mut batch: VecDeque<Command>) {
        let mut answers = Answers::default();
        let commit = self.transact(&mut batch, &mut answers).await;
        if let (Ok(()), Some(head)) = (&commit, &self.head) {
            self.totals.send_replace(head.totals);
        }
        answers.send(&commit);
        if let Err(error) = commit {
            for command in batch {
                command.refuse(error.clone());
            }
        }
    }

    /// Takes commands from `batch` and applies them, all in one transaction.
    async fn transact(
        &mut self,
        batch: &mut VecDeque<Command>,
        answers: &mut Answers,
    ) -> LedgerResult<()> {
        self.place.check()?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut head = match self.head.take() {
            Some(head) => head,
            None => statements::load_head(&mut transaction).await?,
        };
        head.fence = statements::load_fence(&mut transaction).await?;
        let settlement = head.last_settlement;
        while let Some(command) = batch.pop_front() {
            apply(&mut transaction, &mut head, command, batch, answers).await?;
        }
        if head.last_settlement != settlement {
            statements::save_settlement(&mut transaction, head.last_settlement).await?;
        }
        transaction.commit().await?;
        self.head = Some(head);
        self.connection = Some(connection);
        Ok(())
    }

    async fn close(self) {
        let Some(mut connection) = self.connection else { return };
        // Both are only tidy: the next open reads the log whatever becomes of them.
        let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err(error) = checkpoint.execute(&mut connection).await {
            tracing::debug!(%error, "the ledger's log was not folded in at the end");
        }
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "the ledger was not closed cleanly");
        }
    }
}

/// Applies one command, and with an advance all advances that follow it.
async fn apply(
    connection: &mut SqliteConnection,
    head: &mut Head,
    command: Command,
    batch: &mut VecDeque<Command>,
    answers: &mut Answers,
) -> LedgerResult<()> {
    match command {
        Command::BeginSession(reply) => {
            let fence = statements::begin_session(connection, head).await;
            answers.keep(reply, fence)
        }
        Command::BindService(fence, service, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => statements::bind_service(connection, &service).await,
                refused => refused,
            };
            answers.keep(reply, result)
        }
        Command::Pause(fence, endpoint, until, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => statements::pause(connection, endpoint, until).await,
                refused => refused,
            };
            answers.keep(reply, result)
        }
        Command::BeginEdition(fence, header, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => statements::begin_edition(connection, head, &header).await,
                Err(refused) => Err(refused),
            };
            answers.keep(reply, result)
        }
        Command::Import(fence, edition, rows, reply) => {
            let result = match head.check_import(fence, edition) {
                Ok(()) => statements::import(connection, head, rows).await,
                Err(refused) => Err(refused),
            };
            answers.keep(reply, result)
        }
        Command::FinishEdition(fence, edition, content, reply) => {
            let result = match head.check_import(fence, edition) {
                Ok(()) => statements::finish_edition(connection, head, &content).await,
                refused => refused,
            };
            answers.keep(reply, result)
        }
        Command::Advance(step, reply) => {
            advance(connection, head, (step, reply), batch, answers).await
        }
    }
}

async fn advance(
    connection: &mut SqliteConnection,
    head: &mut Head,
    first: (Step, Reply<Item>),
    batch: &mut VecDeque<Command>,
    answers: &mut Answers,
) -> LedgerResult<()> {
    let (mut waiting, mut replies) = (vec![first.0], vec![first.1]);
    while let Some(Command::Advance(..)) = batch.front() {
        if let Some(Command::Advance(step, reply)) = batch.pop_front() {
            waiting.push(step);
            replies.push(reply);
        }
    }
    let results = match steps::advance(connection, head, waiting).await {
        Ok(results) => results,
        Err(error) => replies.iter().map(|_| Err(error.clone())).collect(),
    };
    let kept: Vec<_> = replies
        .into_iter()
        .zip(results)
        .map(|(reply, result)| answers.keep(reply, result))
        .collect();
    kept.into_iter().collect()
}
