//! Makes sure that a downloaded file is a whole picture.
//!
//! Four questions, cheapest first: is it a picture at all (by its first bytes, never by
//! its name or content type), are its dimensions acceptable (by its header), is its end
//! there ([`completeness`]; decoders forgive a missing one), and
//! can every pixel be decoded. A PNG, which is what the service makes, is decoded row by
//! row, so that the largest takes no more memory than a small one.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::completeness;
use crate::core::{is_disturbing, without_queries};

/// How much of a file that is no picture is looked at, in bytes.
const HEAD_BYTES: u64 = 512;

/// How much of it is shown, in characters.
const SHOWN_CHARACTERS: usize = 80;

/// Bytes of memory a decoder takes for a pixel, at most: four channels of 32-bit floats
/// in a TIFF file. A progressive JPEG takes nine: three of colour, six of coefficients.
const BYTES_PER_PIXEL: u64 = 16;

/// Rows of a PNG in memory while it is decoded: one, the one above it, and what is unpacked
/// ahead of them.
const ROWS: u64 = 4;

/// Bytes of memory a decoder may take besides its pixels: a colour profile, texts, tables.
/// Profiles have some megabytes; a bomb in one unpacks to a thousand times its size.
const EXTRA_BYTES: u64 = 16 << 20;

/// Bytes of a JPEG file in which its dimensions must stand. Behind the start are at most
/// some hundred segments of 64 KiB; the decoder would read all of the file to find them.
const JPEG_HEAD: u64 = 16 << 20;

/// What a file claims to be: its header is acceptable, its pixels are not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    format: ImageFormat,
    picture: Picture,
    /// Bytes of memory that decoding takes at most.
    pub(super) memory: u64,
}

/// Facts of a whole picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// File name extension for its format, without the dot.
    pub extension: &'static str,
}

/// The file is not a picture to be published.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// Something else, such as an error page.
    #[error("{0}")]
    NotAPicture(String),
    /// Begins as a picture and ends too early.
    #[error("the picture is cut off: {0}")]
    Incomplete(String),
    /// More pixels than allowed.
    #[error("a picture of {width}x{height} pixels is larger than the limit of {limit} pixels")]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Most pixels allowed.
        limit: u64,
    },
    /// Complete as far as can be told, but no decoder makes sense of it.
    #[error("the picture cannot be decoded: {0}")]
    Undecodable(String),
    /// The file itself could not be read.
    #[error("the downloaded file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Reads the header. Blocking; takes little memory, whatever the file is.
///
/// # Errors
///
/// [`Rejection`]. A panic of a decoder is [`Rejection::Undecodable`].
pub fn claim(file: &File, max_pixels: u64) -> Result<Claim, Rejection> {
    guarded(|| read_claim(BufReader::new(file), max_pixels))
}

/// The same for a file in memory.
pub(super) fn claim_bytes(bytes: &[u8], max_pixels: u64) -> Result<Claim, Rejection> {
    guarded(|| read_claim(Cursor::new(bytes), max_pixels))
}

/// Decodes the file from its start. Blocking, and heavy on the processor.
///
/// # Errors
///
/// [`Rejection`]. A panic of a decoder is [`Rejection::Undecodable`].
pub fn verify(file: &File, claim: Claim) -> Result<Picture, Rejection> {
    guarded(|| decode(BufReader::new(file), claim))
}

/// The same for a file in memory.
pub(super) fn verify_bytes(bytes: &[u8], claim: Claim) -> Result<Picture, Rejection> {
    guarded(|| decode(Cursor::new(bytes), claim))
}

fn decode<R: BufRead + Seek>(mut file: R, claim: Claim) -> Result<Picture, Rejection> {
    file.rewind()?;
    completeness::check(&mut file, claim.format)?;
    file.rewind()?;
    if claim.format == ImageFormat::Png {
        decode_rows(&mut file, claim.memory)?;
    } else {
        let decoder = decoder(&mut file, claim.format, claim.memory)?;
        DynamicImage::from_decoder(decoder).map_err(reject)?;
    }
    Ok(claim.picture)
}

/// Decodes a PNG, of which never more than a few rows are in memory.
fn decode_rows<R: BufRead + Seek>(file: R, memory: u64) -> Result<(), Rejection> {
    let bytes = usize::try_from(memory).unwrap_or(usize::MAX);
    let decoder = png::Decoder::new_with_limits(file, png::Limits { bytes });
    let mut rows = decoder.read_info().map_err(reject_png)?;
    while rows.next_row().map_err(reject_png)?.is_some() {}
    Ok(())
}

/// Returns the memory that decoding takes at most under these limits, in bytes.
pub(super) fn most_memory(max_pixels: u64, max_bytes: u64) -> u64 {
    max_pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(EXTRA_BYTES).saturating_add(max_bytes)
}

fn guarded<T>(work: impl FnOnce() -> Result<T, Rejection>) -> Result<T, Rejection> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Rejection::Undecodable("the decoder gave up".to_owned())))
}

fn read_claim<R: BufRead + Seek>(mut file: R, max_pixels: u64) -> Result<Claim, Rejection> {
    file.rewind()?;
    let mut head = Vec::new();
    (&mut file).take(HEAD_BYTES).read_to_end(&mut head)?;
    let (format, extension) = format_of(&head)?;
    file.rewind()?;
    let (width, height) = dimensions(&mut file, format)?;
    if width == 0 || height == 0 {
        return Err(Rejection::Undecodable(format!("it has {width}x{height} pixels")));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > max_pixels {
        return Err(Rejection::TooLarge { width, height, limit: max_pixels });
    }
    let memory = match format {
        ImageFormat::Png => most_memory((u64::from(width) * ROWS).min(pixels), 0),
        // The decoder holds the whole of a JPEG file.
        ImageFormat::Jpeg => most_memory(pixels, file.seek(SeekFrom::End(0))?),
        _ => most_memory(pixels, 0),
    };
    Ok(Claim { format, picture: Picture { width, height, extension }, memory })
}

fn dimensions<R: BufRead + Seek>(
    mut file: R,
    format: ImageFormat,
) -> Result<(u32, u32), Rejection> {
    match format {
        ImageFormat::Png => {
            let mut decoder = png::Decoder::new(file);
            let header = decoder.read_header_info().map_err(reject_png)?;
            Ok((header.width, header.height))
        }
        ImageFormat::Jpeg => {
            let mut head = Vec::new();
            file.by_ref().take(JPEG_HEAD).read_to_end(&mut head)?;
            Ok(decoder(Cursor::new(head), format, EXTRA_BYTES)?.dimensions())
        }
        _ => Ok(decoder(file, format, EXTRA_BYTES)?.dimensions()),
    }
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
    memory: u64,
) -> Result<impl ImageDecoder + 'a, Rejection> {
    let mut reader = ImageReader::with_format(reader, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(memory);
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

fn reject_png(error: png::DecodingError) -> Rejection {
    match error {
        png::DecodingError::IoError(error) => reject(ImageError::IoError(error)),
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
