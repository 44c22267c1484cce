//! The only place of the command line that prints.

use std::io::{self, Write as _};

use super::error::AppError;

/// Prints results on standard output.
pub(super) fn result(text: &str) {
    let mut out = io::stdout().lock();
    // `restore-batch status | head` closes the pipe early, and that is fine.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Tells a person something on standard error.
pub(super) fn note(text: &str) {
    // Nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error with its code and its advice on standard error.
pub(super) fn error(error: AppError) {
    note(&format!("{:?}", miette::Report::new(error)));
}
