//! The keys that a gateway accepts: a file of them, hashed.
//!
//! ```toml
//! [[key]]
//! name = "scanner-room"
//! blake3 = "…64 hexadecimal digits…"  # of the key; the key itself is stored nowhere
//! rate = 5                             # submits per second; left out: as `--rate` says
//! balance = "12.50"                    # USD granted in all; left out: as `--balance` says
//! webhook_secret = "whsec_…"           # signs callbacks
//! ```
//!
//! A plain hash is enough because keys are 244 random bits: there is nothing to guess.

use std::{fs, io, path::Path, path::PathBuf};

use governor::Quota;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::IgnoredAny};
use standardwebhooks::Webhook;
use toml::Spanned;
use uuid::Uuid;

use crate::{core::Micros, fetch::write_whole};

/// How secrets begin that sign callbacks.
const SECRET_PREFIX: &str = "whsec_";

/// Who may submit.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Names the account in the books: requests and money belong to the name, so that a key
    /// can be exchanged.
    pub name: String,
    /// BLAKE3 of the key.
    pub blake3: blake3::Hash,
    /// How often it may submit; `None` for what all keys may.
    pub rate: Option<Quota>,
    /// What it may spend in all; `None` for what all keys may.
    pub balance: Option<Micros>,
    /// Signs its callbacks.
    pub webhook_secret: Option<SecretString>,
}

impl AccessKey {
    /// Makes an entry for a plain key, with what all keys may.
    #[must_use]
    pub fn new(name: &str, key: &SecretString) -> Self {
        let blake3 = blake3::hash(key.expose_secret().as_bytes());
        Self { name: name.to_owned(), blake3, rate: None, balance: None, webhook_secret: None }
    }

    /// Returns a new random key: `rb_` and 64 hexadecimal digits from 244 random bits.
    #[must_use]
    pub fn random() -> SecretString {
        SecretString::from(format!("rb_{}", random_word()))
    }

    /// Adds a new secret that signs callbacks.
    #[must_use]
    pub fn with_webhook_secret(self) -> Self {
        // Hexadecimal digits are base64 too, of 48 bytes with 244 random bits in them.
        let secret = format!("{SECRET_PREFIX}{}", random_word());
        Self { webhook_secret: Some(SecretString::from(secret)), ..self }
    }

    /// Returns the entry of a key file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let name = toml::Value::from(self.name.as_str());
        let secret = self.webhook_secret.as_ref().map(|secret| {
            let secret = toml::Value::from(secret.expose_secret());
            format!("webhook_secret = {secret}\n")
        });
        let (hash, secret) = (self.blake3.to_hex(), secret.unwrap_or_default());
        format!("[[key]]\nname = {name}\nblake3 = \"{hash}\"\n{secret}")
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] with the line that is wrong; a file without keys, too.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, KeyFileError> {
        let text = fs::read_to_string(path).map_err(KeyFileError::io(path))?;
        let keys = parse(&text).map_err(|fault| fault.at(path, &text))?;
        if keys.is_empty() {
            return Err(KeyFileError::Empty(path.to_owned()));
        }
        Ok(keys)
    }

    /// Adds the entry to a key file, which is made if missing, readable for its owner only.
    /// The file is replaced whole or not at all.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] when the file cannot be read or written, or knows the name.
    pub fn append_to(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(KeyFileError::io(path)(error)),
        };
        if !text.is_empty() {
            text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
        }
        text.push_str(&self.to_toml());
        parse(&text).map_err(|fault| fault.at(path, &text))?;
        write_whole(path, text.as_bytes()).map_err(KeyFileError::io(path))
    }
}

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file `{}` cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("`{}` line {line}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, and what helps.
        what: String,
    },
    /// It has no entry.
    #[error("`{}` holds no key, so nobody could submit; add one, or leave `--keys` out on loopback", .0.display())]
    Empty(PathBuf),
}

impl KeyFileError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What is wrong at an offset of the text.
struct Fault {
    offset: usize,
    what: String,
}

