//! Where the API key is looked for.
//!
//! The names are those of the service's own tools: the variable `PIXAZO_API_KEY`, then
//! the file `~/.pixazo/api-key`. Before them comes what was asked for explicitly, and
//! the credential that systemd hands to a unit.

use std::{fmt, fs, io, path::PathBuf};

use secrecy::SecretString;

/// Environment variable with the key itself.
const VARIABLE: &str = "PIXAZO_API_KEY";

/// Name of the systemd credential (`LoadCredential=pixazo-api-key:…`).
const CREDENTIAL: &str = "pixazo-api-key";

/// File below the home folder.
const HOME_FILE: &str = ".pixazo/api-key";

/// Longest key that is believed; real ones have 32 characters.
const LONGEST: usize = 4_096;

/// A key and where it was found.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The key.
    pub secret: SecretString,
    /// The file or variable.
    pub origin: String,
    /// True when others on this machine can read the file.
    pub exposed: bool,
}

/// Where to look.
#[derive(Clone, Default)]
pub struct KeySearch {
    /// A file that was named explicitly.
    pub file: Option<PathBuf>,
    /// Value of `PIXAZO_API_KEY`.
    pub variable: Option<String>,
    /// systemd's `CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// The home folder.
    pub home: Option<PathBuf>,
}

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the API key in `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no key in it.
    #[error("`{0}` holds no API key; it must be one line")]
    NotAKey(String),
}

impl KeySearch {
    /// Returns the first key found, or `None` when there is none anywhere.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when a place exists and its content cannot be used; a later place
    /// is not tried then, because another key may belong to another wallet.
    pub fn find(&self) -> Result<Option<ApiKey>, KeyError> {
        if let Some(path) = &self.file {
            return read(path.clone(), true);
        }
        if let Some(text) = self.variable.as_ref().filter(|text| !text.trim().is_empty()) {
            return key(text, VARIABLE.to_owned(), false).map(Some);
        }
        let credential = self.credentials.as_ref().map(|folder| folder.join(CREDENTIAL));
        let home = self.home.as_ref().map(|folder| folder.join(HOME_FILE));
        for path in [credential, home].into_iter().flatten() {
            if let Some(found) = read(path, false)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn read(path: PathBuf, must_exist: bool) -> Result<Option<ApiKey>, KeyError> {
    match fs::read_to_string(&path) {
        Ok(text) => {
            let exposed = others_may_read(&path);
            key(&text, path.display().to_string(), exposed).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(source) => Err(KeyError::Unreadable { path, source }),
    }
}

fn key(text: &str, origin: String, exposed: bool) -> Result<ApiKey, KeyError> {
    let line = text.trim();
    let fits =
        !line.is_empty() && line.len() <= LONGEST && line.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        return Err(KeyError::NotAKey(origin));
    }
    Ok(ApiKey { secret: SecretString::from(line.to_owned()), origin, exposed })
}

fn others_may_read(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0)
}

impl fmt::Debug for KeySearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, variable, credentials, home } = self;
        f.debug_struct("KeySearch")
            .field("file", file)
            .field("variable", &variable.as_ref().map(|_| "[key]"))
            .field("credentials", credentials)
            .field("home", home)
            .finish()
    }
}

impl fmt::Display for KeySearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--api-key-file, {VARIABLE}, systemd credential {CREDENTIAL}, ~/{HOME_FILE}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn found(search: &KeySearch) -> Option<(String, String)> {
        let key = search.find().unwrap()?;
        Some((key.secret.expose_secret().to_owned(), key.origin))
    }

    #[test]
    fn places_are_tried_in_order() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at(".pixazo")).unwrap();
        fs::write(at(HOME_FILE), "home-key\n").unwrap();
        fs::write(at(CREDENTIAL), "unit-key").unwrap();
        fs::write(at("other"), " other-key \n").unwrap();

        let mut search = KeySearch { home: Some(home.path().into()), ..KeySearch::default() };
        assert_eq!(found(&search).unwrap().0, "home-key");
        search.credentials = Some(home.path().into());
        assert_eq!(found(&search).unwrap().0, "unit-key");
        search.variable = Some("variable-key".into());
        assert_eq!(found(&search).unwrap(), ("variable-key".into(), VARIABLE.into()));
        search.file = Some(at("other"));
        assert_eq!(found(&search).unwrap().0, "other-key");
        assert_eq!(found(&KeySearch::default()), None);
    }

    #[test]
    fn a_file_that_was_asked_for_must_hold_a_key() {
        let home = tempfile::tempdir().unwrap();
        let search = |name: &str| KeySearch {
            file: Some(home.path().join(name)),
            variable: Some("another".into()),
            ..KeySearch::default()
        };
        assert!(matches!(search("none").find(), Err(KeyError::Unreadable { .. })));
        fs::write(home.path().join("two"), "one\ntwo\n").unwrap();
        let error = search("two").find().unwrap_err().to_string();
        assert!(error.contains("one line") && !error.contains("one\ntwo"), "{error}");
    }

    #[test]
    fn debug_output_hides_the_key() {
        let search = KeySearch { variable: Some("s3cret".into()), ..KeySearch::default() };
        assert!(!format!("{:?}", search.find().unwrap()).contains("s3cret"));
        assert!(!format!("{search:?}").contains("s3cret"));
    }
}
