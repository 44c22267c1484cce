//! Turns a restored picture into a PNG file.

use std::borrow::Cow;

use image::{
    DynamicImage, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};

use super::{contract::EngineReport, png, sample::without_floats};

/// A picture could not be written as PNG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the result cannot be written as PNG ({0}); this is a bug, report it")]
pub struct EncodeError(String);

/// Returns `picture` as a PNG file, with the colour profile `icc` embedded.
///
/// The keyword `Software` says what made it: the engine of `report` and its models.
/// Nothing in the file depends on time or place: equal results are equal files.
///
/// Compresses fast rather than well: a result is downloaded once, over loopback as
/// often as not. Float samples, which PNG does not have, become 16-bit ones.
///
/// # Errors
///
/// [`EncodeError`] when the encoder refuses the picture: one without pixels, for example.
pub fn encode_png(
    picture: &DynamicImage,
    report: &EngineReport,
    icc: Option<&[u8]>,
) -> Result<Vec<u8>, EncodeError> {
    let explain = |reason: &dyn std::fmt::Display| EncodeError(reason.to_string());
    let picture: Cow<'_, DynamicImage> = without_floats(picture);
    let mut file = Vec::new();
    let mut encoder =
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    if let Some(profile) = icc {
        encoder.set_icc_profile(profile.to_vec()).map_err(|error| explain(&error))?;
    }
    picture.write_with_encoder(encoder).map_err(|error| explain(&error))?;
    let maker = png::chunk(*b"tEXt", &[b"Software\0", software(report).as_bytes()].concat());
    file.splice(HEADER_END..HEADER_END, maker);
    Ok(file)
}

/// Where the header of a PNG file ends: 8 bytes of signature and a chunk of 13 bytes.
const HEADER_END: usize = 8 + 25;

/// Returns what made a picture, such as `restore-batch local engine; NAME (sha256 …)`.
/// Bytes that the chunk's Latin-1 does not have become `?`.
fn software(report: &EngineReport) -> String {
    let models = report.models.iter().map(|model| format!("; {model}"));
    let text = format!("restore-batch {} engine{}", report.engine, models.collect::<String>());
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use image::{ColorType, ImageBuffer, Rgb};

    use super::*;
    use crate::engine::{DecodeLimits, ModelId, decode};

    fn report(models: Vec<ModelId>) -> EngineReport {
        EngineReport { engine: "test", models, ..EngineReport::default() }
    }

    /// [`super::encode_png`], of an engine without models.
    fn encode_png(picture: &DynamicImage, icc: Option<&[u8]>) -> Result<Vec<u8>, EncodeError> {
        super::encode_png(picture, &report(vec![]), icc)
    }

    #[test]
    fn the_file_says_what_made_it() {
        let model = |name: &str| ModelId { name: name.to_owned(), sha256: "0123".to_owned() };
        let report = report(vec![model("one"), model("tw\u{f6}\0")]);
        let file = super::encode_png(&DynamicImage::new_rgb8(2, 2), &report, None).unwrap();
        let chunk =
            b"tEXtSoftware\0restore-batch test engine; one (sha256 0123); tw?? (sha256 0123)";
        assert!(file.windows(chunk.len()).any(|window| window == chunk));
        assert!(decode(&file, &DecodeLimits::default()).is_ok());
    }

    /// The smallest header of an ICC profile that names its colour space.
    fn profile(space: [u8; 4]) -> Vec<u8> {
        let mut profile = vec![0; 128];
        profile[16..20].copy_from_slice(&space);
        profile
    }

    #[test]
    fn every_kind_comes_back_the_same() {
        for color in [
            ColorType::L8,
            ColorType::La8,
            ColorType::Rgb8,
            ColorType::Rgba8,
            ColorType::L16,
            ColorType::La16,
            ColorType::Rgb16,
            ColorType::Rgba16,
        ] {
            let picture = DynamicImage::new(7, 5, color);
            let file = encode_png(&picture, None).unwrap();
            let read = decode(&file, &DecodeLimits::default()).unwrap();
            assert!(read.image == picture, "{color:?}");
            assert_eq!(read.icc, None);
        }
    }

    #[test]
    fn the_colour_profile_travels_along() {
        let picture = DynamicImage::new_rgb8(4, 4);
        let file = encode_png(&picture, Some(&profile(*b"RGB "))).unwrap();
        let read = decode(&file, &DecodeLimits::default()).unwrap();
        assert_eq!(read.icc, Some(profile(*b"RGB ")));
    }

    #[test]
    fn a_profile_of_another_colour_space_is_dropped_when_read() {
        let picture = DynamicImage::new_rgb8(4, 4);
        let file = encode_png(&picture, Some(&profile(*b"CMYK"))).unwrap();
        assert_eq!(decode(&file, &DecodeLimits::default()).unwrap().icc, None);
    }

    #[test]
    fn floats_become_16_bits() {
        let picture = ImageBuffer::from_pixel(2, 2, Rgb([0.5_f32, 1.0, 0.0]));
        let file = encode_png(&DynamicImage::ImageRgb32F(picture), None).unwrap();
        let read = decode(&file, &DecodeLimits::default()).unwrap().image;
        assert_eq!(read.color(), ColorType::Rgb16);
        let [half, full, none] = read.to_rgb16().get_pixel(1, 1).0;
        assert!(half.abs_diff(32_768) <= 1, "{half}");
        assert_eq!((full, none), (65_535, 0));
    }

    #[test]
    fn a_picture_without_pixels_is_an_error() {
        assert!(encode_png(&DynamicImage::new_rgb8(0, 0), None).is_err());
    }
}
