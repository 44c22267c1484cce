//! Makes sure that a downloaded file is a whole picture.
//!
//! Four questions, cheapest first: is it a picture at all (by its first bytes, never by
//! its name or content type), are its dimensions acceptable (by its header), is its end
//! there ([`completeness`]; decoders forgive a missing one), and
//! can every pixel be decoded.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::completeness;
use crate::core::{is_disturbing, without_queries};

/// How much of a file that is no picture is looked at, in bytes.
const HEAD_BYTES: u64 = 512;

/// How much of it is shown, in characters.
const SHOWN_CHARACTERS: usize = 80;

/// Bytes of memory allowed per pixel: the widest sample the decoders give is four
/// channels of 16 bits, and they keep a second copy of a part of it.
const BYTES_PER_PIXEL: u64 = 12;

/// Facts of a whole picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// File name extension for its format, without the dot.
    pub(super) extension: &'static str,
}

/// The file is not a picture to be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// Something else, such as an error page.
    #[error("{0}")]
    NotAPicture(String),
    /// Begins as a picture and ends too early.
    #[error("the picture is cut off: {0}")]
    Incomplete(String),
    /// More pixels than allowed.
    #[error("a picture of {width}x{height} pixels is larger than the limit of {limit} pixels")]
    TooLarge { width: u32, height: u32, limit: u64 },
    /// Complete as far as can be told, but no decoder makes sense of it.
    #[error("the picture cannot be decoded: {0}")]
    Undecodable(String),
    /// The file itself could not be read.
    #[error("the downloaded file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Decodes the file from its start. Blocking, and heavy on the processor.
///
/// # Errors
///
/// [`Rejection`]. A panic of a decoder is [`Rejection::Undecodable`].
pub(super) fn verify(file: &File, max_pixels: u64) -> Result<Picture, Rejection> {
    catch_unwind(AssertUnwindSafe(|| verify_unguarded(file, max_pixels)))
        .unwrap_or_else(|_| Err(Rejection::Undecodable("the decoder gave up".to_owned())))
}

fn verify_unguarded(mut file: &File, max_pixels: u64) -> Result<Picture, Rejection> {
    file.rewind()?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    let (format, extension) = format_of(&head)?;
    let header = decoder(reader_at_start(file)?, format, max_pixels)?;
    let (width, height) = header.dimensions();
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Rejection::TooLarge { width, height, limit: max_pixels });
    }
    completeness::check(reader_at_start(file)?, format)?;
    DynamicImage::from_decoder(decoder(reader_at_start(file)?, format, max_pixels)?)
        .map_err(reject)?;
    Ok(Picture { width, height, extension })
}

fn reader_at_start(mut file: &File) -> io::Result<BufReader<&File>> {
    file.rewind()?;
    Ok(BufReader::new(file))
}

fn format_of(head: &[u8]) -> Result<(ImageFormat, &'static str), Rejection> {
    let Ok(format) = image::guess_format(head) else {
        return Err(Rejection::NotAPicture(not_a_picture(head)));
    };
    let extension = match format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "jpg",
        ImageFormat::WebP => "webp",
        ImageFormat::Tiff => "tif",
        ImageFormat::Gif => "gif",
        ImageFormat::Bmp => "bmp",
        other => {
            return Err(Rejection::Undecodable(format!("the format {other:?} is not supported")));
        }
    };
    Ok((format, extension))
}

/// Reads the header.
fn decoder<'a, R: BufRead + Seek + 'a>(
    reader: R,
    format: ImageFormat,
    max_pixels: u64,
) -> Result<impl ImageDecoder + 'a, Rejection> {
    let mut reader = ImageReader::with_format(reader, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(max_pixels.saturating_mul(BYTES_PER_PIXEL));
    reader.limits(limits);
    reader.into_decoder().map_err(reject)
}

fn reject(error: ImageError) -> Rejection {
    match error {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Rejection::Incomplete("it ends too early".to_owned())
        }
        other => Rejection::Undecodable(printable(&other.to_string())),
    }
}

/// Describes content that is no picture by its first words.
fn not_a_picture(head: &[u8]) -> String {
    if head.is_empty() {
        return "the file is empty, not a picture".to_owned();
    }
    let text = String::from_utf8_lossy(head);
    let control =
        |c: char| c.is_control() && !c.is_whitespace() || c == char::REPLACEMENT_CHARACTER;
    if text.chars().take(SHOWN_CHARACTERS).filter(|&c| control(c)).count() > 2 {
        return "the file is not a picture of a known format".to_owned();
    }
    format!("the file is not a picture; it begins with `{}`", printable(&text))
}

/// Returns one short line of harmless text, with the query of any address left out.
fn printable(text: &str) -> String {
    let text = without_queries(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let harmless = line.chars().filter(|c| !is_disturbing(*c) && *c != '`');
    harmless.take(SHOWN_CHARACTERS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests;
