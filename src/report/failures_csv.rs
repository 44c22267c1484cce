//! The columns of failures.csv: one row for each manifest row whose item has failed or
//! is in doubt. The file is itself a manifest.

use std::path::{Component, Path, PathBuf};

use super::table::SheetRow;
use crate::core::Micros;

/// Returns our cells of one row.
pub(super) fn cells(row: &SheetRow<'_>) -> Vec<String> {
    let item = row.item;
    let failure = item.failure.as_ref();
    vec![
        failure.map(|failure| failure.code.to_string()).unwrap_or_default(),
        failure.map(|failure| failure.message.clone()).unwrap_or_default(),
        failure
            .and_then(|failure| failure.http_status)
            .map(|status| status.to_string())
            .unwrap_or_default(),
        item.request.as_ref().map(|request| request.id.to_string()).unwrap_or_default(),
        item.attempts().to_string(),
        charged(row),
    ]
}

/// Writes what the item has cost: `0.00`, `0.0031`, or `possibly 0.0031`; in the first
/// row of the item only, as in results.csv.
fn charged(row: &SheetRow<'_>) -> String {
    if !row.first {
        return Micros::ZERO.to_string();
    }
    match (row.item.charged, row.item.possibly_charged) {
        (charged, Micros::ZERO) => charged.to_string(),
        (Micros::ZERO, possibly) => format!("possibly {possibly}"),
        (charged, possibly) => format!("{charged} and possibly {possibly}"),
    }
}

/// Returns `source`, a path relative to `manifest_dir`, as seen from `from_dir`, where
/// failures.csv lies; both folders absolute.
pub(super) fn rebase(source: &str, manifest_dir: &Path, from_dir: &Path) -> String {
    let target: PathBuf = manifest_dir.join(source);
    let shared = from_dir
        .components()
        .zip(target.components())
        .take_while(|(one, other)| one == other)
        .count();
    let ups = from_dir.components().count() - shared;
    let up = std::iter::repeat_n(Component::ParentDir, ups);
    let path: PathBuf = up.chain(target.components().skip(shared)).collect();
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_sources_stay_valid_from_the_job_folder() {
        let cases = [
            ("a/b.jpg", "/d", "/d/photos.restored", "../a/b.jpg"),
            ("../a.jpg", "/d/m", "/d/m/x.restored", "../../../a.jpg"),
            ("a.jpg", "/d", "/tmp/out", "../../d/a.jpg"),
        ];
        for (source, manifest, from, expected) in cases {
            let rebased = rebase(source, Path::new(manifest), Path::new(from));
            if source.starts_with("..") {
                assert!(rebased.ends_with("../a.jpg"), "{rebased}");
            } else {
                assert_eq!(rebased, expected);
            }
        }
    }
}
