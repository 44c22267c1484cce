//! Why a manifest as a whole cannot be used.

use std::io;

/// The input is no manifest, or stopped being one.
///
/// A row that cannot be used is no such error: it becomes a failed
/// [`Row`](super::Row).
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be opened.
    #[error("cannot open the manifest `{file}`")]
    Open {
        /// The file as the user named it.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The name is a folder's.
    #[error("the manifest `{file}` is a folder")]
    Folder {
        /// The file as the user named it.
        file: String,
    },
    /// Reading broke off.
    #[error("cannot read the manifest `{file}` after line {line}")]
    Read {
        /// The file as the user named it.
        file: String,
        /// The line that was being read.
        line: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is nothing in it but perhaps blank lines.
    #[error("the manifest `{file}` is empty")]
    Empty {
        /// The file as the user named it.
        file: String,
    },
    /// It is text of another encoding.
    #[error("line {line} of the manifest `{file}` is {encoding}, not UTF-8")]
    Encoding {
        /// The file as the user named it.
        file: String,
        /// The first line that is not UTF-8.
        line: u64,
        /// What it is instead, such as `UTF-16`.
        encoding: &'static str,
    },
    /// It is a file of another kind.
    #[error("`{file}` is no manifest: it looks like {kind}")]
    OtherFile {
        /// The file as the user named it.
        file: String,
        /// What it looks like, with its article.
        kind: &'static str,
    },
    /// No column names the pictures.
    #[error(
        "line {line} of the manifest `{file}` names no column of sources: found {}, need one of {}",
        quoted(found),
        quoted(accepted)
    )]
    NoSourceColumn {
        /// The file as the user named it.
        file: String,
        /// Where the header is.
        line: u64,
        /// The column names found.
        found: Vec<String>,
        /// The names that would do.
        accepted: &'static [&'static str],
    },
    /// A column that decides what is done is there twice.
    #[error("line {line} of the manifest `{file}` has two columns `{column}`")]
    DuplicateColumn {
        /// The file as the user named it.
        file: String,
        /// Where the header is.
        line: u64,
        /// The name that is there twice.
        column: String,
    },
    /// The header does not fit into the limits of a row.
    #[error("the header of the manifest `{file}` is not usable: {reason}")]
    Header {
        /// The file as the user named it.
        file: String,
        /// Where the header is.
        line: u64,
        /// Which limit it breaks.
        reason: String,
    },
    /// The first line of a JSON Lines file is no object.
    #[error("line {line} of the manifest `{file}` is no JSON object: {reason}")]
    NotJsonLines {
        /// The file as the user named it.
        file: String,
        /// The first line with text.
        line: u64,
        /// What was found.
        reason: String,
    },
    /// A quoted cell does not end.
    #[error("the quote opened on line {line} of the manifest `{file}` is never closed")]
    UnclosedQuote {
        /// The file as the user named it.
        file: String,
        /// Where the quote was opened.
        line: u64,
    },
    /// A line does not end.
    #[error("line {line} of the manifest `{file}` does not end within {limit} bytes")]
    EndlessLine {
        /// The file as the user named it.
        file: String,
        /// Where the line begins.
        line: u64,
        /// How far was read.
        limit: u64,
    },
}

impl ManifestError {
    /// Returns the line to look at, where one is known.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Open { .. }
            | Self::Folder { .. }
            | Self::Empty { .. }
            | Self::OtherFile { .. } => None,
            Self::Read { line, .. }
            | Self::Encoding { line, .. }
            | Self::NoSourceColumn { line, .. }
            | Self::DuplicateColumn { line, .. }
            | Self::Header { line, .. }
            | Self::NotJsonLines { line, .. }
            | Self::UnclosedQuote { line, .. }
            | Self::EndlessLine { line, .. } => Some(*line),
        }
    }

    /// Returns the next step for the user, as one sentence without a full stop.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Open { .. } => "check the name; `-` reads the manifest from standard input",
            Self::Folder { .. } => {
                "name a CSV or JSON Lines file, or list the folder's files in one"
            }
            Self::Read { .. } => "check the disk or the program that writes to standard input",
            Self::Empty { .. } => {
                "write a header line with the column `img` and a line per picture"
            }
            Self::Encoding { .. } => {
                "save the file as UTF-8; spreadsheets call it \"CSV UTF-8 (comma delimited)\""
            }
            Self::OtherFile { .. } => {
                "a manifest is a text file: CSV with the column `img`, or JSON Lines; \
                 export a spreadsheet as \"CSV UTF-8\""
            }
            Self::NoSourceColumn { .. } => {
                "name the column of addresses or paths `img` in the first line"
            }
            Self::DuplicateColumn { .. } => "rename or remove one of the two columns",
            Self::Header { .. } => {
                "check that the first line holds the column names and nothing else"
            }
            Self::NotJsonLines { .. } => {
                "write one object a line, such as {\"img\":\"photo.jpg\"}, without a list around them"
            }
            Self::UnclosedQuote { .. } => {
                "close the quote, or write a quote inside a cell twice and quote the whole cell"
            }
            Self::EndlessLine { .. } => "check that the file is a manifest and has line ends",
        }
    }
}

/// Shows at most this many column names.
const MOST_NAMES: usize = 20;

fn quoted(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(|name| {
        let short: String = name.as_ref().chars().take(40).collect();
        format!("`{}`", short.escape_debug())
    });
    let mut list = shown.collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMES {
        list.push_str(", …");
    }
    list
}
