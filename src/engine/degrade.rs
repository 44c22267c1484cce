//! Ages clean pictures the same way every time, and compares pictures, for tests.

use std::{io::Cursor, path::Path};

use image::{DynamicImage, ImageFormat, RgbImage, codecs::jpeg::JpegEncoder, imageops};

use super::sample::Sample;

/// How badly a test picture is treated: blur, then half the size, then noise, then JPEG.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    blur: f32,
    noise: f32,
    quality: u8,
}

/// Returns one of the four levels of the project's benchmark: `clean`, `mild`, `old`
/// or `bad`.
pub(super) fn level(name: &str) -> Level {
    let (blur, noise, quality) = match name {
        "clean" => (0.0, 0.0, 95),
        "mild" => (0.8, 4.0, 80),
        "old" => (1.2, 12.0, 60),
        "bad" => (1.8, 20.0, 40),
        other => panic!("no level `{other}`"),
    };
    Level { blur, noise, quality }
}

/// Returns a square of `edge` pixels from the middle of `examples/photos/NAME`.
pub(super) fn example(name: &str, edge: u32) -> RgbImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos").join(name);
    let photo = image::open(path).unwrap().to_rgb8();
    let (left, top) = ((photo.width() - edge) / 2, (photo.height() - edge) / 2);
    imageops::crop_imm(&photo, left, top, edge, edge).to_image()
}

/// Returns `clean` at half its size, degraded.
pub(super) fn degrade(clean: &RgbImage, level: Level) -> RgbImage {
    let blurred = if level.blur > 0.0 { imageops::blur(clean, level.blur) } else { clean.clone() };
    let small = imageops::thumbnail(&blurred, clean.width() / 2, clean.height() / 2);
    let noisy = add_noise(&small, level.noise);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, level.quality).encode_image(&noisy).unwrap();
    let decoded = image::load(Cursor::new(jpeg), ImageFormat::Jpeg).unwrap();
    decoded.to_rgb8()
}

/// Adds independent Gaussian noise of deviation `sigma` to every sample, fixed seed.
pub(super) fn add_noise(clean: &RgbImage, sigma: f32) -> RgbImage {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noisy = clean.clone();
    for sample in noisy.iter_mut() {
        *sample = u8::from_level(sample.level() + sigma * gaussian(&mut state));
    }
    noisy
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
    f32::from(u16::try_from(bits).unwrap()) / 65_536.0
}

/// Returns the peak signal-to-noise ratio in dB over all samples.
pub(super) fn psnr(a: &DynamicImage, b: &DynamicImage) -> f64 {
    let (a, b) = (a.to_rgb8(), b.to_rgb8());
    assert_eq!(a.dimensions(), b.dimensions());
    let squares: f64 = std::iter::zip(a.iter(), b.iter())
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum();
    let count = f64::from(a.width()) * f64::from(a.height()) * 3.0;
    10.0 * (255.0_f64.powi(2) * count / squares).log10()
}

/// Returns the mean level of red, green and blue.
pub(super) fn channel_means(picture: &DynamicImage) -> [f64; 3] {
    let picture = picture.to_rgb8();
    let count = f64::from(picture.width()) * f64::from(picture.height());
    std::array::from_fn(|channel| {
        picture.pixels().map(|pixel| f64::from(pixel[channel])).sum::<f64>() / count
    })
}
