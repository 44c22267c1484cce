//! An item that is under way while rows are imported.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use restore_batch::{
    core::{Fence, ItemEvent, ItemId},
    ledger::{Ledger, LedgerResult, SqliteLedger},
};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

/// Time between two advances, as many as a run at 50 polls a second makes.
const PAUSE: Duration = Duration::from_millis(20);

/// Advances that go on until they are stopped.
pub(super) struct Advances {
    stop: oneshot::Sender<()>,
    task: JoinHandle<LedgerResult<Vec<Duration>>>,
}

/// Stages the first item anew for as long as it is wanted.
pub(super) fn start(ledger: Arc<SqliteLedger>, fence: Fence) -> Advances {
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut waits = Vec::new();
        while stopped.try_recv().is_err() {
            for event in [ItemEvent::StageExpired, ItemEvent::Staged { url: None }] {
                let begun = Instant::now();
                ledger.advance(fence, ItemId(1), event, Timestamp::UNIX_EPOCH).await?;
                waits.push(begun.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(waits)
    });
    Advances { stop, task }
}

impl Advances {
    pub(super) async fn stop(self) -> super::Result<Waits> {
        // When the task has failed, its result says so.
        let _ = self.stop.send(());
        let mut waits = self.task.await??;
        waits.sort_unstable();
        Ok(Waits(waits))
    }
}

/// How long each advance took, in growing order.
pub(super) struct Waits(Vec<Duration>);

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: usize| self.0.get(self.0.len() * share / 100).copied().unwrap_or_default();
        let longest = self.0.last().copied().unwrap_or_default();
        write!(f, "{:.0?} in the middle, {:.0?} of 99 %, {longest:.0?} at most", at(50), at(99))
    }
}
