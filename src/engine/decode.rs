//! Turns bytes of unknown origin into a picture, within limits.
//!
//! The bytes come from the internet or from an old disk: the kind is told from the
//! content, sizes are checked before anything is allocated, and a panic inside a
//! decoder is an error like any other. Only the first picture of a file is read.

use std::{
    io::{Cursor, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

/// Bytes of memory that the header may take: colour profiles have some megabytes, and a
/// bomb in one unpacks to a thousand times its size.
const HEADER_BYTES: u64 = 16 << 20;

/// Longest edge in pixels: ITU-T T.81 has 16 bits for it.
pub(super) const MAX_EDGE: u32 = 65_535;

/// A decoded picture and what must be kept of its file.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The pixels, turned upright as the file's EXIF orientation says.
    pub image: DynamicImage,
    /// What the file was.
    pub format: ImageFormat,
    /// The colour profile, if the file has one that fits the decoded pixels. A CMYK
    /// profile, for example, is dropped: decoding has already made RGB of the pixels.
    pub icc: Option<Vec<u8>>,
}

/// How much a file may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most pixels of a picture. The default, 100 million, is more than cameras and
    /// most film scanners deliver, and stops a small file that claims to be huge.
    pub max_pixels: u64,
    /// Longest width or height in pixels. The default, 65,535, is what JPEG can have. Memory
    /// for whole rows would grow with a picture that is a million pixels wide and one high.
    pub max_edge: u32,
    /// Most bytes the decoder may allocate, the picture included. The default, 1 GiB,
    /// holds 100 million pixels of 16-bit RGBA.
    pub max_alloc: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_edge: MAX_EDGE, max_alloc: 1 << 30 }
    }
}

/// Bytes could not be turned into a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The content is none of the kinds that can be read.
    #[error("the file is not a picture; use a JPEG, PNG, WebP, TIFF, BMP or GIF file")]
    NotAPicture,
    /// The file ends before the picture does.
    #[error("the {format} file is cut off; copy it again from the original")]
    Truncated {
        /// Name of the kind, such as `JPEG`.
        format: &'static str,
    },
    /// The picture has more pixels than [`DecodeLimits::max_pixels`].
    #[error(
        "a picture of {width}x{height} pixels is larger than the limit of {limit} pixels; \
         shrink it first"
    )]
    TooManyPixels {
        /// Width in pixels, before it is turned upright.
        width: u32,
        /// Height in pixels, before it is turned upright.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// The picture is wider or higher than [`DecodeLimits::max_edge`].
    #[error(
        "a picture of {width}x{height} pixels has an edge longer than the limit of {limit} \
         pixels; cut it into parts first"
    )]
    EdgeTooLong {
        /// Width in pixels, before it is turned upright.
        width: u32,
        /// Height in pixels, before it is turned upright.
        height: u32,
        /// The limit.
        limit: u32,
    },
    /// Decoding takes more memory than [`DecodeLimits::max_alloc`].
    #[error("the {format} file needs more than {limit} bytes of memory; shrink it first")]
    TooMuchMemory {
        /// Name of the kind, such as `TIFF`.
        format: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is damaged, or of a variety the decoder does not know.
    #[error("the {format} file cannot be decoded ({reason}); save it anew with an image editor")]
    Damaged {
        /// Name of the kind, such as `PNG`.
        format: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

/// Decodes `bytes` and turns the picture upright.
///
/// # Errors
///
/// [`DecodeError`], whatever the bytes are; this never panics.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Picture, DecodeError> {
    let format = image::guess_format(bytes).map_err(|_| DecodeError::NotAPicture)?;
    let name = name_of(format).ok_or(DecodeError::NotAPicture)?;
    if is_cut(bytes, format) {
        return Err(DecodeError::Truncated { format: name });
    }
    guarded(name, || read(bytes, format, name, limits))
}

/// Returns width and height in pixels, as the header says and before it is turned upright.
///
/// # Errors
///
/// [`DecodeError`] for what [`decode`] would refuse because of its header.
pub fn picture_size(bytes: &[u8], limits: &DecodeLimits) -> Result<(u32, u32), DecodeError> {
    let format = image::guess_format(bytes).map_err(|_| DecodeError::NotAPicture)?;
    let name = name_of(format).ok_or(DecodeError::NotAPicture)?;
    guarded(name, || Ok(open(bytes, format, name, limits)?.dimensions()))
}

/// Reads the header; its sizes are within the limits.
fn open<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    name: &'static str,
    limits: &DecodeLimits,
) -> Result<impl ImageDecoder + 'a, DecodeError> {
    let explain = |error| explain(error, name, limits);
    let mut allowance = Limits::default();
    allowance.max_alloc = Some(limits.max_alloc.min(HEADER_BYTES));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(allowance.clone());
    let mut decoder = reader.into_decoder().map_err(explain)?;

    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(DecodeError::TooManyPixels { width, height, limit: limits.max_pixels });
    }
    if width.max(height) > limits.max_edge {
        return Err(DecodeError::EdgeTooLong { width, height, limit: limits.max_edge });
    }
    allowance.max_alloc = Some(limits.max_alloc);
    // What the picture itself takes is not at the decoder's disposal any more.
    allowance.reserve(decoder.total_bytes()).map_err(explain)?;
    decoder.set_limits(allowance).map_err(explain)?;
    Ok(decoder)
}

