//! What was written, where, and which one wins.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use config::{Source as _, Value, ValueKind};

use super::{
    error::ConfigError,
    keys::{KEYS, Key},
};

/// Name of the settings file beside a manifest.
const FILE_NAME: &str = "restore-batch.toml";

/// The user's own settings file, below the configuration folder.
pub const USER_CONFIG: &str = "restore-batch/restore-batch.toml";

/// Prefix of environment variables.
const PREFIX: &str = "RESTORE_BATCH";

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default.
    Default,
    /// Nowhere: the default of `--local`.
    LocalDefault,
    /// A settings file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 when unknown.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::LocalDefault => f.write_str("default with --local"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// What was written for one setting; several texts for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawValue {
    /// The texts.
    pub texts: Vec<String>,
    /// Where they stand.
    pub origin: Origin,
}

/// What was written for every setting, the winner of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawConfig {
    values: BTreeMap<&'static str, RawValue>,
    /// The settings file beside the manifest, unless it is the user's own.
    beside: Option<PathBuf>,
}

impl RawConfig {
    /// Reads all sources. `beside` is the manifest's folder, `user_dir` the user's
    /// configuration folder, `environment` all variables, `flags` what was typed.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a file that cannot be read and for names that do not exist.
    pub fn load(
        local: bool,
        user_dir: Option<&Path>,
        beside: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: Vec<(&'static str, Vec<String>)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::defaults(local);
        let own = user_dir.map(|folder| folder.join(USER_CONFIG));
        if let Some(own) = &own {
            config.read_file(own)?;
        }
        if let Some(folder) = beside {
            let file = folder.join(FILE_NAME);
            config.read_file(&file)?;
            config.beside = Some(file).filter(|file| Some(file) != own.as_ref());
        }
        config.read_environment(environment)?;
        for (name, texts) in flags {
            let origin = Origin::Flag(name.replace('_', "-"));
            config.values.insert(name, RawValue { texts, origin });
        }
        Ok(config)
    }

    fn defaults(local: bool) -> Self {
        let value = |key: &Key| {
            let special = key.local.filter(|_| local);
            let text = special.unwrap_or(key.default);
            let origin = if special.is_some() { Origin::LocalDefault } else { Origin::Default };
            let texts = Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
            RawValue { texts: texts.into_iter().collect(), origin }
        };
        Self { values: KEYS.iter().map(|key| (key.name, value(key))).collect(), beside: None }
    }

    /// Makes sure that the API key, and what the service calls back with, go where the
    /// user wants them to go.
    ///
    /// A manifest may be somebody else's, and the file beside it with it. That file may
    /// name another service only when the user has named a key for this very run, by
    /// `--api-key-file` or its variable; a `PIXAZO_API_KEY` that every shell exports was
    /// not named for anything. It never says where callbacks go: no key stands for that.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ForeignService`] when something would go to such an address.
    pub fn permit_addresses(&self) -> Result<(), ConfigError> {
        self.permit_address("webhook_url", "the addresses of your restored photos", "")?;
        let key_file = self.get("api_key_file").filter(|file| !file.texts.is_empty());
        let named = key_file
            .is_some_and(|file| matches!(file.origin, Origin::Flag(_) | Origin::Environment(_)));
        if named {
            return Ok(());
        }
        let or_name_a_key =
            ", or name a key for it by `--api-key-file` or `RESTORE_BATCH_API_KEY_FILE`";
        self.permit_address("base_url", "your API key", or_name_a_key)
    }

    fn permit_address(
        &self,
        name: &str,
        what: &'static str,
        way_out: &'static str,
    ) -> Result<(), ConfigError> {
        let Some(RawValue { texts, origin }) = self.get(name) else { return Ok(()) };
        let Origin::File { path, .. } = origin else { return Ok(()) };
        let Some(key) = Key::find(name) else { return Ok(()) };
        let usual = texts.iter().all(|text| text.trim().trim_end_matches('/') == key.default);
        if usual || self.beside.as_ref() != Some(path) {
            return Ok(());
        }
        let address = texts.join(", ");
        Err(ConfigError::ForeignService { origin: origin.clone(), key, what, address, way_out })
    }

    /// Returns what was written for a setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.values.get(name)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        let lines = key_lines(path, &text)?;
        let file = config::File::from_str(&text, config::FileFormat::Toml);
        let collected = file.collect().map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: 1,
            message: error.to_string(),
        })?;
        for (name, value) in collected {
            let line = lines.get(&name).copied().unwrap_or(0);
            let origin = Origin::File { path: path.to_owned(), line };
            self.set(&name, value, origin)?;
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let variables = environment.into_iter().collect();
        let source = config::Environment::with_prefix(PREFIX)
            .prefix_separator("_")
            .ignore_empty(true)
            .source(Some(variables));
        // Reading a map that is in memory already cannot fail.
        for (name, value) in source.collect().unwrap_or_default() {
            let variable = format!("{PREFIX}_{}", name.to_ascii_uppercase());
            self.set(&name, value, Origin::Environment(variable))?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = Key::find(name) else {
            let suggestion = most_similar(name);
            return Err(ConfigError::Unknown { name: name.to_owned(), origin, suggestion });
        };
        let invalid = |origin| ConfigError::Invalid {
            name: key.name,
            value: "a table".to_owned(),
            origin,
            expected: "a single value or a list".to_owned(),
        };
        let values = match value.kind {
            ValueKind::Array(values) => values,
            ValueKind::Table(_) => return Err(invalid(origin)),
            _ => vec![value],
        };
        let texts: Result<Vec<_>, _> = values.into_iter().map(Value::into_string).collect();
        let texts = texts.map_err(|_| invalid(origin.clone()))?;
        self.values.insert(key.name, RawValue { texts, origin });
        Ok(())
    }
}

