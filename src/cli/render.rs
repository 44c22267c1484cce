//! The only place of the command line that prints.

use std::io::{self, Write as _};

use miette::MietteHandlerOpts;

use serde::Serialize;

use super::error::AppError;

/// Sets how errors look: paths and commands must stay whole, so that they can be copied.
pub(super) fn prepare() {
    let whole_lines = |_: &_| -> Box<dyn miette::ReportHandler> {
        Box::new(MietteHandlerOpts::new().wrap_lines(false).break_words(false).build())
    };
    // Fails only when it was set before.
    let _ = miette::set_hook(Box::new(whole_lines));
}

/// Prints results on standard output.
pub(super) fn result(text: &str) {
    let mut out = io::stdout().lock();
    // `restore-batch status | head` closes the pipe early, and that is fine.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a result for programs on standard output.
pub(super) fn json(result: &impl Serialize) {
    // Plain data always becomes JSON.
    let text = serde_json::to_string_pretty(result).unwrap_or_default();
    self::result(&(text + "\n"));
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