impl Fault {
    fn new<T>(at: &Spanned<T>, what: impl Into<String>) -> Self {
        Self { offset: at.span().start, what: what.into() }
    }

    fn at(self, path: &Path, text: &str) -> KeyFileError {
        let before = text.as_bytes().iter().take(self.offset);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        KeyFileError::Invalid { path: path.to_owned(), line, what: self.what }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    blake3: Option<Spanned<String>>,
    rate: Option<Spanned<f64>>,
    balance: Option<Spanned<toml::Value>>,
    webhook_secret: Option<Spanned<String>>,
    /// What people write who have not read the manual.
    key: Option<Spanned<IgnoredAny>>,
}

fn parse(text: &str) -> Result<Vec<AccessKey>, Fault> {
    let file: KeysFile = toml::from_str(text).map_err(|error| Fault {
        offset: error.span().map_or(0, |span| span.start),
        what: syntax(text, &error),
    })?;
    let mut keys: Vec<AccessKey> = Vec::new();
    for entry in file.key {
        let key = access_key(&entry)?;
        let twice = |other: &AccessKey| other.name == key.name || other.blake3 == key.blake3;
        if keys.iter().any(twice) {
            return Err(Fault::new(&entry.name, "another entry has this name or this key"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Says what the parser says without quoting the line: it may hold a key.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    if !text.contains("[[key]]") {
        return "no `[[key]]` entry; keys are kept hashed, make an entry with `restore-batch \
                gateway-key NAME --file FILE`, or with `--stdin` for a key that exists"
            .to_owned();
    }
    error.message().to_owned()
}

fn access_key(entry: &Entry) -> Result<AccessKey, Fault> {
    let name = entry.name.get_ref();
    let printable = name.chars().all(|c| !c.is_control());
    if name.is_empty() || name.len() > 100 || !printable {
        return Err(Fault::new(&entry.name, "`name` must be 1 to 100 printable characters"));
    }
    if let Some(key) = &entry.key {
        let what = "a plain key must not be kept here; replace the line by its hash, which \
                    `restore-batch gateway-key NAME --stdin` prints";
        return Err(Fault::new(key, what));
    }
    let Some(hash) = &entry.blake3 else {
        return Err(Fault::new(&entry.name, "the entry has no `blake3`, the hash of its key"));
    };
    let blake3 = blake3::Hash::from_hex(hash.get_ref()).map_err(|_| {
        let what = "`blake3` must be the 64 hexadecimal digits that `restore-batch gateway-key` \
                    prints";
        Fault::new(hash, what)
    })?;
    Ok(AccessKey {
        name: name.clone(),
        blake3,
        rate: entry.rate.as_ref().map(quota).transpose()?,
        balance: entry.balance.as_ref().map(balance).transpose()?,
        webhook_secret: entry.webhook_secret.as_ref().map(webhook_secret).transpose()?,
    })
}

fn quota(rate: &Spanned<f64>) -> Result<Quota, Fault> {
    let what = "`rate` must be a number of submits per second from 0.001 to 100000";
    let per_second = *rate.get_ref();
    if !(0.001..=100_000.0).contains(&per_second) {
        return Err(Fault::new(rate, what));
    }
    let quota = Quota::with_period(std::time::Duration::from_secs_f64(1.0 / per_second));
    // A second's worth at once, as `--rate` has it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 1..=100000")]
    let burst = std::num::NonZeroU32::new(per_second.ceil() as u32);
    let (quota, burst) = quota.zip(burst).ok_or_else(|| Fault::new(rate, what))?;
    Ok(quota.allow_burst(burst))
}

/// Reads `"12.50"`, and also 12.5 and 12: the parser prints numbers as short as they are.
fn balance(balance: &Spanned<toml::Value>) -> Result<Micros, Fault> {
    let text = match balance.get_ref() {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse().map_err(|error| Fault::new(balance, format!("`balance`: {error}")))
}

/// Returns 64 hexadecimal digits from 244 random bits.
fn random_word() -> String {
    let random = || Uuid::new_v4().simple();
    format!("{}{}", random(), random())
}

/// Checks the form that <https://www.standardwebhooks.com> gives secrets.
fn webhook_secret(secret: &Spanned<String>) -> Result<SecretString, Fault> {
    let text = secret.get_ref();
    match text.strip_prefix(SECRET_PREFIX) {
        Some(rest) if rest.len() >= 32 && Webhook::new(text).is_ok() => {
            Ok(SecretString::from(text.clone()))
        }
        _ => Err(Fault::new(
            secret,
            "`webhook_secret` must be `whsec_` and the base64 of 24 to 64 random bytes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    fn read(text: &str) -> Result<Vec<AccessKey>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, text).unwrap();
        AccessKey::read_file(&path)
            .map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "DIR"))
    }

    #[test]
    fn entries_are_read_with_what_they_allow() {
        let other = blake3::hash(b"other").to_hex();
        let secret = format!("whsec_{}", "A".repeat(32));
        let keys = read(&format!(
            "# ours\n[[key]]\nname = \"one\"\nblake3 = \"{HASH}\"\n\n[[key]]\nname = \"two\"\n\
             blake3 = \"{other}\"\nrate = 5\nbalance = 12.5\nwebhook_secret = \"{secret}\"\n"
        ))
        .unwrap();
        assert_eq!((keys[0].name.as_str(), keys[0].blake3.to_hex().as_str()), ("one", HASH));
        assert!(keys[0].rate.is_none() && keys[0].balance.is_none());
        assert_eq!(keys[1].balance, Some(Micros(12_500_000)));
        assert_eq!(keys[1].rate.unwrap().burst_size().get(), 5);
        assert_eq!(keys[1].webhook_secret.as_ref().unwrap().expose_secret(), secret);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_no_secret() {
        let entry = format!("[[key]]\nname = \"a\"\nblake3 = \"{HASH}\"\n");
        for (text, expected) in [
            ("s3cret-key\n".to_owned(), "line 1: no `[[key]]` entry"),
            (String::new(), "holds no key"),
            ("[[key]]\nname = \"a\"\nkey = \"s3cret\"".to_owned(), "line 3: a plain key"),
            ("[[key]]\nname = \"a\"".to_owned(), "line 2: the entry has no `blake3`"),
            ("[[key]]\nname = \"a\"\nblake3 = \"s3cret\"".to_owned(), "line 3: `blake3` must"),
            (format!("{entry}rate = 0"), "line 4: `rate` must"),
            (format!("{entry}balance = -1"), "line 4: `balance`: "),
            (format!("{entry}webhook_secret = \"s3cret\""), "line 4: `webhook_secret` must"),
            (
                format!("{entry}webhook_secret = \"whsec_{}\"", "s3cret-*".repeat(6)),
                "line 4: `webhook_secret` must",
            ),
            (format!("{entry}rats = 1"), "line 4: unknown field `rats`"),
            (format!("{entry}{entry}"), "line 5: another entry has this name"),
            (format!("[[key]]\nname = \"\"\nblake3 = \"{HASH}\""), "line 2: `name` must"),
            (format!("{entry}s3cret"), "line 4: "),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn entries_are_appended_whole_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for name in ["one", "two \"quoted\""] {
            let entry = AccessKey::new(name, &AccessKey::random()).with_webhook_secret();
            entry.append_to(&path).unwrap();
        }
        let again = AccessKey::new("one", &AccessKey::random()).append_to(&path).unwrap_err();
        assert!(again.to_string().contains("another entry has this name"), "{again}");
        let keys = AccessKey::read_file(&path).unwrap();
        let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["one", "two \"quoted\""]);
        assert!(keys.iter().all(|key| key.webhook_secret.is_some()));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn keys_are_long_and_never_the_same() {
        let [one, other] = [AccessKey::random(), AccessKey::random()];
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len(), 67);
    }
}
