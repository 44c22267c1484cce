//! Looks at a local picture before money is spent on it.

use std::{
    fs,
    io::{self, BufRead, Cursor, Read as _, Seek},
    path::Path,
};

use image::{ImageError, ImageFormat, ImageReader, Limits};

use crate::core::{Failure, FailureClass, FailureCode};

/// Bytes of memory that reading a header may take: profiles and texts have some megabytes,
/// and a bomb in one unpacks to a thousand times its size.
const HEADER_BYTES: u64 = 16 << 20;

/// Bytes of a JPEG file in which its dimensions must stand. Behind the start are at most
/// some hundred segments of 64 KiB; the decoder would hold all of the file to find them.
const JPEG_HEAD: u64 = 16 << 20;

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
    let (width, height) = dimensions(reader)
        .map_err(|_| refuse("is damaged or of a kind that cannot be read".to_owned()))?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > max_pixels {
        return Err(refuse(format!(
            "has {width}x{height} pixels; the limit is {max_pixels}, see `--max-pixels`"
        )));
    }
    Ok(())
}

fn dimensions<R: BufRead + Seek>(reader: ImageReader<R>) -> Result<(u32, u32), ImageError> {
    if reader.format() != Some(ImageFormat::Jpeg) {
        return limited(reader).into_dimensions();
    }
    let mut head = Vec::new();
    reader.into_inner().take(JPEG_HEAD).read_to_end(&mut head)?;
    limited(ImageReader::with_format(Cursor::new(head), ImageFormat::Jpeg)).into_dimensions()
}

fn limited<R: BufRead + Seek>(mut reader: ImageReader<R>) -> ImageReader<R> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(HEADER_BYTES);
    reader.limits(limits);
    reader
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
    use crate::testing::bomb;
    use image::DynamicImage;

    /// The decoder of JPEG reads its file to the end, and a file may be larger than memory.
    #[test]
    fn a_huge_file_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.jpg");
        DynamicImage::new_rgb8(30, 20).save_with_format(&path, ImageFormat::Jpeg).unwrap();
        // Sparse: it takes no space, and reading it would take 8 TiB of memory.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 43).unwrap();
        assert_eq!(inspect(&path, 600), Ok(()));
        assert!(inspect(&path, 599).unwrap_err().message.contains("30x20"));
    }

    #[test]
    fn a_picture_that_claims_much_is_told_by_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.png");
        fs::write(&path, bomb::black_png(20_000, 20_000)).unwrap();
        assert!(inspect(&path, 1_000_000).unwrap_err().message.contains("20000x20000"));
        fs::write(&path, bomb::png_with_profile(256 << 20)).unwrap();
        assert_eq!(inspect(&path, 1_000_000), Ok(()));
    }

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
