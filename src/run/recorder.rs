//! Keeps results.csv and failures.csv true to the ledger while a job runs.
//!
//! The recorder does not trust messages for content: a message only wakes it, and it
//! reads what was settled since it last looked, a few times a second at most. So a row is
//! written once, whatever is heard twice or not at all. When a run starts and when it ends both files are
//! rewritten from the ledger, in manifest order.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{ItemState, RunEvent},
    ledger::{EditionHeader, Ledger, LedgerError, RowFilter, RowRecord, SettledRow},
    report::{Reporter, Sheet, SheetKind, SheetRow},
};

/// Rows read from the ledger at once.
const PAGE: usize = 1_000;

/// Shortest time between two looks at the ledger: nobody who follows a file notices, and
/// with many photos a second most of the looks would find one row.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The two files could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// A file could not be written.
    #[error("`{path}` cannot be written: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Writes both files of one job.
pub struct Recorder {
    ledger: Arc<dyn Ledger>,
    results: Sheet,
    failures: Sheet,
    seen: i64,
}

impl Recorder {
    /// Describes the files of a job; `job_dir` must exist and be absolute.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, job_dir: &Path, header: &EditionHeader) -> Self {
        let sheet = |kind| {
            let base = Path::new(&header.base_dir);
            Sheet::new(kind, job_dir, base, &header.columns, header.source_column)
        };
        Self {
            ledger,
            results: sheet(SheetKind::Results),
            failures: sheet(SheetKind::Failures),
            seen: 0,
        }
    }

    /// Rewrites both files from the ledger. Nothing may be settled meanwhile.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read or a file cannot be written.
    pub async fn rewrite(&mut self) -> Result<(), RecorderError> {
        rewrite(self.ledger.as_ref(), &mut self.results, RowFilter::Finished).await?;
        rewrite(self.ledger.as_ref(), &mut self.failures, RowFilter::Unfinished).await?;
        loop {
            let page = self.ledger.settled_rows(self.seen, PAGE).await?;
            match page.last() {
                Some(last) => self.seen = last.settlement,
                None => return Ok(()),
            }
        }
    }

    /// Follows the ledger until [`RecorderHandle::finish`].
    #[must_use]
    pub fn follow(mut self) -> RecorderHandle {
        let wake = Arc::new(Notify::new());
        let end = CancellationToken::new();
        let (woken, ended) = (wake.clone(), end.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::select! { biased;
                    () = ended.cancelled() => return Ok(self),
                    () = woken.notified() => {
                        if let Err(error) = self.catch_up().await {
                            tracing::error!(%error, "the run goes on; the ledger keeps what is missing here");
                            return Err(error);
                        }
                    }
                }
                tokio::select! { biased;
                    () = ended.cancelled() => return Ok(self),
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        });
        RecorderHandle { wake, end, task }
    }

    async fn catch_up(&mut self) -> Result<(), RecorderError> {
        loop {
            let page = self.ledger.settled_rows(self.seen, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.seen = last.settlement;
            append(&mut self.results, &page, RowFilter::Finished)?;
            append(&mut self.failures, &page, RowFilter::Unfinished)?;
        }
    }
}

/// A recorder at work.
#[derive(Debug)]
pub struct RecorderHandle {
    wake: Arc<Notify>,
    end: CancellationToken,
    task: JoinHandle<Result<Recorder, RecorderError>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl RecorderHandle {
    /// Returns the reporter that wakes this recorder.
    #[must_use]
    pub fn reporter(&self) -> RecorderReporter {
        RecorderReporter { wake: self.wake.clone() }
    }

    /// Ends following and writes both files whole, in manifest order.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong since the recorder started.
    pub async fn finish(self) -> Result<(), RecorderError> {
        self.end.cancel();
        let mut recorder = self.task.await.map_err(|_| {
            RecorderError::Ledger(LedgerError::Unavailable("the recorder stopped".into()))
        })??;
        recorder.rewrite().await
    }
}

/// Wakes the recorder when an item was settled.
#[derive(Debug)]
pub struct RecorderReporter {
    wake: Arc<Notify>,
}

impl Reporter for RecorderReporter {
    fn observe(&mut self, event: &RunEvent) {
        // Bad rows are settled when they are imported.
        if matches!(event, RunEvent::Settled(_) | RunEvent::Imported { .. }) {
            self.wake.notify_one();
        }
    }
}

async fn rewrite(
    ledger: &dyn Ledger,
    sheet: &mut Sheet,
    filter: RowFilter,
) -> Result<(), RecorderError> {
    sheet.begin_rewrite().map_err(|source| failed(sheet, source))?;
    let mut after = 0;
    loop {
        let page = ledger.rows(filter, after, PAGE).await?;
        for row in &page {
            sheet.rewrite_row(&sheet_row(row)).map_err(|source| failed(sheet, source))?;
        }
        match page.last() {
            Some(last) => after = last.line,
            None => break,
        }
    }
    sheet.finish_rewrite().map_err(|source| failed(sheet, source))
}

fn append(sheet: &mut Sheet, page: &[SettledRow], filter: RowFilter) -> Result<(), RecorderError> {
    let wanted = |state: ItemState| filter.wants(state);
    let rows: Vec<_> = page
        .iter()
        .filter(|row| wanted(row.row.item.state))
        .map(|row| sheet_row(&row.row))
        .collect();
    sheet.append(rows).map_err(|source| failed(sheet, source))
}

fn sheet_row(row: &RowRecord) -> SheetRow<'_> {
    SheetRow { cells: &row.cells, first: row.first, item: &row.item }
}

fn failed(sheet: &Sheet, source: io::Error) -> RecorderError {
    RecorderError::File { path: sheet.path().to_owned(), source }
}
