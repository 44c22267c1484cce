//! Any manifest, edited again and again while its items live: the SQLite ledger says
//! what the in-memory one says, after every edition and every event.

#![no_main]

use std::io::Cursor;

use jiff::Timestamp;
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use restore_batch::{
    core::{EventKind, FailureCode, Fence, ItemEvent, ItemId, ItemState, RequestId},
    ledger::{Ledger, MemoryLedger, RowFilter, SqliteLedger},
    manifest::{Manifest, ReadOptions},
    run::{edition_content, header_of, new_row},
    testing::ledger_suite::samples::{
        accepted, artifact, completed, failure, intent, lost, published,
    },
};
use tokio::runtime::{Builder, Runtime};

#[derive(Debug, Arbitrary)]
enum Move<'a> {
    /// Reads a manifest, to its end or not.
    Read { manifest: &'a str, batch: u8, to_its_end: bool },
    /// Something happens to an item; `event` counts [`EventKind::ALL`].
    Advance { item: u8, event: u8 },
    /// The program was started again.
    Restart,
}

fuzz_target!(|moves: Vec<Move<'_>>| {
    let runtime: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    runtime.block_on(async {
        let memory = MemoryLedger::new();
        let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).await.unwrap();
        let mut pair = Pair::new(&memory, &sqlite).await;
        for step in moves.iter().take(24) {
            pair.make(step).await;
        }
        pair.compare().await;
        sqlite.close().await;
    });
});

struct Pair<'a> {
    ledgers: [&'a dyn Ledger; 2],
    fence: Fence,
    second: i64,
}

impl<'a> Pair<'a> {
    async fn new(one: &'a dyn Ledger, other: &'a dyn Ledger) -> Self {
        let mut pair = Self { ledgers: [one, other], fence: Fence(0), second: 0 };
        pair.restart().await;
        pair
    }

    async fn make(&mut self, step: &Move<'_>) {
        self.second += 1;
        match step {
            Move::Read { manifest, batch, to_its_end } => {
                self.read(manifest, usize::from(*batch) + 1, *to_its_end).await;
                self.compare().await;
            }
            Move::Advance { item, event } => {
                let item = ItemId(i64::from(*item % 8) + 1);
                let event = event_of(
                    EventKind::ALL[usize::from(*event) % EventKind::ALL.len()],
                    self.second,
                );
                let now = Timestamp::from_second(self.second).unwrap();
                let [one, other] = self.ledgers;
                assert_eq!(
                    one.advance(self.fence, item, event.clone(), now).await,
                    other.advance(self.fence, item, event, now).await
                );
            }
            Move::Restart => self.restart().await,
        }
    }

    async fn restart(&mut self) {
        let [one, other] = self.ledgers;
        self.fence = one.begin_session().await.unwrap();
        assert_eq!(other.begin_session().await, Ok(self.fence));
    }

    async fn read(&self, text: &str, batch: usize, to_its_end: bool) {
        let input = Box::new(Cursor::new(text.as_bytes().to_vec()));
        let options = ReadOptions::new("/photos", 2, "v1.4");
        let Ok(mut manifest) = Manifest::from_reader("fuzz", None, input, options) else { return };
        let header = header_of(&manifest, "/photos".to_owned());
        let rows: Vec<_> = manifest.by_ref().map_while(Result::ok).map(new_row).collect();
        let [one, other] = self.ledgers;
        let edition = one.begin_edition(self.fence, header.clone()).await.unwrap();
        assert_eq!(other.begin_edition(self.fence, header).await, Ok(edition));
        for rows in rows.chunks(batch) {
            let imported = one.import(self.fence, edition, rows.to_vec()).await;
            assert_eq!(imported, other.import(self.fence, edition, rows.to_vec()).await);
            imported.unwrap();
        }
        if let Some(hash) = manifest.fingerprint().filter(|_| to_its_end) {
            let content = edition_content(&hash, "2 v1.4");
            let finished = one.finish_edition(self.fence, edition, content.clone()).await;
            assert_eq!(finished, other.finish_edition(self.fence, edition, content).await);
        }
    }

    /// Compares everything a ledger can be asked.
    async fn compare(&self) {
        let [one, other] = self.ledgers;
        let totals = one.totals().await.unwrap();
        assert_eq!(other.totals().await, Ok(totals));
        let [mut here, there] = [one.job().await.unwrap(), other.job().await.unwrap()];
        // Each has a secret of its own.
        here.callback_secret = there.callback_secret;
        assert_eq!(here, there);
        assert_eq!(one.settled_rows(0, 1_000).await, other.settled_rows(0, 1_000).await);
        let open = one.open_items(ItemState::ALL.to_vec(), ItemId(0), 1_000).await;
        assert_eq!(open, other.open_items(ItemState::ALL.to_vec(), ItemId(0), 1_000).await);
        let rows = one.rows(RowFilter::All, -1, 1_000).await.unwrap();
        assert_eq!(Ok(&rows), other.rows(RowFilter::All, -1, 1_000).await.as_ref());
        assert_eq!(rows.len() as u64, totals.rows);
        for row in &rows {
            let id = row.item.id;
            assert_eq!(one.item(id).await, other.item(id).await);
        }
        assert_eq!(one.audit().await, other.audit().await);
    }
}

/// Returns the event of this kind, with some data.
fn event_of(kind: EventKind, second: i64) -> ItemEvent {
    let not_before = Timestamp::from_second(second + 60).unwrap();
    let request_id = RequestId(format!("r{second}"));
    match kind {
        EventKind::Staged => ItemEvent::Staged { url: Some("https://example.org/s".to_owned()) },
        EventKind::StageExpired => ItemEvent::StageExpired,
        EventKind::SourceRejected => {
            ItemEvent::SourceRejected(failure(FailureCode::SourceUnreadable))
        }
        EventKind::Skipped => ItemEvent::Skipped { artifacts: vec![artifact("images/s.png")] },
        EventKind::SubmitIntent => intent(),
        EventKind::Accepted => accepted(&request_id.0),
        EventKind::NotAccepted => {
            ItemEvent::NotAccepted { failure: failure(FailureCode::Throttled) }
        }
        EventKind::Rejected => ItemEvent::Rejected(failure(FailureCode::Rejected)),
        EventKind::AnswerLost => lost(),
        EventKind::RequestNamed => ItemEvent::RequestNamed { request_id },
        EventKind::Resubmit => ItemEvent::Resubmit,
        EventKind::Completed => completed(),
        EventKind::ServiceFailed => ItemEvent::ServiceFailed(failure(FailureCode::ServiceFailed)),
        EventKind::ServiceError => {
            ItemEvent::ServiceError { failure: failure(FailureCode::ServiceError), not_before }
        }
        EventKind::ServiceErrorAgain => {
            ItemEvent::ServiceErrorAgain(failure(FailureCode::ServiceError))
        }
        EventKind::PollGaveUp => ItemEvent::PollGaveUp(failure(FailureCode::Deadline)),
        EventKind::Postponed => {
            ItemEvent::Postponed { failure: failure(FailureCode::NoMedia), not_before }
        }
        EventKind::LinkExpired => ItemEvent::LinkExpired(failure(FailureCode::MediaUnavailable)),
        EventKind::RequestForgotten => ItemEvent::RequestForgotten,
        EventKind::FetchGaveUp => ItemEvent::FetchGaveUp(failure(FailureCode::MediaUnavailable)),
        EventKind::Published => published(),
        EventKind::RetrySubmit => ItemEvent::RetrySubmit,
        EventKind::RetryPoll => ItemEvent::RetryPoll,
    }
}
