//! Turns database rows into the program's types, and the program's types into what bulk
//! statements write.
//!
//! An import of known items gives one JSON array, which its statements unfold with `json_each`: one
//! parameter and one prepared statement, whatever the size of the batch. Steps of items give
//! the rows of [`given`](super::given) statements.

use jiff::Timestamp;
use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer},
};
use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};

use super::{
    contract::LedgerResult,
    fault::damaged,
    given::{Binding, BulkRow},
    head::{AttemptRecord, Kept},
    import::{MovedItem, RenewedItem},
    record::RowRecord,
};
use crate::core::{
    Attempt, Booking, CallbackSecret, Edition, Item, ItemId, ItemState, Micros, Request, RequestId,
};

/// The columns that [`RowReader::kept`] reads, in its order.
macro_rules! item_columns {
    () => {
        "items.id, items.edition, items.source, items.scale, items.version, items.stem, \
         items.ordinal, items.state, items.settlement, items.staged_url, items.tries, items.service_errors, \
         items.refreshes, items.not_before, items.request_id, items.polling_url, items.media, items.submitted_at, \
         items.settled_at, items.attempt, items.booking, items.price, items.charged, \
         items.possibly_charged, items.failure, items.artifacts"
    };
}
pub(super) use item_columns;

/// Reads the columns of one database row from left to right.
pub(super) struct RowReader<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> RowReader<'r> {
    pub(super) fn new(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    /// Reads the next column.
    pub(super) fn value<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> LedgerResult<T> {
        let value = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// Reads the next column as the secret of a job's callback addresses.
    pub(super) fn callback_secret(&mut self) -> LedgerResult<CallbackSecret> {
        let bytes: &[u8] = self.value()?;
        bytes.try_into().map(CallbackSecret::new).map_err(damaged)
    }

    /// Reads the next column as one word that stands for something.
    pub(super) fn word<T: DeserializeOwned>(&mut self) -> LedgerResult<Option<T>> {
        let word: Option<&str> = self.value()?;
        word.map(|word| T::deserialize(word.into_deserializer()))
            .transpose()
            .map_err(|error: serde::de::value::Error| damaged(error))
    }

    /// Reads the next column as a time.
    pub(super) fn time(&mut self) -> LedgerResult<Option<Timestamp>> {
        let millis: Option<i64> = self.value()?;
        millis.map(Timestamp::from_millisecond).transpose().map_err(damaged)
    }

    /// Reads the next column as JSON; its default where there is none.
    pub(super) fn json<T: DeserializeOwned + Default>(&mut self) -> LedgerResult<T> {
        let text: Option<&str> = self.value()?;
        text.map_or(Ok(T::default()), |text| serde_json::from_str(text).map_err(damaged))
    }

    /// Reads the next column as a state.
    pub(super) fn state(&mut self) -> LedgerResult<ItemState> {
        let word: &str = self.value()?;
        let state = ItemState::ALL.into_iter().find(|state| state.as_str() == word);
        state.ok_or_else(|| damaged(format_args!("`{word}` is no state")))
    }

    /// Reads the next [`item_columns`].
    pub(super) fn kept(&mut self) -> LedgerResult<Kept> {
        let id = ItemId(self.value()?);
        let edition = Edition(self.value()?);
        let (source, scale) = (self.value()?, self.value()?);
        let (version, stem) = (self.value()?, self.value()?);
        let ordinal = self.value()?;
        let state = self.state()?;
        let settlement = self.value()?;
        let item = Item {
            id,
            edition,
            source,
            scale,
            version,
            stem,
            ordinal,
            state,
            staged_url: self.value()?,
            tries: self.value()?,
            service_errors: self.value()?,
            refreshes: self.value()?,
            not_before: self.time()?,
            request: self.request()?,
            media: self.json()?,
            submitted_at: self.time()?,
            settled_at: self.time()?,
            attempt: self.attempt()?,
            charged: Micros(self.value()?),
            possibly_charged: Micros(self.value()?),
            failure: self.json()?,
            artifacts: self.json()?,
        };
        Ok(Kept { item, settlement })
    }

    fn request(&mut self) -> LedgerResult<Option<Request>> {
        let id: Option<String> = self.value()?;
        let polling_url = self.value()?;
        Ok(id.map(|id| Request { id: RequestId(id), polling_url }))
    }

    fn attempt(&mut self) -> LedgerResult<Option<Attempt>> {
        let number: Option<u32> = self.value()?;
        let booking: Option<&str> = self.value()?;
        let price: Option<i64> = self.value()?;
        let (Some(number), Some(booking), Some(price)) = (number, booking, price) else {
            return Ok(None);
        };
        Ok(Some(Attempt { number, booking: booking_named(booking)?, price: Micros(price) }))
    }

    /// Reads `rows.line, rows.cells, rows.first` and the [`item_columns`].
    pub(super) fn row_record(&mut self) -> LedgerResult<RowRecord> {
        Ok(RowRecord {
            line: self.value()?,
            cells: self.json()?,
            first: self.value()?,
            item: self.kept()?.item,
        })
    }
}

fn booking_named(word: &str) -> LedgerResult<Booking> {
    [Booking::Reserved, Booking::Charged, Booking::Free, Booking::PossiblyCharged]
        .into_iter()
        .find(|booking| booking.as_str() == word)
        .ok_or_else(|| damaged(format_args!("`{word}` is no booking")))
}

/// Writes anything as JSON.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> LedgerResult<String> {
    serde_json::to_string(value).map_err(damaged)
}

