//! Gathers settings and key from flags, environment and files.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::{error::AppError, flags::SettingFlags};
use crate::{
    config::{ApiKey, ConfigError, KeySearch, RawConfig, Settings},
    core::is_loopback,
};

/// Settings with their origins.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) raw: RawConfig,
    pub(super) settings: Settings,
}

impl Context {
    /// Reads all sources; `manifest_dir` is where a settings file may lie.
    pub(super) fn load(
        flags: SettingFlags,
        local: bool,
        manifest_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let environment = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let user_dir = user_config_dir();
        let raw = RawConfig::load(local, user_dir.as_deref(), manifest_dir, environment, flags.0)?;
        let settings = Settings::new(&raw)?;
        Ok(Self { raw, settings })
    }

    /// Returns where a key is looked for.
    pub(super) fn key_search(&self) -> KeySearch {
        KeySearch {
            file: self.settings.api_key_file.clone(),
            variable: env::var("PIXAZO_API_KEY").ok(),
            credentials: env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            home: env::home_dir(),
        }
    }

    /// Returns the key, or says where one was looked for.
    pub(super) fn key(&self) -> Result<ApiKey, AppError> {
        let search = self.key_search();
        self.raw.permit_addresses()?;
        let base = &self.settings.base_url;
        if base.scheme() == "http" && !is_loopback(base) {
            tracing::warn!(%base, "the API key is sent unencrypted: use https");
        }
        let key = search.find()?.ok_or_else(|| AppError::NoKey { looked: search.to_string() })?;
        if key.exposed {
            tracing::warn!(file = key.origin, "other users can read the API key: chmod 600 it");
        }
        Ok(key)
    }
}

/// Returns the user's configuration folder by the XDG rules.
fn user_config_dir() -> Option<PathBuf> {
    xdg_dir("XDG_CONFIG_HOME", ".config")
}

/// Returns the user's data folder by the XDG rules.
pub(super) fn user_data_dir() -> Option<PathBuf> {
    xdg_dir("XDG_DATA_HOME", ".local/share")
}

/// Returns the folder that `variable` names, or else `usual` in the home folder.
fn xdg_dir(variable: &str, usual: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(usual)))
}
