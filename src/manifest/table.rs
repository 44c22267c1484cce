//! CSV, TSV and their like, and plain lists.

use std::fmt::Write;

use super::{
    bytes::ByteStream,
    columns::{self, Columns},
    error::ManifestError,
    row::{Complaint, RawRow},
    splitter::{Limits, MOST_CELLS, PREVIEW, SplitError, SplitRow, Splitter},
};

/// A table after its header.
pub(super) struct Table {
    file: String,
    bytes: ByteStream,
    splitter: Splitter,
    delimiter: Option<u8>,
    limits: Limits,
    /// The first row, when it turned out to be no header.
    pending: Option<SplitRow>,
}

impl Table {
    /// Reads the header.
    pub(super) fn open(
        file: &str,
        bytes: ByteStream,
        delimiter: Option<u8>,
        limits: Limits,
    ) -> Result<(Self, Columns), ManifestError> {
        let mut table = Self {
            file: file.to_owned(),
            bytes,
            splitter: Splitter::new(delimiter, limits),
            delimiter,
            limits,
            pending: None,
        };
        let Some(first) = table.split_row()? else {
            return Err(ManifestError::Empty { file: table.file });
        };
        let columns = table.read_header(first)?;
        Ok((table, columns))
    }

    pub(super) fn bytes(&self) -> &ByteStream {
        &self.bytes
    }

    /// Returns the next row, with as many cells as the file has columns.
    pub(super) fn next(&mut self, columns: &Columns) -> Result<Option<RawRow>, ManifestError> {
        let row = match self.pending.take() {
            Some(row) => Some(row),
            None => self.split_row()?,
        };
        Ok(row.map(|row| self.fit(row, columns)))
    }

    fn read_header(&mut self, first: SplitRow) -> Result<Columns, ManifestError> {
        let file = &self.file;
        let line = first.line;
        if first.cells.iter().flatten().any(|&byte| is_binary(byte)) {
            return Err(ManifestError::OtherFile { file: file.clone(), kind: "binary data" });
        }
        let too_long = first.large || first.large_cell.is_some() || first.count > MOST_CELLS;
        if first.count == 1 && !too_long && !is_header(&first.cells[0]) {
            self.pending = Some(first);
            return Ok(Columns::of_a_list());
        }
        if too_long {
            let Limits { field, row } = self.limits;
            let reason = format!(
                "more than {MOST_CELLS} columns, {field} bytes in a name or {row} bytes in all"
            );
            return Err(ManifestError::Header { file: file.clone(), line, reason });
        }
        let names = first.cells.into_iter().map(String::from_utf8).collect::<Result<_, _>>();
        let Ok(names) = names else {
            let encoding = "text in an older encoding such as Windows-1252";
            return Err(ManifestError::Encoding { file: file.clone(), line, encoding });
        };
        Columns::of_table(file, line, names)
    }

    fn split_row(&mut self) -> Result<Option<SplitRow>, ManifestError> {
        loop {
            let row = self.split_any_row()?;
            if !row.as_ref().is_some_and(SplitRow::is_blank) {
                return Ok(row);
            }
        }
    }

    fn split_any_row(&mut self) -> Result<Option<SplitRow>, ManifestError> {
        loop {
            let line = self.splitter.line();
            let chunk = self.bytes.chunk().map_err(|source| ManifestError::Read {
                file: self.file.clone(),
                line,
                source,
            })?;
            if chunk.is_empty() {
                return self.splitter.finish().map_err(|error| self.unusable(&error));
            }
            let fed = self.splitter.feed(chunk);
            let (used, row) = fed.map_err(|error| self.unusable(&error))?;
            self.bytes.consume(used);
            if row.is_some() {
                return Ok(row);
            }
        }
    }

    fn unusable(&self, error: &SplitError) -> ManifestError {
        let file = self.file.clone();
        match *error {
            SplitError::UnclosedQuote(line) => ManifestError::UnclosedQuote { file, line },
            SplitError::EndlessRow(line) => {
                ManifestError::EndlessLine { file, line, limit: self.limits.runaway() }
            }
        }
    }

    /// Makes a row as wide as the header, and says what is wrong with it.
    ///
    /// Surplus cells are joined to the last one, so that no text is lost.
    fn fit(&self, row: SplitRow, columns: &Columns) -> RawRow {
        let mut complaint = self.complaint(&row, columns);
        let keep = if row.large { PREVIEW } else { usize::MAX };
        let mut cells = Vec::with_capacity(columns.width);
        for (index, mut bytes) in row.cells.into_iter().enumerate() {
            bytes.truncate(keep);
            let cell = String::from_utf8(bytes).unwrap_or_else(|error| {
                complaint.get_or_insert_with(|| Complaint {
                    column: (columns.width > index).then_some(index),
                    message: "is not UTF-8; save the manifest as UTF-8".to_owned(),
                });
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            });
            match cells.last_mut() {
                Some(last) if index >= columns.width => {
                    String::push(last, char::from(self.delimiter.unwrap_or(b',')));
                    last.push_str(&cell);
                }
                _ => cells.push(cell),
            }
        }
        cells.resize(columns.width, String::new());
        RawRow { line: row.line, cells, complaint }
    }

    fn complaint(&self, row: &SplitRow, columns: &Columns) -> Option<Complaint> {
        if let Some(index) = row.large_cell {
            let column = (columns.width > index).then_some(index);
            let message = format!("is larger than {} bytes", self.limits.field);
            return Some(Complaint { column, message });
        }
        if row.large {
            let message = format!("the row is larger than {} bytes", self.limits.row);
            return Some(Complaint { column: None, message });
        }
        if row.count != columns.width {
            let message = self.explain_count(row, columns.width);
            return Some(Complaint { column: None, message });
        }
        row.after_quote.map(|index| Complaint {
            column: Some(index),
            message: "text follows the closing quote; write a quote inside a cell twice".to_owned(),
        })
    }

    fn explain_count(&self, row: &SplitRow, width: usize) -> String {
        let cells = if row.count == 1 { "cell" } else { "cells" };
        let mut message = format!("{} {cells} where the header has {width}", row.count);
        match self.delimiter {
            Some(b'\t') if row.count > width => message += "; quote a cell that contains a tab",
            Some(delimiter) if row.count > width => {
                let _ = write!(message, "; quote a cell that contains `{}`", char::from(delimiter));
            }
            _ => {}
        }
        if row.last_line > row.line {
            let _ = write!(message, "; it goes on to line {}: is a quote missing?", row.last_line);
        }
        message
    }
}

fn is_header(cell: &[u8]) -> bool {
    str::from_utf8(cell).is_ok_and(columns::is_source_name)
}

pub(super) fn is_binary(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}
