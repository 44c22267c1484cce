//! Opens a manifest and hands out its rows.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    bytes::ByteStream,
    columns::Columns,
    error::ManifestError,
    json_lines::JsonLines,
    row::{RawRow, Row, RowReader},
    sniff,
    splitter::Limits,
    table::Table,
};
use crate::core::ContentHash;

/// Where a manifest is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file. JSON Lines when it is called `.jsonl` or `.ndjson`.
    File(PathBuf),
    /// Standard input, `-` on the command line. JSON Lines when it begins with `{`.
    Stdin,
}

impl From<PathBuf> for Input {
    /// Reads a command line argument, of which `-` is standard input.
    fn from(argument: PathBuf) -> Self {
        if argument.as_os_str() == "-" { Self::Stdin } else { Self::File(argument) }
    }
}

/// How a manifest is read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Folder against which relative paths are resolved; absolute.
    pub base_dir: PathBuf,
    /// Upscale factor of rows that do not say, 1 to 4.
    pub scale: u8,
    /// Model version of rows that do not say.
    pub version: String,
    /// Largest cell in bytes; a row with a larger one is bad.
    pub max_field_bytes: usize,
    /// Largest row in bytes; a larger one is bad. Bounds the memory that is used.
    pub max_row_bytes: usize,
}

impl ReadOptions {
    /// No address and no path is longer than a fraction of this (1 MiB).
    pub const MAX_FIELD_BYTES: usize = 1 << 20;
    /// Four of the largest cells (4 MiB).
    pub const MAX_ROW_BYTES: usize = 4 << 20;

    /// Creates options with the usual limits.
    pub fn new(base_dir: impl Into<PathBuf>, scale: u8, version: impl Into<String>) -> Self {
        Self {
            base_dir: base_dir.into(),
            scale,
            version: version.into(),
            max_field_bytes: Self::MAX_FIELD_BYTES,
            max_row_bytes: Self::MAX_ROW_BYTES,
        }
    }
}

enum Rows {
    Table(Box<Table>),
    JsonLines(Box<JsonLines>),
}

impl Rows {
    fn bytes(&self) -> &ByteStream {
        match self {
            Self::Table(table) => table.bytes(),
            Self::JsonLines(lines) => lines.bytes(),
        }
    }

    fn next(&mut self, columns: &Columns) -> Result<Option<RawRow>, ManifestError> {
        match self {
            Self::Table(table) => table.next(columns),
            Self::JsonLines(lines) => lines.next(columns),
        }
    }
}

/// A manifest whose header has been read: an iterator over its rows.
///
/// Rows come in the order of the file, and memory does not depend on their number.
/// An `Err` says that the rest of the file is not usable, and ends the iteration.
pub struct Manifest {
    rows: Rows,
    reader: RowReader,
    ended: bool,
}

impl Manifest {
    /// Opens a manifest and reads its header. Blocks.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when there is nothing to read, or what is read is no manifest.
    pub fn open(input: &Input, options: ReadOptions) -> Result<Self, ManifestError> {
        match input {
            Input::Stdin => {
                Self::from_reader("standard input", None, Box::new(io::stdin()), options)
            }
            Input::File(path) => {
                let name = path.display().to_string();
                let file = open_file(path, &name)?;
                Self::from_reader(&name, is_json_lines(path), Box::new(file), options)
            }
        }
    }

    /// Reads a manifest from anything, called `name` in errors. Blocks.
    ///
    /// `json_lines` says what it is; `None` finds out.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when there is nothing to read, or what is read is no manifest.
    pub fn from_reader(
        name: &str,
        json_lines: Option<bool>,
        mut input: Box<dyn Read + Send>,
        options: ReadOptions,
    ) -> Result<Self, ManifestError> {
        let limits = Limits { field: options.max_field_bytes, row: options.max_row_bytes };
        let failed = |source| ManifestError::Read { file: name.to_owned(), line: 1, source };
        let head = sniff::read_head(&mut input).map_err(failed)?;
        sniff::refuse_other_files(name, &head)?;
        let json_lines = json_lines.unwrap_or_else(|| sniff::begins_an_object(&head));
        let delimiter = sniff::delimiter(&head, limits);
        let mark = head.len() - sniff::without_mark(&head).len();
        let mut bytes = ByteStream::new(head, input);
        bytes.chunk().map_err(failed)?;
        bytes.consume(mark);
        let (rows, columns) = if json_lines {
            let (lines, columns) = JsonLines::open(name, bytes, limits)?;
            (Rows::JsonLines(Box::new(lines)), columns)
        } else {
            let (table, columns) = Table::open(name, bytes, delimiter, limits)?;
            (Rows::Table(Box::new(table)), columns)
        };
        let ReadOptions { base_dir, scale, version, .. } = options;
        let reader = RowReader { columns, base_dir, scale, version };
        Ok(Self { rows, reader, ended: false })
    }

    /// Returns the names of the columns as written, without those that this program
    /// adds to results.csv and failures.csv.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.reader.columns.names
    }

    /// Returns which of the columns holds the sources.
    #[must_use]
    pub fn source_column(&self) -> usize {
        self.reader.columns.source
    }

    /// Returns the hash of everything that was read, once the iteration has ended
    /// without an error, and `None` before. Equals [`fingerprint_file`].
    ///
    /// [`fingerprint_file`]: super::fingerprint_file
    #[must_use]
    pub fn fingerprint(&self) -> Option<ContentHash> {
        self.rows.bytes().fingerprint().filter(|_| self.ended)
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

impl Iterator for Manifest {
    type Item = Result<Row, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.rows.next(&self.reader.columns).transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row.map(|row| row.map(|row| self.reader.read(row)))
    }
}

fn open_file(path: &Path, name: &str) -> Result<File, ManifestError> {
    let failed = |source| ManifestError::Open { file: name.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(ManifestError::Folder { file: name.to_owned() });
    }
    Ok(file)
}

/// Judges a file by its name; names that say nothing are judged by content.
fn is_json_lines(path: &Path) -> Option<bool> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "jsonl" | "ndjson" => Some(true),
        "csv" | "tsv" | "tab" | "txt" => Some(false),
        _ => None,
    }
}
