//! Paths as texts. Nothing here asks the disk.

use std::path::{Component, Path, PathBuf};

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
