//! Manifest → ledger, with backpressure, while the first items are already on their way.

use std::{mem, sync::Arc};

use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    core::{ContentHash, Edition, Fence, ItemState},
    ledger::{EditionHeader, Ledger, LedgerError, NewItem, NewRow},
    manifest::{Manifest, ManifestError, Row, Source},
};

/// Most rows written in one transaction: larger batches are hardly faster, and a step of an
/// item waits for the one that is being written, some ten milliseconds.
const MOST: usize = 4_096;

/// Rows handed over when the ledger has nothing to do, so that the first submit waits for
/// few, and rows that come slowly through a pipe do not wait for many others.
const FEWEST: usize = 256;

/// Batches read ahead of the ledger.
const READ_AHEAD: usize = 1;

/// What the intake tells the coordinator.
#[derive(Debug)]
pub enum IntakeNotice {
    /// These rows are in the ledger.
    Rows(Intake),
    /// All rows are in the ledger, these.
    Complete(Intake),
    /// No further rows will come.
    Failed(IntakeError),
}

/// How much of a manifest is in the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intake {
    /// Rows.
    pub rows: u64,
    /// Different photos among them.
    pub photos: u64,
    /// Rows that name none.
    pub bad: u64,
}

/// A manifest could not be read into the ledger to its end.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The file is no manifest, or broke off.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The reader ended without saying why.
    #[error("reading the manifest stopped unexpectedly")]
    Stopped,
}

/// What has to be read.
#[derive(Debug)]
pub enum IntakePlan {
    /// The ledger has these rows already, from a manifest that has not changed.
    Unchanged {
        /// What is in the ledger.
        intake: Intake,
    },
    /// The manifest is new or was edited.
    Read {
        /// The opened manifest, before its first row.
        manifest: Box<Manifest>,
        /// The edition begun for it.
        edition: Edition,
        /// What else the rows depend on: default scale and version.
        defaults: String,
    },
}

/// Returns what [`Ledger::finish_edition`] remembers of a manifest: its content and the
/// settings its rows depend on.
#[must_use]
pub fn edition_content(manifest: &ContentHash, defaults: &str) -> String {
    format!("{manifest} {defaults}")
}

/// Returns what the ledger keeps of a manifest before its first row; `base_dir` is the
/// absolute folder against which relative sources are resolved.
#[must_use]
pub fn header_of(manifest: &Manifest, base_dir: String) -> EditionHeader {
    EditionHeader {
        columns: manifest.columns().to_vec(),
        source_column: manifest.source_column(),
        base_dir,
    }
}

/// Starts reading. Dropping the receiver stops it; the handle ends when it has stopped.
#[must_use]
pub fn start(
    ledger: Arc<dyn Ledger>,
    fence: Fence,
    plan: IntakePlan,
) -> (mpsc::Receiver<IntakeNotice>, JoinHandle<()>) {
    let (notices, receiver) = mpsc::channel(READ_AHEAD);
    let task = tokio::spawn(async move {
        let last = match plan {
            IntakePlan::Unchanged { intake } => IntakeNotice::Complete(intake),
            IntakePlan::Read { manifest, edition, defaults } => {
                let read = read(ledger.as_ref(), fence, edition, *manifest, &defaults, &notices);
                read.await.map_or_else(IntakeNotice::Failed, IntakeNotice::Complete)
            }
        };
        // Nobody listens any more when the run has ended.
        let _ = notices.send(last).await;
    });
    (receiver, task)
}

async fn read(
    ledger: &dyn Ledger,
    fence: Fence,
    edition: Edition,
    manifest: Manifest,
    defaults: &str,
    notices: &mpsc::Sender<IntakeNotice>,
) -> Result<Intake, IntakeError> {
    let (batches, mut incoming) = mpsc::channel(READ_AHEAD);
    let reader = tokio::task::spawn_blocking(move || read_batches(manifest, &batches));
    let mut intake = Intake::default();
    while let Some(batch) = incoming.recv().await {
        intake.bad += batch.iter().filter(|row: &&NewRow| row.item.state.is_err()).count() as u64;
        let imported = ledger.import(fence, edition, batch).await?;
        intake.rows += imported.rows;
        intake.photos += imported.rows - imported.duplicates;
        if notices.send(IntakeNotice::Rows(intake)).await.is_err() {
            return Err(IntakeError::Stopped);
        }
    }
    let fingerprint = reader.await.map_err(|_| IntakeError::Stopped)??;
    let content = edition_content(&fingerprint.ok_or(IntakeError::Stopped)?, defaults);
    ledger.finish_edition(fence, edition, content).await?;
    Ok(intake)
}

/// Reads to the end and returns the hash of everything read; `None` when nobody wanted
/// more before. Blocking.
fn read_batches(
    mut manifest: Manifest,
    batches: &mpsc::Sender<Vec<NewRow>>,
) -> Result<Option<ContentHash>, ManifestError> {
    let mut batch = Vec::with_capacity(MOST);
    for row in manifest.by_ref() {
        batch.push(new_row(row?));
        let ledger_waits = batches.capacity() == batches.max_capacity();
        if batch.len() >= if ledger_waits { FEWEST } else { MOST } {
            let full = mem::replace(&mut batch, Vec::with_capacity(MOST));
            if batches.blocking_send(full).is_err() {
                return Ok(None);
            }
        }
    }
    if !batch.is_empty() && batches.blocking_send(batch).is_err() {
        return Ok(None);
    }
    Ok(manifest.fingerprint())
}

/// Returns a manifest row as the ledger keeps it.
#[must_use]
pub fn new_row(row: Row) -> NewRow {
    let line = i64::try_from(row.line).unwrap_or(i64::MAX);
    let item = match row.item {
        Ok(item) => NewItem {
            key: row.key,
            state: Ok(match item.source {
                Source::Url(_) => ItemState::Staged,
                Source::Path(_) | Source::Bucket(_) => ItemState::Pending,
            }),
            source: item.text,
            scale: item.scale,
            version: item.version,
            stem: item.stem,
        },
        Err(failure) => NewItem {
            key: row.key,
            source: String::new(),
            scale: 1,
            version: String::new(),
            stem: "bad-row".to_owned(),
            state: Err(failure),
        },
    };
    NewRow { line, cells: row.cells, item }
}
