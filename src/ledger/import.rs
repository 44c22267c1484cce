//! Decides what an import changes: which rows name new items, which move known items
//! to this edition and renew what is known of their source, which are duplicates.
//!
//! Pure, and shared by both ledgers: they look up what is known, ask [`plan`], and
//! write what it says in one transaction.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    head::Head,
    names::Name,
    record::{Imported, NewItem, NewRow},
};
use crate::core::{Edition, Failure, FailureCode, ItemId, ItemKey, ItemState};

/// What a ledger already knows of an item that a row names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) id: ItemId,
    pub(super) edition: Edition,
    pub(super) state: ItemState,
    /// Code of its failure, if it has one.
    pub(super) code: Option<FailureCode>,
}

impl Known {
    /// Returns true when an older edition had nothing but an unreadable row for it.
    pub(super) fn is_bad_row(&self) -> bool {
        self.state == ItemState::Failed && self.code == Some(FailureCode::BadRow)
    }
}

/// An item to be written with a row's facts: new, or a bad row that was corrected.
#[derive(Debug)]
pub(super) struct PlannedItem {
    pub(super) id: ItemId,
    pub(super) facts: NewItem,
    pub(super) state: ItemState,
    pub(super) failure: Option<Failure>,
    pub(super) ordinal: u64,
    pub(super) settlement: Option<i64>,
}

/// A known item that this edition names.
#[derive(Debug)]
pub(super) struct MovedItem {
    pub(super) id: ItemId,
    /// A new number when it is settled, so that its row is reported again.
    pub(super) settlement: Option<i64>,
}

/// A known item that takes over what its row says now.
#[derive(Debug)]
pub(super) struct RenewedItem {
    pub(super) id: ItemId,
    pub(super) source: String,
    pub(super) scale: u8,
    pub(super) version: String,
    pub(super) state: ItemState,
    pub(super) staged_url: Option<String>,
}

/// A row to be written.
#[derive(Debug)]
pub(super) struct PlannedRow {
    pub(super) line: i64,
    pub(super) item: ItemId,
    pub(super) first: bool,
    pub(super) cells: Vec<String>,
}

/// Everything one import writes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) items: Vec<PlannedItem>,
    pub(super) moved: Vec<MovedItem>,
    /// Some of those in `moved`.
    pub(super) renewed: Vec<RenewedItem>,
    pub(super) rows: Vec<PlannedRow>,
    pub(super) imported: Imported,
}

/// Returns the names of the rows' stems, in the order of the rows.
pub(super) fn stem_names(rows: &[NewRow]) -> Vec<Name> {
    rows.iter().map(|row| Name::of_stem(&row.item.stem)).collect()
}

/// Decides what importing `rows` into the current edition of `head` changes.
///
/// `names` are those of the rows' stems, `known` has the items that are known of those the rows name, and `stems` how many
/// items have taken each stem of those that are not; both are brought up to what they are
/// after the import.
pub(super) fn plan(
    rows: Vec<NewRow>,
    names: &[Name],
    known: &mut HashMap<ItemKey, Known>,
    stems: &mut HashMap<Name, u64>,
    head: &mut Head,
) -> Plan {
    let mut plan = Plan { rows: Vec::with_capacity(rows.len()), ..Plan::default() };
    plan.items.reserve(rows.len().saturating_sub(known.len()));
    for (NewRow { line, cells, item }, stem) in rows.into_iter().zip(names) {
        let (id, first) = match known.get_mut(&item.key) {
            Some(known) if known.edition == head.edition => (known.id, false),
            Some(known) if !known.is_bad_row() => {
                known.edition = head.edition;
                plan.renewed.extend(renew(known, item));
                plan.moved.push(move_item(known, head));
                (known.id, true)
            }
            earlier => {
                let bad_row = earlier.map(|bad_row| bad_row.id);
                plan.imported.new_items += u64::from(bad_row.is_none());
                let id = bad_row.unwrap_or_else(|| head.next_item());
                let planned = plan_item(id, item, stems.entry(*stem), head);
                known.insert(planned.facts.key, planned.as_known(head.edition));
                plan.items.push(planned);
                (id, true)
            }
        };
        plan.imported.rows += 1;
        plan.imported.duplicates += u64::from(!first);
        plan.rows.push(PlannedRow { line, item: id, first, cells });
    }
    head.totals.rows += plan.imported.rows;
    plan
}

/// Returns what a row changes of a known item. Nothing when the item is done, or owed:
/// its request was made with what the row said then. Nothing either when the row is bad.
fn renew(known: &mut Known, row: NewItem) -> Option<RenewedItem> {
    let row_state = row.state.ok()?;
    match known.state {
        ItemState::Pending | ItemState::Staged => known.state = row_state,
        ItemState::Failed | ItemState::InDoubt => {}
        _ => return None,
    }
    // When an item in doubt is sent again it counts as staged. One that needs staging
    // must not look as if its source were a URL: with any staged URL it is staged anew.
    let doubtful = known.state == ItemState::InDoubt && row_state == ItemState::Pending;
    let staged_url = doubtful.then(|| row.source.clone());
    Some(RenewedItem {
        id: known.id,
        source: row.source,
        scale: row.scale,
        version: row.version,
        state: known.state,
        staged_url,
    })
}

fn move_item(known: &Known, head: &mut Head) -> MovedItem {
    // What is owed has counted all along.
    if !known.state.is_owed() {
        head.count_named(known.state);
    }
    let settlement = known.state.is_settled().then(|| head.next_settlement());
    MovedItem { id: known.id, settlement }
}

fn plan_item(
    id: ItemId,
    facts: NewItem,
    stem: Entry<'_, Name, u64>,
    head: &mut Head,
) -> PlannedItem {
    let (state, failure) = match &facts.state {
        Ok(state) => (*state, None),
        Err(failure) => (ItemState::Failed, Some(failure.clone())),
    };
    // A bad row publishes nothing, so it takes no name from the others.
    let ordinal = if failure.is_some() { 0 } else { take_ordinal(stem) };
    head.count_named(state);
    let settlement = state.is_settled().then(|| head.next_settlement());
    PlannedItem { id, facts, state, failure, ordinal, settlement }
}

fn take_ordinal(stem: Entry<'_, Name, u64>) -> u64 {
    let taken = stem.or_default();
    let ordinal = *taken;
    *taken += 1;
    ordinal
}

impl PlannedItem {
    fn as_known(&self, edition: Edition) -> Known {
        Known {
            id: self.id,
            edition,
            state: self.state,
            code: self.failure.as_ref().map(|failure| failure.code),
        }
    }
}
