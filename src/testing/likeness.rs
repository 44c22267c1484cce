//! How like two pictures are, in the measures of the literature.

use image::DynamicImage;

/// Returns the peak signal-to-noise ratio in dB over all samples: 10 log10 of the
/// squared peak, 255, over the mean squared difference. Infinite for equal pictures.
///
/// # Panics
///
/// When the sizes differ.
#[must_use]
pub fn psnr(a: &DynamicImage, b: &DynamicImage) -> f64 {
    let (a, b) = (a.to_rgb8(), b.to_rgb8());
    assert_eq!(a.dimensions(), b.dimensions());
    let squares: f64 = std::iter::zip(a.iter(), b.iter())
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum();
    let count = f64::from(a.width()) * f64::from(a.height()) * 3.0;
    10.0 * (255.0_f64.powi(2) * count / squares).log10()
}

/// Taps of the window, and its deviation in pixels, as the paper has them.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
/// What keeps the quotients stable: `(0.01 * 255)^2` and `(0.03 * 255)^2`.
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// Returns the mean structural similarity of the luma of two pictures, at most 1.
///
/// Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From
/// Error Visibility to Structural Similarity", IEEE Transactions on Image Processing 13
/// (2004), <https://doi.org/10.1109/TIP.2003.819861>: a Gaussian window of 11x11 and
/// deviation 1.5, K1 0.01, K2 0.03, peak 255. Windows lie wholly inside the picture,
/// and pictures are not shrunk beforehand. Luma is that of ITU-R BT.601, unrounded.
///
/// # Panics
///
/// When the sizes differ, or are below 11 pixels.
#[must_use]
pub fn ssim(a: &DynamicImage, b: &DynamicImage) -> f64 {
    let (a, b) = (Plane::luma(a), Plane::luma(b));
    assert_eq!((a.width, a.levels.len()), (b.width, b.levels.len()));
    let mean_a = a.windowed();
    let mean_b = b.windowed();
    let squares_a = a.times(&a).windowed();
    let squares_b = b.times(&b).windowed();
    let mean_product = a.times(&b).windowed();
    let mut sum = 0.0;
    for at in 0..mean_a.levels.len() {
        let (a, b) = (mean_a.levels[at], mean_b.levels[at]);
        let covariance = mean_product.levels[at] - a * b;
        let variances = squares_a.levels[at] - a * a + squares_b.levels[at] - b * b;
        sum += (2.0 * a * b + C1) * (2.0 * covariance + C2)
            / ((a * a + b * b + C1) * (variances + C2));
    }
    sum / count(mean_a.levels.len())
}

/// One number for every pixel, row after row.
struct Plane {
    width: usize,
    levels: Vec<f64>,
}

impl Plane {
    fn luma(picture: &DynamicImage) -> Self {
        let picture = picture.to_rgb8();
        let luma = |pixel: &image::Rgb<u8>| {
            let [red, green, blue] = pixel.0.map(f64::from);
            0.299 * red + 0.587 * green + 0.114 * blue
        };
        Self { width: picture.width() as usize, levels: picture.pixels().map(luma).collect() }
    }

    fn times(&self, other: &Self) -> Self {
        let levels = std::iter::zip(&self.levels, &other.levels).map(|(a, b)| a * b).collect();
        Self { width: self.width, levels }
    }

    /// Returns the weighted means of all windows that lie wholly inside.
    fn windowed(&self) -> Self {
        assert!(self.width >= WINDOW && self.levels.len() / self.width >= WINDOW, "too small");
        let weights = weights();
        let weigh = |levels: &mut dyn Iterator<Item = &f64>| -> f64 {
            levels.zip(&weights).map(|(level, weight)| level * weight).sum()
        };
        let width = self.width - WINDOW + 1;
        let mut across = Vec::new();
        for row in self.levels.chunks_exact(self.width) {
            across.extend(row.windows(WINDOW).map(|window| weigh(&mut window.iter())));
        }
        let rows = across.len() / width - WINDOW + 1;
        let levels = (0..rows * width)
            .map(|at| weigh(&mut across[at..].iter().step_by(width).take(WINDOW)))
            .collect();
        Self { width, levels }
    }
}

/// Returns the taps of a Gaussian, which add up to 1.
fn weights() -> [f64; WINDOW] {
    let middle = count(WINDOW / 2);
    let taps: [f64; WINDOW] = std::array::from_fn(|tap| {
        (-(count(tap) - middle).powi(2) / (2.0 * DEVIATION * DEVIATION)).exp()
    });
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

#[expect(clippy::cast_precision_loss, reason = "pictures have fewer than 2^52 pixels")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Returns the mean level of red, green and blue.
#[must_use]
pub fn channel_means(picture: &DynamicImage) -> [f64; 3] {
    let picture = picture.to_rgb8();
    let count = f64::from(picture.width()) * f64::from(picture.height());
    std::array::from_fn(|channel| {
        picture.pixels().map(|pixel| f64::from(pixel[channel])).sum::<f64>() / count
    })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn picture(shift: u32) -> DynamicImage {
        RgbImage::from_fn(40, 30, |x, y| {
            let mix = |factor: u32| {
                u8::try_from((x * factor + y * y * 31 + shift * (x % 3)) % 251).unwrap()
            };
            Rgb([mix(7), mix(83), mix(29)])
        })
        .into()
    }

    #[test]
    fn equal_pictures_are_as_like_as_can_be() {
        assert!(psnr(&picture(0), &picture(0)).is_infinite());
        assert!((ssim(&picture(0), &picture(0)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_level_everywhere_is_48_db() {
        let gray = |level| DynamicImage::from(RgbImage::from_pixel(16, 16, Rgb([level; 3])));
        assert!((psnr(&gray(100), &gray(101)) - 48.130_804).abs() < 1e-5);
        let means = (2.0 * 100.0 * 110.0 + C1) / (100.0_f64.powi(2) + 110.0_f64.powi(2) + C1);
        assert!((ssim(&gray(100), &gray(110)) - means).abs() < 1e-9);
    }

    /// The numbers are those of scikit-image 0.26 on the same pixels, `peak_signal_noise_ratio`
    /// and, on unrounded luma, `structural_similarity` with `gaussian_weights=True,
    /// sigma=1.5, use_sample_covariance=False, data_range=255`.
    #[test]
    fn both_agree_with_an_independent_implementation() {
        let (a, b) = (picture(0), picture(40));
        assert!((psnr(&a, &b) - PSNR).abs() < 1e-9, "{}", psnr(&a, &b));
        assert!((ssim(&a, &b) - SSIM).abs() < 1e-9, "{}", ssim(&a, &b));
    }

    const PSNR: f64 = 9.856_869_071_601;
    const SSIM: f64 = 0.369_122_939_744;
}
