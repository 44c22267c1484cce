//! Paths as texts, on the disk and in addresses. Nothing here asks the disk.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// What is escaped in one segment of an address's path: everything but RFC 3986's
/// unreserved characters, `/` included.
pub const PATH_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Removes `.` and `..` by name alone: symbolic links are not followed, and `..` at the
/// root does nothing, as on the disk.
#[must_use]
pub fn normalise_path(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
        normal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_removed_by_name() {
        for (given, expected) in [
            ("/a/./b/../c", "/a/c"),
            ("/../../a", "/a"),
            ("/a/b/", "/a/b"),
            ("a/..", ""),
            ("/a/..b/...", "/a/..b/..."),
        ] {
            assert_eq!(normalise_path(Path::new(given)), Path::new(expected), "{given}");
        }
    }
}
