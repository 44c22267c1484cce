//! Takes a manifest into the ledger: finds out whether it has to be read, and when.

use std::path::Path;

use super::{error::AppError, run::Session};
use crate::{
    core::{ContentHash, Fence, ItemState, RunEvent},
    ledger::{EditionHeader, JobRecord, Ledger as _, LedgerResult},
    manifest::{Input, Manifest, fingerprint_file},
    report::{Reporter as _, Reporters},
    run::{self, Intake, IntakeError, IntakeNotice, IntakePlan, edition_content},
};

impl Session<'_> {
    /// Finds out whether the manifest has to be read, and begins with it. Returns what is
    /// left to read while photos are on their way; `None` when the ledger has it all.
    ///
    /// A first manifest is read while its first photos are on their way. A manifest that
    /// was edited is read to its end first: until then nobody knows which of the old
    /// rows are still wanted, and nothing may be paid that is not.
    pub(super) async fn take_in(
        &self,
        fence: Fence,
        manifest: Manifest,
        reporters: &mut Reporters,
    ) -> Result<(Option<IntakePlan>, EditionHeader), AppError> {
        let defaults = format!("{} {}", self.settings.scale, self.settings.model_version);
        let header = run::header_of(&manifest, self.job.base_dir.display().to_string());
        let job = self.ledger.job().await?;
        if self.is_unchanged(&job, &header, &defaults).await {
            return Ok((None, header));
        }
        let edition = self.ledger.begin_edition(fence, header.clone()).await?;
        let plan = IntakePlan::Read { manifest: Box::new(manifest), edition, defaults };
        if job.begun.is_none() {
            return Ok((Some(plan), header));
        }
        let (mut notices, _reading) = run::start_intake(self.ledger.clone(), fence, plan);
        while let Some(notice) = notices.recv().await {
            match notice {
                IntakeNotice::Rows(Intake { photos, bad, .. }) => {
                    reporters.observe(&RunEvent::Imported { photos, bad, complete: false });
                }
                IntakeNotice::Complete(_) => return Ok((None, header)),
                IntakeNotice::Failed(error) => return Err(error.into()),
            }
        }
        Err(IntakeError::Stopped.into())
    }

    /// Returns true when the ledger has exactly this manifest, read to its end.
    async fn is_unchanged(&self, job: &JobRecord, header: &EditionHeader, defaults: &str) -> bool {
        let (Input::File(path), Some((edition, content))) = (&self.job.input, &job.finished) else {
            return false;
        };
        let newest = job.begun == Some(*edition) && job.header.as_ref() == Some(header);
        newest
            && fingerprint(path)
                .await
                .is_some_and(|fingerprint| edition_content(&fingerprint, defaults) == *content)
    }

    /// What the reporters hear of a manifest that is in the ledger already, after a retry
    /// has taken failed rows up again.
    pub(super) async fn already_read(&self) -> LedgerResult<IntakePlan> {
        let totals = self.ledger.totals().await?;
        let bad = totals.count(ItemState::Failed) + totals.count(ItemState::InDoubt);
        let intake = Intake { rows: totals.rows, photos: totals.all(), bad };
        Ok(IntakePlan::Unchanged { intake })
    }
}

/// Hashes a manifest; `None` when it cannot be read, which the reader then says better.
async fn fingerprint(path: &Path) -> Option<ContentHash> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || fingerprint_file(&path)).await.ok()?.ok()
}
