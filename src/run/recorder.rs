//! Keeps results.csv and failures.csv true to the ledger while a job runs.
//!
//! The recorder does not trust messages for content: a message only wakes it, and it
//! reads what was settled since it last looked, a few times a second at most. So a row is written once, whatever is
//! heard twice or not at all.
//!
//! A run begins with new versions of both files, because nobody knows what a crash has done
//! to the old ones. They are written in order of settlement, a page at a time, while photos
//! are on their way, and take the place of the old ones when they have caught up. When the
//! run ends both files are written once more; when the job is finished, in manifest order.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    core::RunEvent,
    ledger::{EditionHeader, Ledger, LedgerError, RowFilter, RowRecord},
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
    /// Both files have what was settled up to this number.
    seen: i64,
    /// They are new versions, not in place yet.
    rewriting: bool,
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
            rewriting: false,
        }
    }

    /// Begins new versions of both files with what was settled first. If that is all, they
    /// are in place when this returns; otherwise [`follow`](Self::follow) goes on.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read or a file cannot be written.
    pub async fn begin(&mut self) -> Result<(), RecorderError> {
        self.begin_rewrite()?;
        self.next_page().await?;
        Ok(())
    }

    /// Follows the ledger until [`RecorderHandle::finish`].
    #[must_use]
    pub fn follow(mut self) -> RecorderHandle {
        let wake = Arc::new(Notify::new());
        let end = CancellationToken::new();
        if self.rewriting {
            wake.notify_one();
        }
        let (woken, ended) = (wake.clone(), end.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::select! { biased;
                    () = ended.cancelled() => return Ok(self),
                    () = woken.notified() => {
                        if let Err(error) = self.catch_up(&ended).await {
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

    /// The end of the run, which writes both files anew, need not wait for this.
    async fn catch_up(&mut self, end: &CancellationToken) -> Result<(), RecorderError> {
        while !end.is_cancelled() && self.next_page().await? {}
        Ok(())
    }

    /// Writes what was settled next. Returns true when there may be more.
    async fn next_page(&mut self) -> Result<bool, RecorderError> {
        let page = self.ledger.settled_rows(self.seen, PAGE).await?;
        if let Some(last) = page.last() {
            self.seen = last.settlement;
        }
        self.write(&page.iter().map(|settled| &settled.row))?;
        let is_last = page.len() < PAGE;
        if self.rewriting && is_last {
            self.finish_rewrite()?;
        }
        Ok(!is_last)
    }

    /// Writes both files whole, in order of settlement.
    async fn rewrite(&mut self) -> Result<(), RecorderError> {
        self.begin_rewrite()?;
        self.seen = 0;
        while self.next_page().await? {}
        Ok(())
    }

    /// Writes both files whole, in manifest order. Nothing may be settled meanwhile.
    async fn rewrite_in_order(&mut self) -> Result<(), RecorderError> {
        self.begin_rewrite()?;
        let mut after = 0;
        loop {
            let page = self.ledger.rows(RowFilter::Settled, after, PAGE).await?;
            self.write(&page.iter())?;
            match page.last() {
                Some(last) => after = last.line,
                None => return self.finish_rewrite(),
            }
        }
    }

    fn begin_rewrite(&mut self) -> Result<(), RecorderError> {
        self.rewriting = true;
        self.sheets().into_iter().try_for_each(|(sheet, _)| {
            sheet.begin_rewrite().map_err(|source| failed(sheet, source))
        })
    }

    fn finish_rewrite(&mut self) -> Result<(), RecorderError> {
        self.rewriting = false;
        self.sheets().into_iter().try_for_each(|(sheet, _)| {
            sheet.finish_rewrite().map_err(|source| failed(sheet, source))
        })
    }

    /// Adds rows to the file in which each belongs.
    fn write<'a>(
        &mut self,
        rows: &(impl Iterator<Item = &'a RowRecord> + Clone),
    ) -> Result<(), RecorderError> {
        let rewriting = self.rewriting;
        for (sheet, filter) in self.sheets() {
            let wanted = rows.clone().filter(|row| filter.wants(row.item.state)).map(sheet_row);
            let written = if rewriting { sheet.rewrite_rows(wanted) } else { sheet.append(wanted) };
            written.map_err(|source| failed(sheet, source))?;
        }
        Ok(())
    }

    fn sheets(&mut self) -> [(&mut Sheet, RowFilter); 2] {
        [(&mut self.results, RowFilter::Finished), (&mut self.failures, RowFilter::Unfinished)]
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

    /// Ends following and writes both files whole: in manifest order when the job has
    /// `finished`, else in order of settlement, which costs nothing for what is not settled.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong since the recorder started.
    pub async fn finish(self, finished: bool) -> Result<(), RecorderError> {
        self.end.cancel();
        let mut recorder = self.task.await.map_err(|_| {
            RecorderError::Ledger(LedgerError::Unavailable("the recorder stopped".into()))
        })??;
        if finished { recorder.rewrite_in_order().await } else { recorder.rewrite().await }
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

fn sheet_row(row: &RowRecord) -> SheetRow<'_> {
    SheetRow { cells: &row.cells, first: row.first, item: &row.item }
}

fn failed(sheet: &Sheet, source: io::Error) -> RecorderError {
    RecorderError::File { path: sheet.path().to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        ledger::MemoryLedger,
        testing::ledger_suite::samples::{Job, header, intent, lost, rows, start, whole_life},
    };

    /// More than two pages.
    const ITEMS: usize = 2 * PAGE + 500;

    /// A job of which two of three photos are done, those at the end first, and one of three
    /// is in doubt.
    async fn job(ledger: &MemoryLedger) -> Job<'_> {
        let names: Vec<String> = (0..ITEMS).map(|n| format!("picture-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let job = start(ledger, rows(&names)).await.unwrap();
        for item in (1..=i64::try_from(ITEMS).unwrap()).rev() {
            let events = if item % 3 == 0 { vec![intent(), lost()] } else { whole_life() };
            job.advance_all(item, events).await.unwrap();
        }
        job
    }

    fn notes(folder: &Path, file: &str) -> Vec<usize> {
        let sheet = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let note = |line: &str| line.split("note ").nth(1)?.split(',').next()?.parse().ok();
        sheet.lines().filter_map(note).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn old_files_stay_until_the_new_ones_have_caught_up() {
        let (folder, ledger) = (tempfile::tempdir().unwrap(), MemoryLedger::new());
        let job = job(&ledger).await;
        fs::write(folder.path().join("results.csv"), "img\nold").unwrap();
        let mut recorder = Recorder::new(Arc::new(ledger.clone()), folder.path(), &header());
        recorder.begin().await.unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("results.csv")).unwrap(), "img\nold");
        assert_eq!(recorder.seen, i64::try_from(PAGE).unwrap(), "one page");

        let handle = recorder.follow();
        tokio::time::sleep(Duration::from_mins(1)).await;
        let lines = |wanted: fn(&usize) -> bool| (2..ITEMS + 2).rev().filter(wanted).collect();
        let done: Vec<usize> = lines(|line| (line - 1) % 3 != 0);
        let doubtful: Vec<usize> = lines(|line| (line - 1) % 3 == 0);
        assert_eq!(notes(folder.path(), "results.csv"), done);
        assert_eq!(notes(folder.path(), "failures.csv"), doubtful);

        // What is settled from now on is appended.
        job.advance(3, crate::core::ItemEvent::Resubmit).await.unwrap();
        job.advance_all(3, whole_life()).await.unwrap();
        handle.wake.notify_one();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(notes(folder.path(), "results.csv"), [done, vec![4]].concat());
        handle.finish(true).await.unwrap();
        let in_order: Vec<usize> =
            (2..ITEMS + 2).filter(|line| (line - 1) % 3 != 0 || *line == 4).collect();
        assert_eq!(notes(folder.path(), "results.csv"), in_order);
        assert_eq!(notes(folder.path(), "failures.csv").first(), Some(&7));
    }

    #[tokio::test]
    async fn a_run_that_ends_before_its_files_have_caught_up_writes_them_whole() {
        let (folder, ledger) = (tempfile::tempdir().unwrap(), MemoryLedger::new());
        job(&ledger).await;
        let mut recorder = Recorder::new(Arc::new(ledger.clone()), folder.path(), &header());
        recorder.begin().await.unwrap();
        recorder.follow().finish(true).await.unwrap();
        let mut done: Vec<usize> = (2..ITEMS + 2).filter(|line| (line - 1) % 3 != 0).collect();
        assert_eq!(notes(folder.path(), "results.csv"), done);

        let mut recorder = Recorder::new(Arc::new(ledger.clone()), folder.path(), &header());
        recorder.begin().await.unwrap();
        recorder.follow().finish(false).await.unwrap();
        done.reverse();
        assert_eq!(notes(folder.path(), "results.csv"), done, "as they were settled");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "no new version is left behind");
    }
}
