//! Makes clean photographs worse, the same way every time, for tests and the benchmark.
//!
//! The order is that of an old picture that went through a scanner: blur of the lens,
//! half the size, grain, JPEG. What comes out is compared with what went in by
//! [`likeness`](super::likeness).

use std::{io::Cursor, path::Path};

use image::{
    DynamicImage, GenericImageView, ImageBuffer, ImageFormat, Pixel, RgbImage,
    codecs::jpeg::JpegEncoder, imageops,
};

/// How badly a photograph is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degree {
    /// Nothing but half the size and JPEG of quality 95.
    Clean,
    /// Blur 0.8, noise 4, JPEG 80: a snapshot of a small camera.
    Mild,
    /// Blur 1.2, noise 12, JPEG 60: a scan of an old print.
    Old,
    /// Blur 1.8, noise 20, JPEG 40: hardly worth keeping.
    Bad,
}

/// Strengths of the steps of one degree.
struct Recipe {
    /// Deviation of the Gaussian blur, in pixels of the full size.
    blur: f32,
    /// Deviation of the Gaussian noise, in 8-bit levels, after shrinking.
    noise: f32,
    /// Quality of the JPEG file, 1 to 100.
    quality: u8,
}

impl Degree {
    /// All degrees, the least first.
    pub const ALL: [Self; 4] = [Self::Clean, Self::Mild, Self::Old, Self::Bad];

    /// Returns its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Mild => "mild",
            Self::Old => "old",
            Self::Bad => "bad",
        }
    }

    fn recipe(self) -> Recipe {
        let (blur, noise, quality) = match self {
            Self::Clean => (0.0, 0.0, 95),
            Self::Mild => (0.8, 4.0, 80),
            Self::Old => (1.2, 12.0, 60),
            Self::Bad => (1.8, 20.0, 40),
        };
        Recipe { blur, noise, quality }
    }
}

/// Returns the photograph at half its size, made worse; an 8-bit gray one stays gray,
/// all others become 8-bit RGB. An odd last row or column counts half.
///
/// # Panics
///
/// When the photograph is smaller than 2x2 pixels.
#[must_use]
pub fn degrade(clean: &DynamicImage, degree: Degree) -> DynamicImage {
    let Recipe { blur, noise, quality } = degree.recipe();
    let blurred = if blur > 0.0 { clean.blur(blur) } else { clean.clone() };
    let small = blurred.thumbnail_exact(clean.width() / 2, clean.height() / 2);
    let noisy = match small {
        DynamicImage::ImageLuma8(gray) => DynamicImage::from(add_noise(&gray, noise)),
        other => DynamicImage::from(add_noise(&other.to_rgb8(), noise)),
    };
    let mut jpeg = Vec::new();
    noisy
        .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, quality))
        .expect("a JPEG file can hold 8-bit gray and RGB, and memory can be written");
    image::load(Cursor::new(jpeg), ImageFormat::Jpeg).expect("the file was just written")
}

/// Adds independent Gaussian noise of deviation `sigma`, in 8-bit levels, to every
/// sample; the same noise every time.
#[must_use]
pub fn add_noise<P>(clean: &ImageBuffer<P, Vec<u8>>, sigma: f32) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8>,
{
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noisy = clean.clone();
    for sample in noisy.iter_mut() {
        *sample = nearest(f32::from(*sample) + sigma * gaussian(&mut state));
    }
    noisy
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float-to-integer casts saturate, which is the clamp wanted here"
)]
fn nearest(level: f32) -> u8 {
    (level + 0.5) as u8
}

/// Sum of twelve uniform numbers minus six: mean 0, deviation 1, close to Gaussian.
fn gaussian(state: &mut u64) -> f32 {
    (0..12).map(|_| uniform(state)).sum::<f32>() - 6.0
}

/// Marsaglia's xorshift with a multiplied output (xorshift64*).
fn uniform(state: &mut u64) -> f32 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 48;
    f32::from(u16::try_from(bits).unwrap_or(u16::MAX)) / 65_536.0
}

/// Returns `examples/photos/NAME`, in the kind it has on disk.
///
/// # Panics
///
/// When there is no such photograph.
#[must_use]
pub fn example_photo(name: &str) -> DynamicImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos").join(name);
    image::open(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

/// Returns a square of `edge` pixels from the middle of `examples/photos/NAME`, in RGB.
///
/// # Panics
///
/// When there is no such photograph, or it is smaller.
#[must_use]
pub fn example(name: &str, edge: u32) -> RgbImage {
    middle(&example_photo(name), edge).to_rgb8()
}

/// Returns a square of `edge` pixels from the middle of `photo`.
///
/// # Panics
///
/// When the photograph is smaller.
#[must_use]
pub fn middle(photo: &DynamicImage, edge: u32) -> DynamicImage {
    let (width, height) = photo.dimensions();
    assert!(width >= edge && height >= edge, "{width}x{height} has no square of {edge}");
    photo.crop_imm((width - edge) / 2, (height - edge) / 2, edge, edge)
}

/// Returns the photograph at most `edge` pixels wide and high, with even width and
/// height, so that half the size is exact: shrunk if it is larger, then cropped.
#[must_use]
pub fn at_most(photo: &DynamicImage, edge: u32) -> DynamicImage {
    let (width, height) = photo.dimensions();
    let photo = if width.max(height) > edge {
        photo.resize(edge, edge, imageops::FilterType::Lanczos3)
    } else {
        photo.clone()
    };
    photo.crop_imm(0, 0, photo.width() / 2 * 2, photo.height() / 2 * 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::likeness::psnr;

    #[test]
    fn each_degree_is_worse_than_the_one_before_and_keeps_the_kind() {
        for name in ["cat.jpg", "photographer.png"] {
            let photo = middle(&example_photo(name), 200);
            let truth = photo.thumbnail_exact(100, 100);
            let worse = Degree::ALL.map(|degree| degrade(&photo, degree));
            assert!(worse.iter().all(|picture| picture.color() == photo.color()));
            let likeness = worse.map(|picture| psnr(&truth, &picture));
            assert!(likeness.windows(2).all(|pair| pair[0] > pair[1] + 1.0), "{likeness:?}");
        }
    }

    #[test]
    fn noise_has_the_deviation_asked_for_and_no_bias() {
        let gray = image::GrayImage::from_pixel(200, 200, image::Luma([128]));
        let noisy = add_noise(&gray, 10.0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for &level in noisy.as_raw() {
            let difference = f64::from(level) - 128.0;
            sum += difference;
            squares += difference * difference;
        }
        assert!((sum / 40_000.0).abs() < 0.2);
        assert!(((squares / 40_000.0).sqrt() - 10.0).abs() < 0.2);
    }

    #[test]
    fn large_photographs_shrink_and_sizes_become_even() {
        let size = |width, height| {
            let photo = at_most(&DynamicImage::new_rgb8(width, height), 512);
            (photo.width(), photo.height())
        };
        assert_eq!(size(451, 300), (450, 300));
        assert_eq!(size(1000, 872), (512, 446));
    }
}
