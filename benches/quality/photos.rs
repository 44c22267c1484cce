//! The photographs that are measured.

use std::{env, fs, path::Path};

use image::DynamicImage;
use restore_batch::testing::degrade::{at_most, example_photo};

use crate::Result;

/// Those of `examples/photos` that were not made worse already.
const EXAMPLES: [&str; 4] = ["portrait.jpg", "cat.jpg", "café faded.jpg", "photographer.png"];

/// Longest edge that is measured, in pixels: larger photographs are shrunk, so that a
/// run takes minutes.
const EDGE: u32 = 512;

/// Photographs that share a mean.
pub(crate) struct Set {
    pub(crate) title: &'static str,
    /// File name and pixels, sorted by name.
    pub(crate) photos: Vec<(String, DynamicImage)>,
}

/// Returns the committed examples, and what lies in the folder `QUALITY_PHOTOS`.
pub(crate) fn sets() -> Result<Vec<Set>> {
    let examples = EXAMPLES.map(|name| (name.to_owned(), at_most(&example_photo(name), EDGE)));
    let mut sets = vec![Set { title: "Committed examples", photos: examples.into() }];
    if let Some(folder) = env::var_os("QUALITY_PHOTOS").filter(|folder| !folder.is_empty()) {
        let photos = read(Path::new(&folder))?;
        sets.push(Set { title: "Whole photographs", photos });
    }
    Ok(sets)
}

/// Reads all PNG and JPEG files of a folder.
fn read(folder: &Path) -> Result<Vec<(String, DynamicImage)>> {
    let mut photos = Vec::new();
    let entries = fs::read_dir(folder).map_err(|e| format!("`{}`: {e}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "png" || kind == "jpg") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            photos.push((name, at_most(&image::open(&path)?, EDGE)));
        }
    }
    photos.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(photos)
}
