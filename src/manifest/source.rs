//! Where a picture is.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use url::Url;

use crate::core::normalise_path;

/// Words that begin an address even without `//`, so that `data:image/png;…` is
/// not looked for as a file. Any other `word:` may begin a file name.
const SCHEMES: [&str; 9] =
    ["http", "https", "s3", "ftp", "file", "data", "blob", "about", "javascript"];

/// Where a picture is, checked for form only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An `http` or `https` address, without fragment.
    Url(Url),
    /// A file, absolute and without `.` and `..`.
    Path(PathBuf),
    /// An object of an S3 bucket, `s3://BUCKET/KEY`. The percent-decoded path is
    /// the key as written.
    Bucket(Url),
}

/// What is written is no source.
///
/// The messages complete "column `img`: …". They do not repeat addresses, because
/// an address may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing is written.
    #[error("is empty")]
    Empty,
    /// A character that no address and no sane file name has.
    #[error("holds the control character {:?}", .0)]
    ControlCharacter(char),
    /// An address of a kind that is not supported.
    #[error("`{0}:` is not supported; use `https://`, `http://`, `s3://` or a path")]
    Scheme(String),
    /// It begins like an address, but is none.
    #[error("is not a valid address: {0}")]
    Address(String),
    /// User name or password in the address.
    #[error("has a user name or password in the address; use a signed address instead")]
    Credentials,
    /// A name that can only be a folder's.
    #[error("names a folder, not a file")]
    Folder,
    /// A key that addresses cannot carry unchanged.
    #[error("needs the form `s3://BUCKET/KEY`, without `.` or `..` between slashes")]
    BucketKey,
}

impl Source {
    /// Reads a source as written in a manifest; paths are resolved against
    /// `base_dir`, which is absolute.
    ///
    /// # Errors
    ///
    /// [`SourceError`] says what is wrong with the text. Whether the picture exists
    /// is not asked.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if let Some(control) = text.chars().find(|character| character.is_control()) {
            return Err(SourceError::ControlCharacter(control));
        }
        match scheme(text).as_deref() {
            Some("http" | "https") => parse_url(text).map(Self::Url),
            Some("s3") => parse_bucket(text).map(Self::Bucket),
            Some(other) => Err(SourceError::Scheme(other.to_owned())),
            None => parse_path(text, base_dir).map(Self::Path),
        }
    }

    /// Returns the text that makes two sources the same one.
    ///
    /// A path below `base_dir` counts from there: an archive that is moved together
    /// with its manifest keeps its items, and nothing is paid for again.
    #[must_use]
    pub fn identity(&self, base_dir: &Path) -> Cow<'_, str> {
        match self {
            Self::Url(url) | Self::Bucket(url) => Cow::Borrowed(url.as_str()),
            Self::Path(path) => path.strip_prefix(base_dir).unwrap_or(path).to_string_lossy(),
        }
    }
}

/// Returns the scheme in lower case, if the text begins with one (RFC 3986, 3.1).
/// One letter is a Windows drive.
fn scheme(text: &str) -> Option<String> {
    let (word, rest) = text.split_once(':')?;
    let formed = word.len() > 1
        && word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let word = word.to_ascii_lowercase();
    (formed && (rest.starts_with("//") || SCHEMES.contains(&word.as_str()))).then_some(word)
}

fn parse_url(text: &str) -> Result<Url, SourceError> {
    let mut url = parse_address(text)?;
    url.set_fragment(None);
    Ok(url)
}

/// S3 keys are not percent-encoded where they are written, so what would mean
/// something in an address is encoded first.
fn parse_bucket(text: &str) -> Result<Url, SourceError> {
    let encoded = text.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let url = parse_address(&encoded)?;
    let key = text.splitn(4, '/').nth(3).unwrap_or_default();
    if key.is_empty()
        || key.ends_with('/')
        || key.split('/').any(|part| part == "." || part == "..")
    {
        return Err(SourceError::BucketKey);
    }
    Ok(url)
}

