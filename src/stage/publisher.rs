//! Who can give a local file a URL.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use percent_encoding::utf8_percent_encode;
use url::Url;

use crate::core::{PATH_SEGMENT, normalise_path};

/// Gives local files their public address.
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Returns the URL of `path` (absolute, without `..`), or `None` when it is not ours.
    fn url_of(&self, path: &Path) -> Option<Url>;
}

/// A folder that a web server already publishes: `FOLDER=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicBase {
    folder: PathBuf,
    url: Url,
}

/// A text is no `FOLDER=URL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not FOLDER=URL, such as `scans=https://photos.example.org/scans`: {why}")]
pub struct PublicBaseError {
    text: String,
    why: &'static str,
}

impl PublicBase {
    /// Reads `FOLDER=URL`; a relative folder is taken from `base_dir`.
    ///
    /// # Errors
    ///
    /// [`PublicBaseError`] when there is no `=`, or no http(s) URL behind it.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, PublicBaseError> {
        let error = |why| PublicBaseError { text: text.to_owned(), why };
        // The folder may contain `=`; a URL with one starts after the last `=http`.
        let split = text.rfind("=http").ok_or_else(|| error("no `=` before an http address"))?;
        let (folder, address) = (&text[..split], &text[split + 1..]);
        if folder.is_empty() {
            return Err(error("the folder is missing"));
        }
        let url = Url::parse(address).map_err(|_| error("the address cannot be read"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(error("the address must start with http:// or https://"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(error("the address must end with a path"));
        }
        Ok(Self { folder: normalise_path(&base_dir.join(folder)), url })
    }
}

impl Publisher for PublicBase {
    fn url_of(&self, path: &Path) -> Option<Url> {
        let below = normalise_path(path);
        let relative = below.strip_prefix(&self.folder).ok()?.to_str()?;
        let encoded: Vec<_> = relative
            .split('/')
            .map(|part| utf8_percent_encode(part, PATH_SEGMENT).to_string())
            .collect();
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{}", url.path().trim_end_matches('/'), encoded.join("/")));
        Some(url)
    }
}

/// The gateway of `--local`, which serves this machine's files to itself.
#[derive(Clone)]
pub struct LocalPublisher(Arc<dyn Fn(&Path) -> Url + Send + Sync>);

impl LocalPublisher {
    /// Wraps the gateway's way of naming a file.
    pub fn new(url_of: impl Fn(&Path) -> Url + Send + Sync + 'static) -> Self {
        Self(Arc::new(url_of))
    }
}

impl fmt::Debug for LocalPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalPublisher")
    }
}

impl Publisher for LocalPublisher {
    fn url_of(&self, path: &Path) -> Option<Url> {
        Some((self.0)(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_folder_get_an_encoded_url() {
        let base = PublicBase::parse("scans=https://x.org/p/", Path::new("/data")).unwrap();
        let url = |path: &str| base.url_of(Path::new(path)).map(String::from);
        assert_eq!(
            url("/data/scans/a b/ü#1.jpg").as_deref(),
            Some("https://x.org/p/a%20b/%C3%BC%231.jpg")
        );
        assert_eq!(url("/data/scans/../scans/a.jpg").as_deref(), Some("https://x.org/p/a.jpg"));
        assert_eq!(url("/data/scans/../secret.jpg"), None);
        assert_eq!(url("/data/scans2/a.jpg"), None);
    }

    #[test]
    fn bad_texts_say_what_is_wrong() {
        for (text, why) in [
            ("scans", "no `=`"),
            ("=https://x.org", "folder is missing"),
            ("scans=ftp://x.org", "no `=` before an http"),
            ("scans=https://", "cannot be read"),
            ("scans=https://x.org/?a=1", "end with a path"),
        ] {
            let error = PublicBase::parse(text, Path::new("/data")).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
