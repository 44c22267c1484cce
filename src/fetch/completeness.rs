//! Finds the end of a picture file, because decoders forgive a missing one.
//!
//! Walks the container only; pixels are [`verify`](mod@super::verify)'s business.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use image::ImageFormat;

use super::verify::Rejection;

/// Checks that the file holds its format's end.
///
/// BMP and TIFF have no end mark: decoding every pixel has already shown that all of
/// them are there.
///
/// # Errors
///
/// [`Rejection::Incomplete`] when it does not, [`Rejection::Unreadable`] when the file
/// cannot be read.
pub(super) fn check<R: BufRead + Seek>(reader: R, format: ImageFormat) -> Result<(), Rejection> {
    let (found, what) = match format {
        ImageFormat::Png => (png_end(reader), "a PNG without its IEND chunk"),
        ImageFormat::Jpeg => (jpeg_end(reader), "a JPEG without its end marker"),
        ImageFormat::WebP => (webp_end(reader), "a WebP file shorter than it says"),
        ImageFormat::Gif => (gif_end(reader), "a GIF without its trailer"),
        _ => return Ok(()),
    };
    match found {
        Ok(true) => Ok(()),
        Ok(false) => Err(Rejection::Incomplete(what.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Rejection::Incomplete(what.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Walks the chunks (length, type, data, checksum) up to IEND. PNG, section 5.3.
fn png_end<R: BufRead + Seek>(mut reader: R) -> io::Result<bool> {
    const SIGNATURE: u64 = 8;
    const CHECKSUM: u8 = 4;
    reader.seek(SeekFrom::Start(SIGNATURE))?;
    loop {
        let mut header = [0; 8];
        reader.read_exact(&mut header)?;
        let [a, b, c, d, kind @ ..] = header;
        if kind == *b"IEND" {
            let mut checksum = [0; CHECKSUM as usize];
            reader.read_exact(&mut checksum)?;
            return Ok(true);
        }
        let data = u32::from_be_bytes([a, b, c, d]);
        reader.seek_relative(i64::from(data) + i64::from(CHECKSUM))?;
    }
}

/// Walks the segments and the entropy-coded data between them up to EOI.
/// ITU-T T.81, annex B.1.1.
fn jpeg_end<R: BufRead + Seek>(mut reader: R) -> io::Result<bool> {
    const EOI: u8 = 0xd9;
    loop {
        // Everything before a marker is entropy-coded data, or padding.
        reader.skip_until(0xff)?;
        let mut marker = byte(&mut reader)?;
        while marker == 0xff {
            marker = byte(&mut reader)?;
        }
        match marker {
            EOI => return Ok(true),
            // A stuffed 0xff, TEM, restart and start markers have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let length = u16::from_be_bytes([byte(&mut reader)?, byte(&mut reader)?]);
                reader.seek_relative(i64::from(length.saturating_sub(2)))?;
            }
        }
    }
}

/// Compares the RIFF size with the file's. RFC 9649, section 2.4.
fn webp_end<R: BufRead + Seek>(mut reader: R) -> io::Result<bool> {
    let mut header = [0; 8];
    reader.read_exact(&mut header)?;
    let [.., a, b, c, d] = header;
    let end = reader.seek(SeekFrom::End(0))?;
    Ok(end >= u64::from(u32::from_le_bytes([a, b, c, d])) + header.len() as u64)
}

/// Looks for the trailer as the last byte that is not padding. `GIF89a`, section 27.
fn gif_end<R: BufRead + Seek>(mut reader: R) -> io::Result<bool> {
    const TRAILER: u8 = 0x3b;
    const PADDING_LOOKED_AT: i64 = 512;
    let length = reader.seek(SeekFrom::End(0))?;
    let looked_at = PADDING_LOOKED_AT.min(i64::try_from(length).unwrap_or(i64::MAX));
    reader.seek(SeekFrom::End(-looked_at))?;
    let mut tail = Vec::new();
    reader.read_to_end(&mut tail)?;
    Ok(tail.iter().rev().find(|byte| **byte != 0) == Some(&TRAILER))
}

fn byte<R: Read>(reader: &mut R) -> io::Result<u8> {
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    Ok(byte[0])
}
