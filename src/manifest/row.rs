//! From the cells of a row to the item it names.

use std::{borrow::Cow, path::PathBuf};

use super::{
    columns::{Columns, restore_cells},
    naming,
    source::{Source, SourceError},
};
use crate::core::{Failure, FailureClass, FailureCode, ItemKey, ItemState, unescape_formula};

/// One row of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line of the file where the row starts, from 1.
    pub line: u64,
    /// The cells, one for each of [`Manifest::columns`](super::Manifest::columns),
    /// exactly as read.
    ///
    /// Of a bad row: missing cells are empty, surplus ones are joined to the last,
    /// and what is too large is cut.
    pub cells: Vec<String>,
    /// The item, or why the row names none.
    pub item: Result<RowItem, Failure>,
    /// Identity of the item; of a bad row, one of its own.
    pub key: ItemKey,
}

/// What a row asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowItem {
    /// Where the picture is.
    pub source: Source,
    /// The source as written.
    pub text: String,
    /// Upscale factor, 1 to 4.
    pub scale: u8,
    /// Model version.
    pub version: String,
    /// Artifact path without extension, relative to `images/`, safe on every file
    /// system, and not yet unique.
    pub stem: String,
}

/// What is wrong with a row.
#[derive(Debug)]
pub(super) struct Complaint {
    /// Index of the column it is about, if it is about one.
    pub(super) column: Option<usize>,
    /// Completes "line 7, column `scale`: ".
    pub(super) message: String,
}

/// A row as wide as the header, but not understood yet.
#[derive(Debug)]
pub(super) struct RawRow {
    pub(super) line: u64,
    pub(super) cells: Vec<String>,
    /// Why it is not worth understanding.
    pub(super) complaint: Option<Complaint>,
}

/// Understands rows.
#[derive(Debug)]
pub(super) struct RowReader {
    pub(super) columns: Columns,
    pub(super) base_dir: PathBuf,
    /// For rows that do not say.
    pub(super) scale: u8,
    /// For rows that do not say.
    pub(super) version: String,
}

impl RowReader {
    pub(super) fn read(&self, raw: RawRow) -> Row {
        let RawRow { line, mut cells, complaint } = raw;
        let complaint = complaint.or_else(|| self.paid_for_elsewhere(&cells));
        cells.truncate(self.columns.names.len());
        if self.columns.written_by_us {
            restore_cells(&mut cells);
        }
        let item = match complaint {
            Some(complaint) => Err(complaint),
            None => self.item(&cells),
        };
        match item {
            Ok(item) => {
                let key = self.key(&cells, &item);
                Row { line, cells, item: Ok(item), key }
            }
            Err(complaint) => {
                let key = bad_row_key(line, &cells);
                Row { line, cells, item: Err(self.failure(line, &complaint)), key }
            }
        }
    }

    /// A results.csv or failures.csv that is used as a manifest begins a job with books of
    /// its own, in which what is paid for, or may be, would be sent and paid for again.
    fn paid_for_elsewhere(&self, cells: &[String]) -> Option<Complaint> {
        let code = cells.get(self.columns.names.len()).filter(|_| self.columns.written_by_us)?;
        if [ItemState::Done, ItemState::Skipped].iter().any(|state| state.as_str() == code) {
            let message = "is done in the job it comes from; \
                           to pay for it again, delete the columns from `status` on";
            return Some(Complaint { column: None, message: message.to_owned() });
        }
        let message = match FailureCode::parse(code)? {
            FailureCode::InDoubt => {
                "is in doubt in the job it comes from, and may be paid for; \
                 there, `retry --in-doubt` sends it again"
            }
            code if code.leaves_a_request() => {
                "may be paid for in the job it comes from; \
                 there, `retry` gets its result and pays nothing"
            }
            _ => return None,
        };
        Some(Complaint { column: None, message: message.to_owned() })
    }

    fn item(&self, cells: &[String]) -> Result<RowItem, Complaint> {
        let columns = &self.columns;
        let text = value(cells, Some(columns.source));
        let source = Source::parse(&text, &self.base_dir).map_err(|error: SourceError| {
            Complaint { column: Some(columns.source), message: error.to_string() }
        })?;
        let output = value(cells, columns.output);
        let stem = if output.is_empty() {
            naming::source_stem(&text, &source, &self.base_dir)
        } else {
            naming::output_stem(&output)
        };
        Ok(RowItem {
            source,
            scale: self.scale(cells)?,
            version: self.version(cells)?,
            stem,
            text: text.into_owned(),
        })
    }

    fn scale(&self, cells: &[String]) -> Result<u8, Complaint> {
        let text = value(cells, self.columns.scale);
        if text.is_empty() {
            return Ok(self.scale);
        }
        let factor = text.parse().ok().filter(|factor| (1..=4).contains(factor));
        factor.ok_or_else(|| Complaint {
            column: self.columns.scale,
            message: format!("`{}` is not a factor from 1 to 4", excerpt(&text)),
        })
    }

    fn version(&self, cells: &[String]) -> Result<String, Complaint> {
        let text = value(cells, self.columns.version);
        if text.is_empty() {
            return Ok(self.version.clone());
        }
        if text.chars().any(char::is_control) {
            return Err(Complaint {
                column: self.columns.version,
                message: format!("`{}` holds a control character", excerpt(&text)),
            });
        }
        Ok(text.into_owned())
    }

    fn key(&self, cells: &[String], item: &RowItem) -> ItemKey {
        let id = value(cells, self.columns.id);
        if !id.is_empty() {
            return ItemKey::of("id", &[&id]);
        }
        let scale = item.scale.to_string();
        ItemKey::of("item", &[&item.source.identity(&self.base_dir), &scale, &item.version])
    }

    fn failure(&self, line: u64, complaint: &Complaint) -> Failure {
        let name = complaint.column.and_then(|column| self.columns.names.get(column));
        let message = match name {
            Some(name) => {
                format!("line {line}, column `{}`: {}", excerpt(name.trim()), complaint.message)
            }
            None => format!("line {line}: {}", complaint.message),
        };
        Failure::new(FailureClass::Permanent, FailureCode::BadRow, message)
    }
}

/// Returns what a cell means to this program: without the mark that keeps
/// spreadsheets from running it, and without spaces around it.
fn value(cells: &[String], column: Option<usize>) -> Cow<'_, str> {
    let cell = column.and_then(|column| cells.get(column)).map_or("", String::as_str);
    match unescape_formula(cell) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn bad_row_key(line: u64, cells: &[String]) -> ItemKey {
    let line = line.to_string();
    let parts: Vec<&str> =
        std::iter::once(line.as_str()).chain(cells.iter().map(String::as_str)).collect();
    ItemKey::of("bad-row", &parts)
}

/// Returns the beginning of a text, fit for a message.
fn excerpt(text: &str) -> String {
    const MOST: usize = 40;
    let mut short: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
