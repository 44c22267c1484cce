//! results.csv and failures.csv as files: appended while the job runs, rewritten whole
//! and atomically when it starts and ends.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{failures_csv, results_csv};
use crate::core::{FAILURE_COLUMNS, Item, RESULT_COLUMNS, escape_formula, unescape_formula};

/// How the name of a new version that is being written ends.
const TEMPORARY_SUFFIX: &str = ".part";

/// One manifest row with its item.
#[derive(Debug, Clone, Copy)]
pub struct SheetRow<'a> {
    /// The manifest row's cells exactly as read.
    pub cells: &'a [String],
    /// True for the first row that names the item.
    pub first: bool,
    /// The item.
    pub item: &'a Item,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetKind {
    /// results.csv.
    Results,
    /// failures.csv.
    Failures,
}

impl SheetKind {
    /// Returns the file's name in the job folder.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Results => "results.csv",
            Self::Failures => "failures.csv",
        }
    }

    fn own_columns(self) -> &'static [&'static str] {
        match self {
            Self::Results => &RESULT_COLUMNS,
            Self::Failures => &FAILURE_COLUMNS,
        }
    }
}

/// One of the two files of a job.
///
/// Every write ends with whole lines, so whoever reads at any moment, or after a crash
/// of the process, finds a valid CSV.
#[derive(Debug)]
pub struct Sheet {
    kind: SheetKind,
    path: PathBuf,
    job_dir: PathBuf,
    manifest_dir: PathBuf,
    source_column: usize,
    header: Vec<String>,
    appending: Option<File>,
    rewriting: Option<csv::Writer<BufWriter<NamedTempFile>>>,
}

impl Sheet {
    /// Describes a file; touches nothing yet.
    ///
    /// `columns` are the manifest's, `source_column` is the index among them of the
    /// source, and `manifest_dir` the folder relative sources start from (absolute).
    #[must_use]
    pub fn new(
        kind: SheetKind,
        job_dir: &Path,
        manifest_dir: &Path,
        columns: &[String],
        source_column: usize,
    ) -> Self {
        Self {
            kind,
            path: job_dir.join(kind.file_name()),
            job_dir: job_dir.to_owned(),
            manifest_dir: manifest_dir.to_owned(),
            source_column,
            header: header(kind, columns),
            appending: None,
            rewriting: None,
        }
    }

    /// Returns where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a new version of the file beside the old one.
    ///
    /// Its name is always the same, so that one which a killed run has left is replaced;
    /// the job's lock keeps other runs away.
    ///
    /// # Errors
    ///
    /// When the job folder cannot be written.
    pub fn begin_rewrite(&mut self) -> io::Result<()> {
        // One that was not finished has the same name, and goes first.
        self.rewriting = None;
        let name = format!(".restore-batch-{}", self.kind.file_name());
        match fs::remove_file(self.job_dir.join(format!("{name}{TEMPORARY_SUFFIX}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = tempfile::Builder::new()
            .prefix(&name)
            .suffix(TEMPORARY_SUFFIX)
            .rand_bytes(0)
            .permissions(readable_by_all())
            .tempfile_in(&self.job_dir)?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        writer.write_record(&self.header)?;
        self.rewriting = Some(writer);
        Ok(())
    }

    /// Adds rows to the new version begun with [`begin_rewrite`](Self::begin_rewrite).
    ///
    /// # Errors
    ///
    /// When the disk is full or a rewrite was not begun.
    pub fn rewrite_rows<'a>(
        &mut self,
        rows: impl IntoIterator<Item = SheetRow<'a>>,
    ) -> io::Result<()> {
        let mut writer = self.rewriting.take().ok_or_else(not_begun)?;
        let written = rows.into_iter().try_for_each(|row| writer.write_record(self.record(&row)));
        self.rewriting = Some(writer);
        Ok(written?)
    }

    /// Makes the new version durable and puts it in the old one's place.
    ///
    /// # Errors
    ///
    /// When the disk is full or a rewrite was not begun; the old file is unchanged.
    pub fn finish_rewrite(&mut self) -> io::Result<()> {
        let writer = self.rewriting.take().ok_or_else(not_begun)?;
        let buffered = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        File::open(&self.job_dir)?.sync_all()?;
        self.appending = None;
        Ok(())
    }

    /// Appends rows with a single write, so that no reader sees half a line.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; it is as before then.
    pub fn append<'a>(&mut self, rows: impl IntoIterator<Item = SheetRow<'a>>) -> io::Result<()> {
        let mut lines = csv::Writer::from_writer(Vec::new());
        for row in rows {
            lines.write_record(self.record(&row))?;
        }
        let lines = lines.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        if lines.is_empty() {
            return Ok(());
        }
        if self.appending.is_none() {
            self.appending = Some(OpenOptions::new().append(true).open(&self.path)?);
        }
        match &mut self.appending {
            Some(file) => append_whole(file, &lines),
            None => Ok(()),
        }
    }

    fn record(&self, row: &SheetRow<'_>) -> Vec<String> {
        let own = match self.kind {
            SheetKind::Results => results_csv::cells(row),
            SheetKind::Failures => failures_csv::cells(row),
        };
        let theirs = row.cells.iter().enumerate().map(|(index, cell)| {
            // Cells are as the manifest has them; only the source column was read through
            // the escape, and so may carry one already.
            if self.kind == SheetKind::Failures && index == self.source_column {
                return escape_formula(&self.reachable(&unescape_formula(cell))).into_owned();
            }
            escape_formula(cell).into_owned()
        });
        // A bad row may have more or fewer cells than the header; the file must not.
        let width = self.header.len() - self.kind.own_columns().len();
        let padded = theirs.chain(std::iter::repeat(String::new())).take(width);
        padded.chain(own.into_iter().map(|cell| escape_formula(&cell).into_owned())).collect()
    }

    /// Returns a source as failures.csv must name it to be a manifest where it lies.
    fn reachable(&self, source: &str) -> String {
        let trimmed = source.trim();
        if trimmed.is_empty() || trimmed.contains("://") || Path::new(trimmed).is_absolute() {
            return source.to_owned();
        }
        failures_csv::rebase(trimmed, &self.manifest_dir, &self.job_dir)
    }
}

/// Appends all of `lines` or, when the disk is full in the middle of them, nothing.
fn append_whole(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(lines).inspect_err(|_| {
        // To make a file shorter needs no space; if even that fails, the first error says
        // what is wrong with the disk.
        let _ = file.set_len(before);
    })
}

/// The manifest's columns and ours; one of ours gets a prefix where the manifest has
/// the same name.
fn header(kind: SheetKind, columns: &[String]) -> Vec<String> {
    let taken = |name: &str| columns.iter().any(|column| column.trim().eq_ignore_ascii_case(name));
    let own = kind
        .own_columns()
        .iter()
        .map(|name| if taken(name) { format!("restore_{name}") } else { (*name).to_owned() });
    let theirs = columns.iter().map(|name| escape_formula(name).into_owned());
    theirs.chain(own).collect()
}

fn not_begun() -> io::Error {
    io::Error::other("no rewrite was begun")
}

/// Temporary files are private by default; results are meant to be read.
#[cfg(unix)]
fn readable_by_all() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o644)
}