fn read(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    limits: &DecodeLimits,
) -> Result<Picture, DecodeError> {
    let mut decoder = open(bytes, format, name, limits)?;
    // A profile or an orientation that cannot be read is no reason to lose the picture.
    let icc = decoder.icc_profile().unwrap_or_default();
    let orientation = decoder.orientation().ok();
    let image = DynamicImage::from_decoder(decoder);
    let mut image = image.map_err(|error| explain(error, name, limits))?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let icc = icc.filter(|profile| profile_fits(profile, &image));
    Ok(Picture { image, format, icc })
}

/// Runs a decoder; `image` warns that hostile input may make one panic.
fn guarded<T>(
    format: &'static str,
    work: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    // Nothing outlives the closure but its result, so no broken state can be seen.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(DecodeError::Damaged { format, reason: "the decoder gave up".to_owned() })
    })
}

/// Returns the usual name of a kind this program reads, `None` for all others.
fn name_of(format: ImageFormat) -> Option<&'static str> {
    Some(match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        _ => return None,
    })
}

fn explain(error: ImageError, format: &'static str, limits: &DecodeLimits) -> DecodeError {
    match error {
        ImageError::Limits(_) => DecodeError::TooMuchMemory { format, limit: limits.max_alloc },
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format }
        }
        other => DecodeError::Damaged { format, reason: other.to_string() },
    }
}

/// Tells whether a file is shorter than it says itself. Decoders of the other kinds
/// report that; those of JPEG and WebP paint what is missing gray, or blame the data.
fn is_cut(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Jpeg => !jpeg_ends(bytes),
        // RIFF: `RIFF`, then the little-endian length of what follows it.
        ImageFormat::WebP => bytes
            .get(4..8)
            .and_then(|length| length.try_into().ok())
            .is_none_or(|length| (bytes.len() as u64) < u64::from(u32::from_le_bytes(length)) + 8),
        _ => false,
    }
}

