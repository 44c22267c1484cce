//! Splits delimited text into rows of cells, fed chunk by chunk.
//!
//! The grammar is RFC 4180 as the `csv` crate reads it (a quote is special only at
//! the start of a cell; what follows a closing quote belongs to the cell; CR, LF and
//! CRLF end a row), and a property test holds it to that crate. It is written out
//! here because three things are needed which that crate does not tell: the line on
//! which a row and an open quote begin, that a quote was still open at the end, and
//! cells of unlimited length in limited memory.

use std::mem;

/// How much of a row is kept in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Largest cell, in bytes.
    pub(super) field: usize,
    /// Largest row, in bytes of cells.
    pub(super) row: usize,
}

impl Limits {
    /// Returns how many bytes of one row are read at most before the input is given
    /// up: 64 rows of the largest size, so that a stray quote is looked for far, but
    /// not for ever.
    pub(super) fn runaway(self) -> u64 {
        (self.row as u64).saturating_mul(64)
    }
}

/// Cells kept of one row; Excel's number of columns. The others are only counted.
pub(super) const MOST_CELLS: usize = 16_384;

/// Bytes kept of a cell that is too large, enough to recognise it by.
pub(super) const PREVIEW: usize = 1024;

/// A row as it stands in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SplitRow {
    /// Line where it starts, from 1.
    pub(super) line: u64,
    /// Line where it ends.
    pub(super) last_line: u64,
    /// The cells, without quotes; of those that are too large only the beginning.
    pub(super) cells: Vec<Vec<u8>>,
    /// How many cells there are, including those not kept.
    pub(super) count: usize,
    /// Index of the first cell that is too large.
    pub(super) large_cell: Option<usize>,
    /// Index of the first cell with text after its closing quote, which is how a quote
    /// shows that was opened rows before and swallowed them.
    pub(super) after_quote: Option<usize>,
    /// True when all cells together are too large.
    pub(super) large: bool,
}

impl SplitRow {
    /// Returns true when no cell holds anything but spaces.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim_ascii().is_empty())
    }
}

/// Something is wrong with the text as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SplitError {
    /// The quote opened on this line is not closed.
    UnclosedQuote(u64),
    /// The row that starts on this line does not end.
    EndlessRow(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RowStart,
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell: its end, or the first half of `""`.
    QuoteInQuoted,
    /// Among the spaces after a closing quote, which are harmless.
    AfterQuoted,
}

/// The state between two chunks.
#[derive(Debug)]
pub(super) struct Splitter {
    /// `None` takes each line as one cell.
    delimiter: Option<u8>,
    limits: Limits,
    state: State,
    line: u64,
    previous_was_cr: bool,
    quote_line: u64,
    read: u64,
    kept: usize,
    cell: Vec<u8>,
    row: SplitRow,
}

impl Splitter {
    pub(super) fn new(delimiter: Option<u8>, limits: Limits) -> Self {
        Self {
            delimiter,
            limits,
            state: State::RowStart,
            line: 1,
            previous_was_cr: false,
            quote_line: 0,
            read: 0,
            kept: 0,
            cell: Vec::new(),
            row: SplitRow::default(),
        }
    }