/// Returns the line of every key at the top of a TOML text.
fn key_lines(path: &Path, text: &str) -> Result<BTreeMap<String, usize>, ConfigError> {
    let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let table = toml::de::DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let keys = table.get_ref().iter();
    Ok(keys.map(|(key, _)| (key.get_ref().to_lowercase(), line_of(key.span().start))).collect())
}

/// Returns the setting whose name differs in the fewest letters, if it is close.
fn most_similar(name: &str) -> Option<&'static str> {
    let distance = |key: &&Key| edit_distance(name, key.name);
    KEYS.iter().min_by_key(distance).filter(|key| distance(key) <= 3).map(|key| key.name)
}

/// Levenshtein distance, one row at a time.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, candidate) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: &str,
        environment: &[(&str, &str)],
        flags: Vec<(&'static str, Vec<String>)>,
    ) -> Result<RawConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), file).unwrap();
        let variables =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RawConfig::load(false, None, Some(folder.path()), variables, flags)
    }

    #[test]
    fn flags_win_over_environment_over_file_over_default() {
        let file = "scale = 1\nsubmit_rate = 2.5\nin_flight = 9";
        let environment =
            [("RESTORE_BATCH_SUBMIT_RATE", "3"), ("RESTORE_BATCH_IN_FLIGHT", "10"), ("PATH", "/")];
        let flags = vec![("in_flight", vec!["11".to_owned()])];
        let config = load(file, &environment, flags).unwrap();
        let text = |name: &str| config.get(name).unwrap().texts.join(",");
        assert_eq!(
            [text("scale"), text("submit_rate"), text("in_flight"), text("poll_rate")],
            ["1", "3", "11", "20"]
        );
        assert_eq!(config.get("in_flight").unwrap().origin.to_string(), "flag --in-flight");
        assert!(matches!(config.get("scale").unwrap().origin, Origin::File { line: 1, .. }));
    }

    #[test]
    fn unknown_names_are_refused_with_their_line_and_a_suggestion() {
        let error = load("\n\nsubmit_rat = 1", &[], vec![]).unwrap_err().to_string();
        assert!(
            error.contains("line 3") && error.contains("did you mean `submit_rate`"),
            "{error}"
        );
        let error = load("", &[("RESTORE_BATCH_COLOUR", "1")], vec![]).unwrap_err().to_string();
        assert_eq!(error, "environment RESTORE_BATCH_COLOUR: there is no setting `colour`");
    }

    #[test]
    fn a_broken_file_names_its_line() {
        let error = load("scale = 2\nprice = = 1", &[], vec![]).unwrap_err().to_string();
        assert!(error.contains("restore-batch.toml` line 2 is not TOML"), "{error}");
    }

    #[test]
    fn a_file_that_came_with_a_manifest_cannot_take_the_key_elsewhere() {
        let foreign = "base_url = 'https://evil.example'\napi_key_file = '/home/me/key'";
        let key_file = || vec![("api_key_file", vec!["k".to_owned()])];
        let base_url = || vec![("base_url", vec!["https://own.example".to_owned()])];
        let variable = [("RESTORE_BATCH_API_KEY_FILE", "k")];
        for (file, environment, flags, permitted) in [
            (foreign, &[][..], vec![], false),
            (foreign, &[("PIXAZO_API_KEY", "k")], vec![], false),
            (foreign, &[], key_file(), true),
            (foreign, &variable, vec![], true),
            (foreign, &[], base_url(), true),
            (foreign, &[("RESTORE_BATCH_BASE_URL", "https://own.example")], vec![], true),
            ("base_url = 'https://gateway.pixazo.ai/'", &[], vec![], true),
            ("base_url = 'https://gateway.pixazo.ai.evil.example'", &[], vec![], false),
            ("scale = 1", &[], vec![], true),
        ] {
            let config = load(file, environment, flags).unwrap();
            let verdict = config.permit_addresses();
            assert_eq!(verdict.is_ok(), permitted, "{file} {environment:?} {verdict:?}");
        }
        let error = load(foreign, &[], vec![]).unwrap().permit_addresses().unwrap_err().to_string();
        assert!(error.contains("restore-batch.toml line 1"), "{error}");
        assert!(
            error.contains("`--base-url` or `RESTORE_BATCH_BASE_URL`, or name a key"),
            "{error}"
        );

        // The user's own file is the user's word, also when a manifest lies beside it.
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join(USER_CONFIG);
        fs::create_dir(own.parent().unwrap()).unwrap();
        fs::write(&own, foreign).unwrap();
        for beside in [None, own.parent()] {
            let config = RawConfig::load(false, Some(home.path()), beside, [], vec![]).unwrap();
            assert!(config.permit_addresses().is_ok());
        }
    }

    #[test]
    fn no_key_lets_a_file_that_came_with_a_manifest_choose_where_callbacks_go() {
        let foreign = "webhook_url = 'https://evil.example'";
        let flag = |name| vec![(name, vec!["https://own.example".to_owned()])];
        for (file, environment, flags, permitted) in [
            (foreign, &[][..], vec![], false),
            (foreign, &[("PIXAZO_API_KEY", "k")], vec![], false),
            (foreign, &[("RESTORE_BATCH_API_KEY_FILE", "k")], flag("api_key_file"), false),
            (foreign, &[], flag("webhook_url"), true),
            (foreign, &[("RESTORE_BATCH_WEBHOOK_URL", "https://own.example")], vec![], true),
            ("webhook_url = ''", &[], vec![], true),
        ] {
            let verdict = load(file, environment, flags).unwrap().permit_addresses();
            assert_eq!(verdict.is_ok(), permitted, "{file} {environment:?} {verdict:?}");
        }
        let error = load(foreign, &[], vec![]).unwrap().permit_addresses().unwrap_err().to_string();
        assert!(error.ends_with("by `--webhook-url` or `RESTORE_BATCH_WEBHOOK_URL`"), "{error}");

        let home = tempfile::tempdir().unwrap();
        let own = home.path().join(USER_CONFIG);
        fs::create_dir(own.parent().unwrap()).unwrap();
        fs::write(&own, foreign).unwrap();
        let config = RawConfig::load(false, Some(home.path()), own.parent(), [], vec![]).unwrap();
        assert!(config.permit_addresses().is_ok(), "the user's own file");
    }

    #[test]
    fn lists_may_have_several_values() {
        let config = load("public_base = ['a=http://x', 'b=http://y']", &[], vec![]).unwrap();
        assert_eq!(config.get("public_base").unwrap().texts.len(), 2);
    }

    #[test]
    fn distances_are_counted_in_letters() {
        for (one, other, expected) in
            [("", "abc", 3), ("rate", "rate", 0), ("rat", "rate", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(edit_distance(one, other), expected);
        }
    }
}
