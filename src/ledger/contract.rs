//! The contract every ledger fulfils.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::record::{
    EditionHeader, Imported, JobRecord, Money, NewRow, RowFilter, RowRecord, SettledRow, Totals,
};
use crate::core::{
    Edition, Endpoint, Fence, IllegalTransition, Item, ItemEvent, ItemId, ItemState,
};

/// Result of a ledger call.
pub type LedgerResult<T> = Result<T, LedgerError>;

/// A ledger call failed. Cut by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The event is not possible in the item's state. A bug, or a late answer:
    /// count it, log it, go on.
    #[error("item {item}: {source}")]
    Illegal {
        /// The item that was left unchanged.
        item: ItemId,
        /// State and event.
        source: IllegalTransition,
    },
    /// Another session writes to this ledger now: stop.
    #[error("another session has taken over the job")]
    StaleFence,
    /// Rows were given for an edition that is not being read now: a bug.
    #[error("edition {} of the manifest is not being read", .0.0)]
    NotReading(Edition),
    /// No such item: a bug.
    #[error("item {0} is not in the ledger")]
    UnknownItem(ItemId),
    /// The ledger was written by a newer version of the program.
    #[error("the ledger has schema version {found}, and this program knows versions up to {known}")]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version this program can read.
        known: i64,
    },
    /// The file is no ledger, or is damaged.
    #[error("the ledger is damaged: {0}")]
    Corrupt(String),
    /// The disk or the database failed: stop, nothing that was acknowledged is lost.
    #[error("the ledger cannot be used: {0}")]
    Unavailable(String),
}

/// Durable memory of one job.
///
/// # Contract
///
/// - **Durable before acknowledged.** When a writing call returns `Ok`, its effect
///   survives a crash of the process and of the machine.
/// - **One writer.** [`begin_session`](Self::begin_session) returns a fence; a write
///   with an older fence changes nothing and fails with [`LedgerError::StaleFence`].
/// - **One table.** An item changes only through [`advance`](Self::advance); an
///   illegal event changes nothing and fails with [`LedgerError::Illegal`].
/// - **Order.** `ItemId`s grow in the order of import. Calls may be made at once from
///   many tasks; two `advance` calls for one item take effect one after the other.
/// - **No clock.** Time is passed in, rounded to milliseconds when stored.
pub trait Ledger: Send + Sync {
    /// Makes the caller the only writer and returns its fence.
    fn begin_session(&self) -> BoxFuture<'_, LedgerResult<Fence>>;

    /// Returns what is known of the job as a whole.
    fn job(&self) -> BoxFuture<'_, LedgerResult<JobRecord>>;

    /// Remembers which service this job's requests belong to.
    fn bind_service(&self, fence: Fence, service: String) -> BoxFuture<'_, LedgerResult<()>>;

    /// Keeps that the service asked for a pause of `endpoint` until a time, which
    /// [`job`](Self::job) returns from then on. Of several the latest counts: an earlier
    /// time changes nothing. One of downloads is not kept, because each item has its own
    /// `not_before`.
    fn pause(
        &self,
        fence: Fence,
        endpoint: Endpoint,
        until: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<()>>;

    /// Starts reading a manifest. An edition that was begun and not finished is
    /// replaced by the new one.
    fn begin_edition(
        &self,
        fence: Fence,
        header: EditionHeader,
    ) -> BoxFuture<'_, LedgerResult<Edition>>;

    /// Adds rows, and the items that are not known yet, in one transaction.
    ///
    /// A row whose item is already known points to that item and moves it to this
    /// edition; money, request and `stem` stay as they are. What the row says now
    /// counts from here on, so that a fresh signature of a source's URL is used:
    ///
    /// - `Pending` and `Staged` items take the row's source, scale, version and state,
    ///   and lose their staged URL;
    /// - `Failed` and `InDoubt` items take the same, but keep their state, until a
    ///   retry. One in doubt whose source needs staging has that source as its staged
    ///   URL, which is to be made anew like any of an earlier run;
    /// - items that are owed or done stay as they are: their request was made with what
    ///   the row said then. A row that is bad by itself changes no known item.
    ///
    /// Of several rows of one edition the first counts. An item that an older edition only knows as a bad row
    /// ([`BadRow`](crate::core::FailureCode::BadRow)) starts over with what the
    /// corrected row says.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotReading`] when `edition` is not the one begun last, or is
    /// finished; nothing is added then.
    fn import(
        &self,
        fence: Fence,
        edition: Edition,
        rows: Vec<NewRow>,
    ) -> BoxFuture<'_, LedgerResult<Imported>>;

    /// Ends an edition: rows of older ones are dropped, `content` (a hash of the
    /// manifest and of the settings its rows depend on) is remembered. Items that no
    /// row names any more stay, but [`open_items`](Self::open_items) offers them only
    /// if they are owed (see [`ItemState::is_owed`]). Fails like [`import`](Self::import).
    fn finish_edition(
        &self,
        fence: Fence,
        edition: Edition,
        content: String,
    ) -> BoxFuture<'_, LedgerResult<()>>;

    /// Returns items in one of `states` with an id above `after`, in id order, at
    /// most `limit`. Items that are not owed only when the current edition, which is
    /// the one begun last, names them.
    fn open_items(
        &self,
        states: Vec<ItemState>,
        after: ItemId,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<Item>>>;

    /// Returns one item.
    fn item(&self, id: ItemId) -> BoxFuture<'_, LedgerResult<Item>>;

    /// Applies one event to one item and returns the item after it. The attempt and
    /// its booking are written in the same transaction.
    fn advance(
        &self,
        fence: Fence,
        item: ItemId,
        event: ItemEvent,
        now: Timestamp,
    ) -> BoxFuture<'_, LedgerResult<Item>>;

    /// Returns counts and sums. They are kept, not counted: this costs the same in a ledger
    /// of any size.
    fn totals(&self) -> BoxFuture<'_, LedgerResult<Totals>>;

    /// Returns rows of the current edition whose items were settled after the
    /// settlement number `after`, in order of settlement (several rows of one item in
    /// row order), for items currently settled. Stops after the item that reaches
    /// `limit` rows.
    ///
    /// A settled item that a new edition names again gets a new number, so that a
    /// reader sees its row there. A duplicate row that is imported after its item was
    /// reported here is not announced; [`rows`](Self::rows) has it.
    fn settled_rows(
        &self,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<SettledRow>>>;

    /// Returns rows of the current edition with a number above `after`, in row order,
    /// at most `limit`.
    fn rows(
        &self,
        filter: RowFilter,
        after: i64,
        limit: usize,
    ) -> BoxFuture<'_, LedgerResult<Vec<RowRecord>>>;

    /// Returns for items that are done the time from their last submit to when their
    /// artifacts were here, of the last `limit` settlements of the current edition, the
    /// latest first. Others that were settled lately make it fewer, never a longer look.
    fn recent_times(&self, limit: usize) -> BoxFuture<'_, LedgerResult<Vec<Duration>>>;

    /// Counts everything anew, to be held against the running [`totals`](Self::totals); the
    /// money twice, as the attempts and as the items tell it.
    fn audit(&self) -> BoxFuture<'_, LedgerResult<Audit>>;
}

/// What the tables say when everything in them is counted anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// Attempts ever begun.
    pub attempts: u64,
    /// What [`totals`](Ledger::totals) should say; its money is as the attempts tell it, each
    /// counted once.
    pub counted: Totals,
    /// The same money from what each item knows of its own attempts.
    pub by_items: Money,
}
