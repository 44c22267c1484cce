//! The plain data that goes into and comes out of a ledger.

use jiff::Timestamp;

use crate::core::{
    CallbackSecret, Edition, Endpoint, Failure, Item, ItemKey, ItemState, Micros,
    invariant::{self, Violation},
};

/// What a manifest says of itself before its first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditionHeader {
    /// The manifest's column names, in order; results.csv starts with them.
    pub columns: Vec<String>,
    /// Index in `columns` of the source; failures.csv rewrites relative paths there.
    pub source_column: usize,
    /// The folder against which relative paths are resolved, absolute.
    pub base_dir: String,
}

/// One manifest row, ready to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Line of the manifest where the row starts; unique and growing.
    pub line: i64,
    /// The row's cells exactly as read, one for each column.
    pub cells: Vec<String>,
    /// The item it names.
    pub item: NewItem,
}

/// The item that a row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its identity.
    pub key: ItemKey,
    /// The source as written.
    pub source: String,
    /// Upscale factor, 1 to 4.
    pub scale: u8,
    /// Model version.
    pub version: String,
    /// Artifact path without extension.
    pub stem: String,
    /// `Staged` for public URLs, `Pending` for what needs staging; with `Err`, the
    /// row is bad and the item starts as `Failed`.
    pub state: Result<ItemState, Failure>,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows added.
    pub rows: u64,
    /// Items that were not known before.
    pub new_items: u64,
    /// Rows that name an item which an earlier row of this edition names too.
    pub duplicates: u64,
}

/// What is known of a job as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// The edition that was read to its end last, with the hash given then.
    pub finished: Option<(Edition, String)>,
    /// The edition begun last; newer than the finished one while a manifest is being
    /// read, and when reading it was broken off.
    pub begun: Option<Edition>,
    /// Header of the edition begun last.
    pub header: Option<EditionHeader>,
    /// The service this job's requests belong to.
    pub service: Option<String>,
    /// The secret of the job's callback addresses, the same for the life of the ledger:
    /// a later run understands what is called back about the requests of an earlier one.
    pub callback_secret: CallbackSecret,
    /// The pauses that the service asked for last; they may be over.
    pub paused: Pauses,
}

/// Until when the service asked for pauses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pauses {
    /// No submit before this.
    pub submit: Option<Timestamp>,
    /// No status request before this.
    pub poll: Option<Timestamp>,
}

impl Pauses {
    /// Returns until when an endpoint pauses; downloads are not kept here.
    #[must_use]
    pub fn of(self, endpoint: Endpoint) -> Option<Timestamp> {
        match endpoint {
            Endpoint::Submit => self.submit,
            Endpoint::Poll => self.poll,
            Endpoint::Fetch => None,
        }
    }

    /// Takes in another pause, of which the later end counts. Returns true when that has
    /// changed something.
    pub fn extend(&mut self, endpoint: Endpoint, until: Timestamp) -> bool {
        let kept = match endpoint {
            Endpoint::Submit => &mut self.submit,
            Endpoint::Poll => &mut self.poll,
            Endpoint::Fetch => return false,
        };
        let grows = kept.is_none_or(|kept| kept < until);
        if grows {
            *kept = Some(until);
        }
        grows
    }
}

/// Sums of money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    /// The service has taken this.
    pub charged: Micros,
    /// The service may have taken this.
    pub possibly_charged: Micros,
    /// Set aside for requests without an answer yet.
    pub reserved: Micros,
}

impl Money {
    /// Returns everything that counts against a spend cap.
    #[must_use]
    pub fn committed(&self) -> Micros {
        self.charged + self.possibly_charged + self.reserved
    }
}

/// Counts of items and sums of money.
///
/// Counts are of items that the current edition names, plus those that are owed;
/// money is of all items the ledger has ever known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Items per state, indexed by `ItemState as usize`.
    pub items: [u64; ItemState::ALL.len()],
    /// Rows of the current edition.
    pub rows: u64,
    /// Sums over all attempts.
    pub money: Money,
    /// Requests accepted so far, all attempts.
    pub submits: u64,
}

impl Totals {
    /// Returns how many items are in `state`.
    #[must_use]
    pub fn count(&self, state: ItemState) -> u64 {
        self.items[state as usize]
    }

    /// Holds these counts against those of a recount; money has an invariant of its own.
    ///
    /// # Errors
    ///
    /// [`Violation`] that names the first count which differs.
    pub fn counts_agree(&self, counted: &Self) -> Result<(), Violation> {
        for state in ItemState::ALL {
            invariant::counts_agree(state.as_str(), self.count(state), counted.count(state))?;
        }
        invariant::counts_agree("rows", self.rows, counted.rows)?;
        invariant::counts_agree("accepted submits", self.submits, counted.submits)
    }

    /// Returns how many items there are.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.items.iter().sum()
    }

    /// Returns how many items are settled.
    #[must_use]
    pub fn settled(&self) -> u64 {
        ItemState::ALL
            .into_iter()
            .filter(|state| state.is_settled())
            .map(|state| self.count(state))
            .sum()
    }
}

/// Which rows to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFilter {
    /// Rows of items that are `Done` or `Skipped`: results.csv.
    Finished,
    /// Rows of items that are `Failed` or `InDoubt`: failures.csv.
    Unfinished,
    /// Both: rows of items that are settled.
    Settled,
    /// All rows.
    All,
}

impl RowFilter {
    /// Returns true when rows of items in `state` are wanted.
    #[must_use]
    pub fn wants(self, state: ItemState) -> bool {
        match self {
            Self::Finished => matches!(state, ItemState::Done | ItemState::Skipped),
            Self::Unfinished => matches!(state, ItemState::Failed | ItemState::InDoubt),
            Self::Settled => state.is_settled(),
            Self::All => true,
        }
    }
}

/// A manifest row and its item.
#[derive(Debug, Clone, PartialEq)]
pub struct RowRecord {
    /// Line of the manifest where the row starts.
    pub line: i64,
    /// The row's cells as read.
    pub cells: Vec<String>,
    /// True for the first row of the item; the others are duplicates.
    pub first: bool,
    /// The item.
    pub item: Item,
}

/// A row whose item was settled, with the number of that settlement.
#[derive(Debug, Clone, PartialEq)]
pub struct SettledRow {
    /// Grows with every settlement in the job.
    pub settlement: i64,
    /// The row.
    pub row: RowRecord,
}