/// Tells whether a JPEG file has an end marker after its first scan begins. An earlier
/// one does not count: it belongs to the thumbnail inside the EXIF segment.
fn jpeg_ends(bytes: &[u8]) -> bool {
    // ITU-T T.81, table B.1: start of scan, end of image.
    const SCAN: u8 = 0xDA;
    const END: [u8; 2] = [0xFF, 0xD9];
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xFF, marker, high, low, ..] = *rest {
        let skip = match marker {
            SCAN => return rest.windows(2).any(|pair| pair == END),
            // A fill byte, which may stand before any marker.
            0xFF => 1,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
    // Either cut inside the headers or too strange to judge: search it all.
    rest.windows(2).any(|pair| pair == END)
}

/// Tells whether an ICC profile describes pixels of the picture's kind.
fn profile_fits(profile: &[u8], image: &DynamicImage) -> bool {
    // ICC.1:2022, table 17: bytes 16 to 19 of the header name the colour space.
    let expected: &[u8] = if image.color().has_color() { b"RGB " } else { b"GRAY" };
    profile.get(16..20) == Some(expected)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::bomb;

    const KINDS: [ImageFormat; 6] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Tiff,
        ImageFormat::Bmp,
        ImageFormat::Gif,
    ];

    /// A picture of 48x32 pixels that no codec can shrink to nothing.
    fn file(format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(48, 32, |x, y| {
            let mix = |factor: u32| u8::try_from((x * factor + y * y * 31) % 251).unwrap();
            Rgb([mix(7), mix(83), mix(29)])
        });
        let mut file = Cursor::new(Vec::new());
        DynamicImage::from(picture).write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    fn read_default(bytes: &[u8]) -> Result<Picture, DecodeError> {
        decode(bytes, &DecodeLimits::default())
    }

    #[test]
    fn six_kinds_are_told_by_content() {
        for format in KINDS {
            let picture = read_default(&file(format)).unwrap();
            assert_eq!(picture.format, format);
            assert_eq!((picture.image.width(), picture.image.height()), (48, 32));
        }
    }

    #[test]
    fn a_cut_file_is_an_error_wherever_it_is_cut() {
        for format in KINDS {
            let whole = file(format);
            for percent in [2, 20, 50, 90] {
                let cut = &whole[..whole.len() * percent / 100];
                assert!(read_default(cut).is_err(), "{format:?} cut to {percent} %");
            }
        }
    }

    #[test]
    fn a_cut_download_is_called_cut() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
            let whole = file(format);
            let error = read_default(&whole[..whole.len() / 2]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{format:?}: {error:?}");
            assert!(error.to_string().contains("is cut off"));
        }
    }

    #[test]
    fn a_thumbnail_does_not_pass_for_the_end() {
        let mut whole = file(ImageFormat::Jpeg);
        // An application segment that holds an end marker, right after the start.
        whole.splice(2..2, [0xFF, 0xE1, 0, 4, 0xFF, 0xD9]);
        assert!(read_default(&whole).is_ok());
        whole.truncate(whole.len() - 40);
        assert_eq!(read_default(&whole).unwrap_err(), DecodeError::Truncated { format: "JPEG" });
    }

    #[test]
    fn bytes_after_the_end_do_no_harm() {
        for format in KINDS {
            let mut whole = file(format);
            whole.extend_from_slice(b"trailing bytes of a careless camera");
            assert!(read_default(&whole).is_ok(), "{format:?}");
        }
    }

    #[test]
    fn other_content_is_not_a_picture() {
        for bytes in [&b""[..], b"<html>", b"%PDF-1.7", b"\0\0\0\x20ftypavif", b"qoif"] {
            assert_eq!(read_default(bytes).unwrap_err(), DecodeError::NotAPicture);
        }
    }

    #[test]
    fn pixels_are_counted_before_decoding() {
        for format in KINDS {
            let limits = DecodeLimits { max_pixels: 48 * 32 - 1, ..DecodeLimits::default() };
            let error = decode(&file(format), &limits).unwrap_err();
            assert_eq!(error, DecodeError::TooManyPixels { width: 48, height: 32, limit: 1535 });
        }
    }

    #[test]
    fn edges_are_measured_before_decoding() {
        for format in KINDS {
            let limits = DecodeLimits { max_edge: 47, ..DecodeLimits::default() };
            let error = decode(&file(format), &limits).unwrap_err();
            assert_eq!(error, DecodeError::EdgeTooLong { width: 48, height: 32, limit: 47 });
        }
        let narrow = bomb::png_with(1_500_000, 1, b"", &bomb::zeros_zlib(4_500_001));
        let error = picture_size(&narrow, &DecodeLimits::default()).unwrap_err();
        assert!(error.to_string().contains("1500000x1 pixels has an edge longer"), "{error}");
    }

    #[test]
    fn memory_is_limited() {
        for format in KINDS {
            let limits = DecodeLimits { max_alloc: 48 * 32, ..DecodeLimits::default() };
            let error = decode(&file(format), &limits).unwrap_err();
            assert!(matches!(error, DecodeError::TooMuchMemory { .. }), "{format:?}: {error:?}");
        }
    }

    #[test]
    fn bombs_beside_the_pixels_do_no_harm() {
        for bytes in [
            bomb::png_with_profile(256 << 20),
            bomb::png_with(1, 1, b"", &bomb::zeros_zlib(1 << 30)),
        ] {
            let picture = read_default(&bytes).unwrap();
            assert_eq!((picture.image.width(), picture.icc), (1, None));
        }
    }

    #[test]
    fn orientation_is_applied() {
        // EXIF, big-endian, one entry: tag 0x0112, type 3 (short), count 1, value 6.
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
        exif.extend_from_slice(&[0, 6, 0, 0, 0, 0, 0, 0]);
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        let mut jpeg = file(ImageFormat::Jpeg);
        let plain = read_default(&jpeg).unwrap().image;
        jpeg.splice(2..2, [&[0xFF, 0xE1][..], &length, &exif].concat());
        let turned = read_default(&jpeg).unwrap().image;
        assert!(turned == plain.rotate90());
    }

    #[test]
    fn a_panic_of_a_decoder_is_an_error() {
        let error = guarded::<()>("TIFF", || panic!("as if a decoder had a bug")).unwrap_err();
        assert!(matches!(error, DecodeError::Damaged { format: "TIFF", .. }));
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(
            kind in 0..KINDS.len(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = file(KINDS[kind]);
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let limits = DecodeLimits {
                max_pixels: 1_000_000,
                max_alloc: 1 << 24,
                ..DecodeLimits::default()
            };
            let _ = decode(&bytes, &limits);
        }
    }
}
