//! Gives local files an address on the gateway, so that `--local` takes the same HTTP
//! path as everything else.
//!
//! The address holds the path and a keyed hash of it. Nothing is stored, so a manifest
//! of any length takes no memory, and nobody without the secret can name another file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{extract::State, response::Response};
use http::{HeaderMap, Method, Uri};
use percent_encoding::{percent_decode_str, percent_encode};
use subtle::ConstantTimeEq;
use url::Url;

use super::{
    file_reply::{Presentation, file_reply},
    refusal::Refusal,
    shared::Shared,
};
use crate::core::PATH_SEGMENT;

/// Where local files are, below the gateway's root.
pub(super) const LOCAL_FILES_PATH: &str = "/local-files/";

/// Names local files by URLs that cannot be guessed.
#[derive(Clone)]
pub struct LocalFiles {
    secret: [u8; 32],
}

impl std::fmt::Debug for LocalFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalFiles")
    }
}

impl LocalFiles {
    /// Creates a namer. Addresses hold as long as the secret is the same.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// Returns the address of `path`, an absolute one, on a gateway whose root is
    /// `base`.
    #[must_use]
    pub fn url_for(&self, base: &Url, path: &Path) -> Url {
        let bytes = path_bytes(path);
        let mac = self.mac(&bytes).to_hex();
        let escaped = percent_encode(&bytes, PATH_SEGMENT);
        let root = base.path().trim_end_matches('/');
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path(&format!("{root}{LOCAL_FILES_PATH}{mac}/{escaped}"));
        url
    }

    /// Returns the file that a request's path names, if it was made by
    /// [`url_for`](Self::url_for) with the same secret.
    fn path_of(&self, request_path: &str) -> Option<PathBuf> {
        let (_, named) = request_path.split_once(LOCAL_FILES_PATH)?;
        let (mac, escaped) = named.split_once('/')?;
        let bytes: Vec<u8> = percent_decode_str(escaped).collect();
        let given = blake3::Hash::from_hex(mac).ok()?;
        let right = given.as_bytes().ct_eq(self.mac(&bytes).as_bytes());
        bool::from(right).then(|| path_from(bytes))
    }

    fn mac(&self, path: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, path)
    }
}

#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn path_from(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
fn path_from(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Serves a local file.
pub(super) async fn local_file(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let files = shared.settings.local_files.as_ref();
    let path = files.and_then(|files| files.path_of(uri.path()));
    let path = path.ok_or_else(|| Refusal::not_found("There is no such file."))?;
    let presentation = Presentation {
        content_type: "application/octet-stream",
        cache_control: "no-store",
        etag: None,
    };
    file_reply(&path, &presentation, &method, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        "http://127.0.0.1:8787/".parse().unwrap()
    }

    #[test]
    fn any_path_comes_back() {
        let files = LocalFiles::new([7; 32]);
        for path in ["/a/b.jpg", "/ü ber/100%.png", "/a/../b", "a?b#c", "/x\\y", "/a//b/"] {
            let url = files.url_for(&base(), Path::new(path));
            assert!(url.query().is_none() && url.fragment().is_none(), "{url}");
            // What another client may do to the address on its way changes nothing.
            let again: Url = url.as_str().parse().unwrap();
            assert_eq!(files.path_of(again.path()).as_deref(), Some(Path::new(path)), "{url}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_comes_back() {
        let path = path_from(vec![b'/', 0xff, 0xfe, b'a']);
        let files = LocalFiles::new([7; 32]);
        assert_eq!(files.path_of(files.url_for(&base(), &path).path()), Some(path));
    }

    #[test]
    fn a_base_with_a_path_is_kept() {
        let base = "https://example.org/restore/".parse().unwrap();
        let url = LocalFiles::new([7; 32]).url_for(&base, Path::new("/a"));
        assert!(url.as_str().starts_with("https://example.org/restore/local-files/"), "{url}");
    }

    #[test]
    fn nobody_else_can_name_a_file() {
        let files = LocalFiles::new([7; 32]);
        let url = files.url_for(&base(), Path::new("/home/a.jpg"));
        let mac = url.path().split('/').nth(2).unwrap().to_owned();
        assert_eq!(LocalFiles::new([8; 32]).path_of(url.path()), None);
        for forged in [
            format!("/local-files/{mac}/%2Fetc%2Fpasswd"),
            format!("/local-files/{mac}/%2Fhome%2Fa.jp"),
            format!("/local-files/{mac}x/%2Fhome%2Fa.jpg"),
            format!("/local-files/{}/%2Fhome%2Fa.jpg", "0".repeat(64)),
            "/local-files//%2Fhome%2Fa.jpg".to_owned(),
            format!("/local-files/{mac}"),
            "/local-files/".to_owned(),
            String::new(),
        ] {
            assert_eq!(files.path_of(&forged), None, "{forged}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", LocalFiles::new([7; 32])), "LocalFiles");
    }
}
