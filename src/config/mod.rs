//! Settings: where they come from, which one wins, and whether they make sense.
//!
//! ```text
//! flags > environment > restore-batch.toml beside the manifest > the user's own > defaults
//! ```
//!
//! One table, [`KEYS`], names every setting once; flags, environment variables, file
//! keys, `check --show` and the README's table all come from it. [`RawConfig`] holds
//! what was written, with its origin; [`Settings`] cannot be invalid.

mod api_key;
mod error;
mod keys;
mod raw;
mod settings;

pub use api_key::{ApiKey, KeyError, KeySearch};
pub use error::ConfigError;
pub use keys::{KEYS, Key, KeyKind};
pub use raw::{Origin, RawConfig, RawValue, USER_CONFIG};
pub use settings::{LogFormat, Settings};