    /// Returns the line of the next byte.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Takes bytes up to the end of a row. Returns how many it took, and the row if
    /// it is complete; without a row, all bytes were taken.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(usize, Option<SplitRow>), SplitError> {
        let mut used = 0;
        while let Some(&byte) = chunk.get(used) {
            if let Some(run) = self.take_run(&chunk[used..]) {
                used += run;
                self.read += run as u64;
                continue;
            }
            used += 1;
            self.read += 1;
            let complete = self.take_byte(byte);
            self.count_line(byte);
            if complete {
                return Ok((used, Some(self.finish_row())));
            }
        }
        if self.read > self.limits.runaway() {
            return Err(self.unfinished());
        }
        Ok((used, None))
    }

    /// Ends the text. Returns the last row if it had no line end.
    pub(super) fn finish(&mut self) -> Result<Option<SplitRow>, SplitError> {
        match self.state {
            State::RowStart => Ok(None),
            State::Quoted => Err(self.unfinished()),
            State::CellStart | State::Plain | State::QuoteInQuoted | State::AfterQuoted => {
                self.row.last_line = self.line;
                self.end_cell();
                Ok(Some(self.finish_row()))
            }
        }
    }

    fn unfinished(&self) -> SplitError {
        match self.state {
            State::Quoted | State::QuoteInQuoted => SplitError::UnclosedQuote(self.quote_line),
            _ => SplitError::EndlessRow(self.row.line),
        }
    }

    /// Takes the bytes up to the next special one at once, if there are any.
    fn take_run(&mut self, bytes: &[u8]) -> Option<usize> {
        let delimiter = self.delimiter;
        let run = match self.state {
            State::Plain => bytes
                .iter()
                .position(|&byte| Some(byte) == delimiter || byte == b'\n' || byte == b'\r'),
            State::Quoted => bytes.iter().position(|byte| matches!(byte, b'"' | b'\n' | b'\r')),
            _ => return None,
        };
        let run = run.unwrap_or(bytes.len());
        if run == 0 {
            return None;
        }
        self.keep(&bytes[..run]);
        self.previous_was_cr = false;
        Some(run)
    }

    /// Takes one byte; returns true when it ends the row.
    fn take_byte(&mut self, byte: u8) -> bool {
        let line_end = byte == b'\n' || byte == b'\r';
        if self.state == State::RowStart {
            if line_end {
                // A blank line, or the second half of CRLF.
                self.read = 0;
                return false;
            }
            self.row.line = self.line;
            self.state = State::CellStart;
        }
        match (self.state, byte) {
            (State::Quoted, b'"') => self.state = State::QuoteInQuoted,
            (State::Quoted, _) => self.keep(&[byte]),
            (State::QuoteInQuoted, b'"') => {
                self.keep(&[byte]);
                self.state = State::Quoted;
            }
            (State::CellStart, b'"') => {
                self.quote_line = self.line;
                self.state = State::Quoted;
            }
            _ if Some(byte) == self.delimiter => {
                self.end_cell();
                self.state = State::CellStart;
            }
            _ if line_end => {
                self.row.last_line = self.line;
                self.end_cell();
                self.state = State::RowStart;
                return true;
            }
            (State::QuoteInQuoted | State::AfterQuoted, b' ') => {
                self.keep(&[byte]);
                self.state = State::AfterQuoted;
            }
            (state, _) => {
                if matches!(state, State::QuoteInQuoted | State::AfterQuoted) {
                    self.row.after_quote.get_or_insert(self.row.count);
                }
                self.keep(&[byte]);
                self.state = State::Plain;
            }
        }
        false
    }

    fn count_line(&mut self, byte: u8) {
        let second_half = byte == b'\n' && self.previous_was_cr;
        self.previous_was_cr = byte == b'\r';
        if matches!(byte, b'\n' | b'\r') && !second_half {
            self.line += 1;
        }
    }

    /// Adds bytes to the current cell, as far as the limits allow.
    fn keep(&mut self, bytes: &[u8]) {
        if self.row.large_cell == Some(self.row.count) {
            return;
        }
        if self.cell.len() + bytes.len() > self.limits.field {
            self.row.large_cell.get_or_insert(self.row.count);
            self.cell.extend(bytes.iter().take(PREVIEW));
            self.cell.truncate(PREVIEW);
            return;
        }
        if self.row.large || self.kept + bytes.len() > self.limits.row {
            self.row.large = true;
            return;
        }
        self.kept += bytes.len();
        self.cell.extend_from_slice(bytes);
    }

    fn end_cell(&mut self) {
        if self.row.cells.len() < MOST_CELLS {
            self.row.cells.push(self.cell.clone());
        }
        self.cell.clear();
        self.row.count += 1;
    }

    fn finish_row(&mut self) -> SplitRow {
        self.state = State::RowStart;
        self.read = 0;
        self.kept = 0;
        let width = self.row.cells.len();
        let next = SplitRow { cells: Vec::with_capacity(width), ..SplitRow::default() };
        mem::replace(&mut self.row, next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { field: 1 << 16, row: 1 << 18 };

    /// Feeds the text in pieces of `step` bytes.
    fn split(text: &[u8], step: usize, limits: Limits) -> Result<Vec<SplitRow>, SplitError> {
        let mut splitter = Splitter::new(Some(b','), limits);
        let mut rows = Vec::new();
        for mut chunk in text.chunks(step) {
            while !chunk.is_empty() {
                let (used, row) = splitter.feed(chunk)?;
                rows.extend(row);
                chunk = &chunk[used..];
            }
        }
        rows.extend(splitter.finish()?);
        Ok(rows)
    }

    fn cells(rows: &[SplitRow]) -> Vec<Vec<Vec<u8>>> {
        rows.iter().map(|row| row.cells.clone()).collect()
    }

    #[test]
    fn lines_are_those_of_an_editor() {
        let text = b"a\r\n\r\nb,\"x\r\ny\rz\nw\"\rc\n\n\nd";
        for step in [1, 2, 3, 100] {
            let rows = split(text, step, LIMITS).unwrap();
            let lines: Vec<_> = rows.iter().map(|row| (row.line, row.last_line)).collect();
            assert_eq!(lines, [(1, 1), (3, 6), (7, 7), (10, 10)], "in steps of {step}");
            assert_eq!(rows[1].cells[1], b"x\r\ny\rz\nw");
        }
    }

    #[test]
    fn an_open_quote_is_found_at_its_line() {
        for text in [&b"a,b\nc\n\"d,\ne,\"\"f\n"[..], b"a\n\n\""] {
            assert_eq!(split(text, 4, LIMITS), Err(SplitError::UnclosedQuote(3)));
        }
        assert_eq!(split(b"a,\nb,x\"y\n", 4, LIMITS).unwrap().len(), 2);
    }

    #[test]
    fn large_cells_and_rows_take_little_memory() {
        let limits = Limits { field: 2000, row: 3000 };
        let cell = "x".repeat(2001);
        let rows = split(format!("a,{cell},b\nc,d,e").as_bytes(), 64, limits).unwrap();
        assert_eq!(rows[0].large_cell, Some(1));
        assert_eq!((rows[0].cells[1].len(), &rows[0].cells[2][..]), (PREVIEW, &b"b"[..]));
        assert_eq!((rows[1].large_cell, rows[1].large), (None, false));

        let half = "x".repeat(1600);
        let rows = split(format!("{half},{half},b\nc").as_bytes(), 64, limits).unwrap();
        assert!(rows[0].large && !rows[1].large);
        assert!(rows[0].cells.iter().map(Vec::len).sum::<usize>() <= limits.row);

        let rows = split(&vec![b','; 100_000], 4096, limits).unwrap();
        assert_eq!((rows[0].count, rows[0].cells.len()), (100_001, MOST_CELLS));
    }

    #[test]
    fn endless_rows_are_given_up() {
        let limits = Limits { field: 100, row: 100 };
        let endless = |start: &str| {
            let mut splitter = Splitter::new(Some(b','), limits);
            assert_eq!(splitter.feed(start.as_bytes()), Ok((start.len(), None)));
            let mut fed = 0;
            loop {
                fed += 1000;
                match splitter.feed(&[b'x'; 1000]) {
                    Ok((_, row)) => assert_eq!(row, None),
                    Err(error) => return (fed, error),
                }
            }
        };
        assert_eq!(endless("a,\"b\nc"), (7000, SplitError::UnclosedQuote(1)));
        assert_eq!(endless("\n\na,"), (7000, SplitError::EndlessRow(3)));
    }

    #[test]
    fn without_delimiter_a_line_is_a_cell() {
        let mut splitter = Splitter::new(None, LIMITS);
        let (used, row) = splitter.feed(b"http://x/a,b;c\td.jpg\nnext").unwrap();
        assert_eq!((used, row.unwrap().cells), (21, vec![b"http://x/a,b;c\td.jpg".to_vec()]));
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate(text in "[ab,\"\r\n ]{0,40}", step in 1_usize..8) {
            let oracle: Vec<Vec<Vec<u8>>> = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes())
                .byte_records()
                .map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect())
                .collect();
            match split(text.as_bytes(), step, LIMITS) {
                Ok(rows) => prop_assert_eq!(cells(&rows), oracle),
                // The crate closes an open quote at the end of the text.
                Err(error) => {
                    let closed = format!("{text}\"");
                    prop_assert!(matches!(error, SplitError::UnclosedQuote(_)));
                    prop_assert_eq!(cells(&split(closed.as_bytes(), step, LIMITS).unwrap()), oracle);
                }
            }
        }
    }
}
