//! Looks at a local picture before money is spent on it.

use std::{fs, io, path::Path};

use image::ImageReader;

use crate::core::{Failure, FailureClass, FailureCode};

/// Checks that a file is there, readable, and begins like a picture of at most
/// `max_pixels` pixels. Reads its header only. Blocking.
///
/// # Errors
///
/// A failure with code `source-unreadable` that names the file and what is wrong.
pub fn inspect(path: &Path, max_pixels: u64) -> Result<(), Failure> {
    let refuse = |why: String| {
        Failure::new(
            FailureClass::Permanent,
            FailureCode::SourceUnreadable,
            format!("`{}` {why}", path.display()),
        )
    };
    let facts = fs::metadata(path).map_err(|error| refuse(describe(&error)))?;
    if facts.is_dir() {
        return Err(refuse("is a folder, not a picture".to_owned()));
    }
    if facts.len() == 0 {
        return Err(refuse("is empty".to_owned()));
    }
    // By content alone: a web page named `.jpg` is no picture.
    let reader = fs::File::open(path)
        .and_then(|file| ImageReader::new(io::BufReader::new(file)).with_guessed_format())
        .map_err(|error| refuse(describe(&error)))?;
    if reader.format().is_none() {
        return Err(refuse("is not a picture of a known format".to_owned()));
    }
    let (width, height) = reader
        .into_dimensions()
        .map_err(|_| refuse("is damaged or of a kind that cannot be read".to_owned()))?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > max_pixels {
        return Err(refuse(format!(
            "has {width}x{height} pixels; the limit is {max_pixels}, see `--max-pixels`"
        )));
    }
    Ok(())
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat};

    #[test]
    fn tells_pictures_from_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        DynamicImage::new_rgb8(30, 20).save_with_format(at("ok.png"), ImageFormat::Png).unwrap();
        let whole = fs::read(at("ok.png")).unwrap();
        fs::write(at("cut.png"), &whole[..20]).unwrap();
        fs::write(at("empty.jpg"), b"").unwrap();
        fs::write(at("page.jpg"), b"<html>").unwrap();

        assert_eq!(inspect(&at("ok.png"), 600), Ok(()));
        for (name, limit, expected) in [
            ("ok.png", 599, "30x20"),
            ("cut.png", 600, "damaged"),
            ("empty.jpg", 600, "is empty"),
            ("page.jpg", 600, "not a picture"),
            ("none.jpg", 600, "does not exist"),
            (".", 600, "is a folder"),
        ] {
            let failure = inspect(&at(name), limit).unwrap_err();
            assert!(failure.message.contains(expected), "{failure}");
            assert_eq!(failure.code, FailureCode::SourceUnreadable);
        }
    }
}
