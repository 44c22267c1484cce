//! The ledger of real jobs: one `SQLite` file.

use std::{path::Path, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;

use super::{
    contract::{Audit, Ledger, LedgerError, LedgerResult},
    counts::load_head,
    fault::at_path,
    reader::Reader,
    record::{
        EditionHeader, Imported, JobRecord, NewRow, RowFilter, RowRecord, SettledRow, Totals,
    },
    schema::SCHEMA,
    steps::Step,
    writer::{Command, JobBook, Reply},
};
use crate::{
    core::{Edition, Endpoint, FailureCode, Fence, Item, ItemEvent, ItemId, ItemState},
    sqlite::{Place, Writer, Writing, reader_options, writer_options},
};

/// Names of the threads that serve the connections.
const WRITER: &str = "ledger-writer";
const READER: &str = "ledger-reader";

/// A ledger in one `SQLite` file, in write-ahead mode with full synchronisation.
///
/// Needs a tokio runtime. Dropping it lets what was begun end in the background;
/// [`close`](Self::close) waits for that and folds the log into the file.
#[derive(Debug)]
pub struct SqliteLedger {
    reader: Reader,
    /// `None` when opened for reading only.
    writer: Option<WriterHandle>,
}

#[derive(Debug)]
struct WriterHandle {
    commands: Writing<Command>,
    totals: watch::Receiver<Totals>,
}

impl SqliteLedger {
    /// Opens the ledger in the file `path`; creates it, and its folder, if missing,
    /// and brings it up to date. Take the [`JobLock`](super::JobLock) first.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Newer`], [`LedgerError::Corrupt`], or
    /// [`LedgerError::Unavailable`] when the file cannot be opened or created.
    pub async fn open(path: &Path) -> LedgerResult<Self> {
        Self::open_writer(path).await.map_err(|error| at_path(error, path))
    }

    /// Opens the ledger in the file `path` for reading, also while a run writes to
    /// it. Every writing call fails.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); a missing file is [`LedgerError::Unavailable`].
    pub async fn open_read_only(path: &Path) -> LedgerResult<Self> {
        Self::open_reader(path).await.map_err(|error| at_path(error, path))
    }

    async fn open_writer(path: &Path) -> LedgerResult<Self> {
        if let Some(folder) = path.parent() {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        }
        let options = writer_options(path, WRITER);
        let mut connection = options.connect().await?;
        SCHEMA.migrate(&mut connection, path).await?;
        let (book, totals) = JobBook::new(load_head(&mut connection).await?);
        let reader = Reader::open(reader_options(path, READER)).await?;
        let commands = Writer::new(book, options, Place::of(path)?, connection).start();
        Ok(Self { reader, writer: Some(WriterHandle { commands, totals }) })
    }

    async fn open_reader(path: &Path) -> LedgerResult<Self> {
        let options = reader_options(path, READER);
        let mut connection = options.connect().await?;
        SCHEMA.check(&mut connection, path).await?;
        connection.close().await?;
        Ok(Self { reader: Reader::open(options).await?, writer: None })
    }

    /// Copies the ledger as it is at this moment into the new file `path`, also while a
    /// run writes to it. The copy is a ledger by itself.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] when `path` exists or cannot be written.
    pub async fn copy_to(&self, path: &Path) -> LedgerResult<()> {
        self.reader.copy_to(path).await.map_err(|error| at_path(error, path))
    }

    /// Returns true when `restore-batch retry` would take failed items up: all but bad rows,
    /// which only an editor can mend. Bad rows are passed over where they lie, a million of
    /// them in about a second.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be used.
    pub async fn has_retriable(&self) -> LedgerResult<bool> {
        self.reader.failed_but_for(FailureCode::BadRow).await
    }

    /// Ends all reads and writes, waits for the last commit and folds the log into
    /// the file.
    pub async fn close(self) {
        self.reader.close().await;
        if let Some(writer) = self.writer {
            writer.commands.close().await;
        }
    }

    /// Tidies up, in short transactions, so that other writes are not held up.
    async fn tidy(&self, fence: Fence) -> LedgerResult<()> {
        while self.write(|reply| Command::Tidy(fence, reply)).await? {}
        Ok(())
    }

    /// Hands a command to the writer and waits for its answer.
    async fn write<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> LedgerResult<T> {
        let Some(writer) = &self.writer else {
            return Err(LedgerError::Unavailable("it was opened for reading only".to_owned()));
        };
        writer.commands.write(command).await.unwrap_or_else(|_| {
            let text = "its writer has stopped; run the same command again";
            Err(LedgerError::Unavailable(text.to_owned()))
        })
    }
}

impl Ledger for SqliteLedger {
    fn begin_session(&self) -> BoxFuture<'_, LedgerResult<Fence>> {
        Box::pin(self.write(Command::BeginSession))
    }

    fn job(&self) -> BoxFuture<'_, LedgerResult<JobRecord>> {
        Box::pin(self.reader.job())
    }

    fn bind_service(&self, fence: Fence, service: String) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(move |reply| Command::BindService(fence, service, reply)))
    }

    fn pause(
        &self,
        fence: Fence,
        endpoint: Endpoint,
        until: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(self.write(move |reply| Command::Pause(fence, endpoint, until, reply)))
    }

    fn begin_edition(
        &self,
        fence: Fence,
        header: EditionHeader,
    ) -> BoxFuture<'_, LedgerResult<Edition>> {
        Box::pin(async move {
            // After a crash while a long manifest was read; else there is nothing to do.
            self.tidy(fence).await?;
            self.write(move |reply| Command::BeginEdition(fence, header, reply)).await
        })
    }

    fn import(
        &self,
        fence: Fence,
        edition: Edition,
        rows: Vec<NewRow>,
    ) -> BoxFuture<'_, LedgerResult<Imported>> {
        Box::pin(self.write(move |reply| Command::Import(fence, edition, rows, reply)))
    }

    fn finish_edition(
        &self,
        fence: Fence,
        edition: Edition,
        content: String,
    ) -> BoxFuture<'_, LedgerResult<()>> {
        Box::pin(async move {
            self.write(move |reply| Command::FinishEdition(fence, edition, content, reply)).await?;
            self.tidy(fence).await
        })
    }

    fn open_items(
        &self,
        states: Vec<ItemState>,
        after: ItemId,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<Item>>> {
        Box::pin(async move { self.reader.open_items(&states, after, limit).await })
    }

    fn item(&self, id: ItemId) -> BoxFuture<'_, LedgerResult<Item>> {
        Box::pin(self.reader.item(id))
    }

    fn advance(
        &self,
        fence: Fence,
        item: ItemId,
        event: ItemEvent,
        now: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<Item>> {
        let step = Step { fence, item, event, now };
        Box::pin(self.write(move |reply| Command::Advance(step, reply)))
    }

    fn totals(&self) -> BoxFuture<'_, LedgerResult<Totals>> {
        Box::pin(async move {
            match &self.writer {
                Some(writer) => Ok(*writer.totals.borrow()),
                None => self.reader.totals().await,
            }
        })
    }

    fn settled_rows(
        &self,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<SettledRow>>> {
        Box::pin(self.reader.settled_rows(after, limit))
    }

    fn rows(
        &self,
        filter: RowFilter,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<RowRecord>>> {
        Box::pin(self.reader.rows(filter, after, limit))
    }

    fn recent_times(&self, limit: usize) -> BoxFuture<'_, LedgerResult<Vec<Duration>>> {
        Box::pin(self.reader.recent_times(limit))
    }

    fn audit(&self) -> BoxFuture<'_, LedgerResult<Audit>> {
        Box::pin(self.reader.audit())
    }
}
