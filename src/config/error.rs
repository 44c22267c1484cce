//! What can be wrong with settings.

use std::{io, path::PathBuf};

use super::{keys::Key, raw::Origin};

/// A setting or a settings file cannot be used. Every variant names its origin.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A settings file cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A settings file is no TOML.
    #[error("`{}` line {line} is not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting `{name}`{}", suggestion.as_ref().map(|other| format!("; did you mean `{other}`?")).unwrap_or_default())]
    Unknown {
        /// What was written.
        name: String,
        /// Where.
        origin: Origin,
        /// The most similar name.
        suggestion: Option<&'static str>,
    },
    /// The file beside a manifest would send the user's key, or what the service tells of
    /// the user's photos, to an address of its choice.
    #[error(
        "{origin}: a file beside a manifest cannot send {what} to `{address}`; if you trust it, give it by `--{}` or `{}`{way_out}", key.flag(), key.variable()
    )]
    ForeignService {
        /// Where the address was written.
        origin: Origin,
        /// The setting that holds it.
        key: &'static Key,
        /// What would go there.
        what: &'static str,
        /// The address.
        address: String,
        /// What else permits it.
        way_out: &'static str,
    },
    /// A value does not fit.
    #[error("{origin}: `{name}` is `{value}`, which is not {expected}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What was written.
        value: String,
        /// Where.
        origin: Origin,
        /// What it must be.
        expected: String,
    },
}