fn parse_address(text: &str) -> Result<Url, SourceError> {
    let (_, after_scheme) = text.split_once(':').unwrap_or_default();
    // The URL standard also reads `http:x` and `http:///x`; who writes that errs.
    let Some(host) = after_scheme.strip_prefix("//") else {
        return Err(SourceError::Address("`//` is missing after the scheme".to_owned()));
    };
    if host.is_empty() || host.starts_with(['/', '?', '#']) {
        return Err(SourceError::Address("the host is missing".to_owned()));
    }
    let url = Url::parse(text).map_err(|error| SourceError::Address(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::Credentials);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(SourceError::Address("the host is missing".to_owned()));
    }
    Ok(url)
}

fn parse_path(text: &str, base_dir: &Path) -> Result<PathBuf, SourceError> {
    let path = normalise_path(&base_dir.join(text));
    let last = text.rsplit('/').next().unwrap_or(text);
    if matches!(last, "" | "." | "..") || path.file_name().is_none() {
        return Err(SourceError::Folder);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, SourceError> {
        Source::parse(text, Path::new("/data/job"))
    }

    fn identity(text: &str) -> String {
        parse(text).unwrap().identity(Path::new("/elsewhere")).into_owned()
    }

    #[test]
    fn addresses_are_kept_as_written_but_for_the_fragment() {
        assert_eq!(
            identity("HTTPS://Example.com:443/a%20b/%C3%A4.jpg?sig=A%2Fb&x#top"),
            "https://example.com/a%20b/%C3%A4.jpg?sig=A%2Fb&x"
        );
        assert_eq!(identity("http://[::1]:8080/a.jpg"), "http://[::1]:8080/a.jpg");
        assert!(matches!(parse("http://x/a.jpg"), Ok(Source::Url(_))));
    }

    #[test]
    fn paths_are_resolved_by_name() {
        for (text, path) in [
            ("a.jpg", "/data/job/a.jpg"),
            ("  ./x/../a b.jpg ", "/data/job/a b.jpg"),
            ("../../../../etc/a.jpg", "/etc/a.jpg"),
            ("/abs/./a.jpg", "/abs/a.jpg"),
            ("photo 12:30.jpg", "/data/job/photo 12:30.jpg"),
            ("scan:1.jpg", "/data/job/scan:1.jpg"),
            ("50%.jpg", "/data/job/50%.jpg"),
            ("what?#1.jpg", "/data/job/what?#1.jpg"),
        ] {
            assert_eq!(parse(text), Ok(Source::Path(path.into())), "{text}");
        }
        for folder in [".", "..", "a/", "a/..", "/"] {
            assert_eq!(parse(folder), Err(SourceError::Folder), "{folder}");
        }
    }

    #[test]
    fn bucket_keys_survive_as_written() {
        for key in ["a.jpg", "Folder X/100%#1?.jpg", "a%20b.jpg", "\u{e4}/+.jpg"] {
            let Ok(Source::Bucket(url)) = parse(&format!("s3://My-bucket.1/{key}")) else {
                panic!("{key} is no bucket source");
            };
            let path = percent_encoding::percent_decode_str(url.path()).decode_utf8().unwrap();
            assert_eq!(path.strip_prefix('/'), Some(key));
            assert_eq!((url.query(), url.fragment()), (None, None));
        }
        for text in ["s3://bucket", "s3://bucket/", "s3://bucket/a/", "s3://bucket/a/../b"] {
            assert_eq!(parse(text), Err(SourceError::BucketKey), "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_told_in_words() {
        for (text, message) in [
            ("", "is empty"),
            ("  ", "is empty"),
            ("a\0.jpg", "holds the control character '\\0'"),
            ("http://x/\u{1b}[0m", "holds the control character '\\u{1b}'"),
            ("ftp://x/a.jpg", "`ftp:` is not supported"),
            ("FILE:///a.jpg", "`file:` is not supported"),
            ("data:image/png;base64,AAAA", "`data:` is not supported"),
            ("gopher://x/a.jpg", "`gopher:` is not supported"),
            ("http://", "the host is missing"),
            ("http:///a.jpg", "the host is missing"),
            ("http:a.jpg", "`//` is missing"),
            ("https://x y/a.jpg", "is not a valid address: invalid international domain name"),
            ("http://x:99999/", "is not a valid address: invalid port number"),
            ("https://user:secret@x/a.jpg", "has a user name or password"),
            ("https://user@x/a.jpg", "has a user name or password"),
            ("s3://key:secret@bucket/a.jpg", "has a user name or password"),
            ("s3:///a.jpg", "the host is missing"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }
}
