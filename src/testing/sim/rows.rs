//! The manifest of a world, and what an editor makes of it.

use std::collections::BTreeSet;

use super::books::picture_of;
use crate::{
    core::{Failure, FailureClass, FailureCode, ItemKey, ItemState},
    ledger::{EditionHeader, NewItem, NewRow},
};

/// One state of the manifest file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Pictures, and nothing remarkable.
    Plain,
    /// Before an edit: with a row twice, and a row that is no row.
    First,
    /// After it: rows removed, added, corrected, and with fresh signatures.
    Second,
}

impl Version {
    /// Returns what [`Ledger::finish_edition`](crate::ledger::Ledger::finish_edition)
    /// remembers of it.
    pub(super) fn content(self) -> String {
        format!("{self:?}")
    }

    /// Returns the rows of a manifest of about so many pictures.
    pub(super) fn rows(self, pictures: u32) -> Vec<NewRow> {
        let mut rows: Vec<NewRow> = match self {
            Self::Plain => (0..pictures).map(|number| row(number, "")).collect(),
            Self::First => {
                let mut rows: Vec<_> = (0..pictures).map(|number| row(number, "")).collect();
                rows.insert(2, row(0, ""));
                rows.push(bad_row(pictures));
                rows
            }
            Self::Second => {
                // Every fifth row is gone; every third that stays is signed anew.
                let kept = (0..pictures).filter(|number| number % 5 != 1);
                let signature =
                    |number: u32| if number.is_multiple_of(3) { "?signed=anew" } else { "" };
                let added = pictures..=pictures + pictures / 4;
                kept.chain(added).map(|number| row(number, signature(number))).collect()
            }
        };
        for (line, row) in (2..).zip(&mut rows) {
            row.line = line;
        }
        rows
    }

    /// Returns the pictures that someone wants.
    pub(super) fn pictures(self, pictures: u32) -> BTreeSet<String> {
        self.rows(pictures).iter().map(|row| picture_of(&row.item.source)).collect()
    }
}

pub(super) fn header() -> EditionHeader {
    EditionHeader { columns: vec!["img".to_owned()], source_column: 0, base_dir: "/".to_owned() }
}

fn row(number: u32, query: &str) -> NewRow {
    let picture = format!("https://example.org/{number}.jpg");
    let source = format!("{picture}{query}");
    NewRow {
        line: 0,
        cells: vec![source.clone()],
        item: NewItem {
            key: ItemKey::of("item", &[&picture]),
            source,
            scale: 2,
            version: "v1.4".to_owned(),
            stem: "photo".to_owned(),
            state: Ok(ItemState::Staged),
        },
    }
}

/// A row that the second version has corrected.
fn bad_row(number: u32) -> NewRow {
    let mut row = row(number, "");
    let why = Failure::new(FailureClass::Permanent, FailureCode::BadRow, "simulated");
    row.item.state = Err(why);
    row
}