/// Writes all of `values` as one JSON array.
pub(super) fn to_json_array<T: Serialize>(
    values: impl IntoIterator<Item = T>,
) -> LedgerResult<String> {
    let values: Vec<T> = values.into_iter().collect();
    to_json(&values)
}

/// Writes a list as JSON, and an empty one as nothing.
fn list<T: Serialize>(values: &[T]) -> LedgerResult<Option<String>> {
    if values.is_empty() { Ok(None) } else { to_json(values).map(Some) }
}

fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millisecond)
}

/// A known item that a new edition names, as `MOVE_ITEMS` unfolds it.
#[derive(Serialize)]
pub(super) struct ItemMove {
    id: i64,
    settlement: Option<i64>,
}

impl ItemMove {
    pub(super) fn new(moved: &MovedItem) -> Self {
        Self { id: moved.id.0, settlement: moved.settlement }
    }
}

/// What a known item takes over from its row, as `RENEW_ITEMS` unfolds it.
#[derive(Serialize)]
pub(super) struct ItemRenewal<'a> {
    id: i64,
    source: &'a str,
    scale: u8,
    version: &'a str,
    state: &'static str,
    staged_url: Option<&'a str>,
}

impl<'a> ItemRenewal<'a> {
    pub(super) fn new(renewed: &'a RenewedItem) -> Self {
        Self {
            id: renewed.id.0,
            source: &renewed.source,
            scale: renewed.scale,
            version: &renewed.version,
            state: renewed.state.as_str(),
            staged_url: renewed.staged_url.as_deref(),
        }
    }
}

/// What an advance may change of an item, as `UPDATE_ITEMS` takes it.
pub(super) struct ItemUpdate<'a> {
    kept: &'a Kept,
    media: Option<String>,
    failure: Option<String>,
    artifacts: Option<String>,
}

impl<'a> ItemUpdate<'a> {
    pub(super) fn new(kept: &'a Kept) -> LedgerResult<Self> {
        let item = &kept.item;
        Ok(Self {
            kept,
            media: list(&item.media)?,
            failure: item.failure.as_ref().map(to_json).transpose()?,
            artifacts: list(&item.artifacts)?,
        })
    }
}

impl BulkRow for ItemUpdate<'_> {
    const COLUMNS: usize = 20;

    fn bind<'q>(&self, to: Binding<'q>) -> Binding<'q> {
        let Kept { item, settlement } = self.kept;
        let (request, attempt) = (item.request.as_ref(), item.attempt.as_ref());
        to.bind(item.id.0)
            .bind(item.state.as_str())
            .bind(*settlement)
            .bind(item.staged_url.clone())
            .bind(item.tries)
            .bind(item.service_errors)
            .bind(item.refreshes)
            .bind(millis(item.not_before))
            .bind(request.map(|request| request.id.0.clone()))
            .bind(request.and_then(|request| request.polling_url.clone()))
            .bind(self.media.clone())
            .bind(millis(item.submitted_at))
            .bind(millis(item.settled_at))
            .bind(attempt.map(|attempt| attempt.number))
            .bind(attempt.map(|attempt| attempt.booking.as_str()))
            .bind(attempt.map(|attempt| attempt.price.0))
            .bind(item.charged.0)
            .bind(item.possibly_charged.0)
            .bind(self.failure.clone())
            .bind(self.artifacts.clone())
    }
}

/// An attempt, as `UPSERT_ATTEMPTS` takes it.
pub(super) struct AttemptUpsert<'a>(&'a AttemptRecord);

impl<'a> AttemptUpsert<'a> {
    pub(super) fn new(record: &'a AttemptRecord) -> Self {
        Self(record)
    }
}

impl BulkRow for AttemptUpsert<'_> {
    const COLUMNS: usize = 8;

    fn bind<'q>(&self, to: Binding<'q>) -> Binding<'q> {
        let record = self.0;
        to.bind(record.item.0)
            .bind(record.number)
            .bind(record.booking.as_str())
            .bind(record.price.0)
            .bind(record.request_id.as_ref().map(|id| id.0.clone()))
            .bind(millis(record.submitted_at))
            .bind(millis(record.booked_at))
            .bind(record.http_status)
    }
}
