//! Rows, events and short cuts for the functions of the suite.

use jiff::Timestamp;

use crate::{
    core::{
        Artifact, ContentHash, Edition, Failure, FailureClass, FailureCode, Fence, Item, ItemEvent,
        ItemId, ItemKey, ItemState, Micros, RequestId,
    },
    ledger::{EditionHeader, Ledger, LedgerResult, NewItem, NewRow},
};

/// What each request costs in the suite: 0.0031 USD.
pub const PRICE: Micros = Micros(3_100);

/// Returns a time; it has a fraction of a millisecond, which no ledger keeps.
#[must_use]
pub fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 123_456_789).unwrap_or_default()
}

/// Returns what a ledger keeps of [`at`].
#[must_use]
pub fn kept_at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 123_000_000).unwrap_or_default()
}

/// Returns a header with the columns `img` and `note`.
#[must_use]
pub fn header() -> EditionHeader {
    EditionHeader {
        columns: vec!["img".to_owned(), "note".to_owned()],
        source_column: 0,
        base_dir: "/photos".to_owned(),
    }
}

/// Returns a row in `line` for the public picture `name`.
#[must_use]
pub fn row(line: i64, name: &str) -> NewRow {
    let source = format!("https://example.org/{name}.jpg");
    NewRow {
        line,
        cells: vec![source.clone(), format!("note {line}")],
        item: NewItem {
            key: ItemKey::of("source", &[&source, "2", "v1.4"]),
            source,
            scale: 2,
            version: "v1.4".to_owned(),
            stem: name.to_owned(),
            state: Ok(ItemState::Staged),
        },
    }
}

/// Returns rows in lines 2, 3, … for pictures of these names.
#[must_use]
pub fn rows(names: &[&str]) -> Vec<NewRow> {
    (2..).zip(names).map(|(line, name)| row(line, name)).collect()
}

/// Returns the row as one that cannot be read as an item.
#[must_use]
pub fn bad(mut row: NewRow) -> NewRow {
    row.item.state = Err(failure(FailureCode::BadRow));
    row
}

/// Returns a failure that an HTTP status has reported.
#[must_use]
pub fn failure(code: FailureCode) -> Failure {
    Failure::new(FailureClass::Permanent, code, "it's \"broken\"\n\u{0}").with_status(418)
}

/// Returns an artifact.
#[must_use]
pub fn artifact(path: &str) -> Artifact {
    Artifact {
        path: path.to_owned(),
        media_url: "https://cdn.example.org/a.png".to_owned(),
        width: 640,
        height: 480,
        bytes: 123_456,
        blake3: ContentHash("0f".repeat(32)),
    }
}

/// A POST is about to leave.
#[must_use]
pub fn intent() -> ItemEvent {
    ItemEvent::SubmitIntent { price: PRICE }
}

/// The service has accepted it under this name.
#[must_use]
pub fn accepted(name: &str) -> ItemEvent {
    let polling_url = Some(format!("https://example.org/status/{name}"));
    ItemEvent::Accepted { request_id: RequestId(name.to_owned()), polling_url }
}

/// The service is done.
#[must_use]
pub fn completed() -> ItemEvent {
    ItemEvent::Completed { media: vec!["https://cdn.example.org/a.png?signature=x".to_owned()] }
}

/// The artifact is visible.
#[must_use]
pub fn published() -> ItemEvent {
    ItemEvent::Published { artifacts: vec![artifact("images/a.png")] }
}

/// The answer to the POST is unknown.
#[must_use]
pub fn lost() -> ItemEvent {
    ItemEvent::AnswerLost(failure(FailureCode::InDoubt))
}

/// The events from `Staged` to `Done`.
#[must_use]
pub fn whole_life() -> Vec<ItemEvent> {
    vec![intent(), accepted("r"), completed(), published()]
}

/// The session and the edition that [`start`] has begun, with short cuts to write.
pub struct Job<'a> {
    /// The ledger.
    pub ledger: &'a dyn Ledger,
    /// The session.
    pub fence: Fence,
    /// The edition begun last.
    pub edition: Edition,
}

/// Begins a session and reads `rows` as a whole manifest.
pub async fn start(ledger: &dyn Ledger, rows: Vec<NewRow>) -> LedgerResult<Job<'_>> {
    let fence = ledger.begin_session().await?;
    let mut job = Job { ledger, fence, edition: Edition(0) };
    job.read(rows).await?;
    Ok(job)
}

impl Job<'_> {
    /// Reads `rows` as the next edition of the manifest.
    pub async fn read(&mut self, rows: Vec<NewRow>) -> LedgerResult<()> {
        self.edition = self.ledger.begin_edition(self.fence, header()).await?;
        self.ledger.import(self.fence, self.edition, rows).await?;
        self.ledger.finish_edition(self.fence, self.edition, "content".to_owned()).await
    }

    /// Applies one event.
    pub async fn advance(&self, item: i64, event: ItemEvent) -> LedgerResult<Item> {
        self.ledger.advance(self.fence, ItemId(item), event, at(0)).await
    }

    /// Applies events one after the other.
    pub async fn advance_all(&self, item: i64, events: Vec<ItemEvent>) -> LedgerResult<()> {
        for event in events {
            self.advance(item, event).await?;
        }
        Ok(())
    }
}

/// Returns the ids of all offered items in `states`.
pub async fn offered(ledger: &dyn Ledger, states: &[ItemState]) -> LedgerResult<Vec<i64>> {
    let items = ledger.open_items(states.to_vec(), ItemId(0), usize::MAX).await?;
    Ok(items.into_iter().map(|item| item.id.0).collect())
}
