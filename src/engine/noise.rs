//! Estimates how strong the noise of a picture is, and whether there is any.
//!
//! The picture is cut into tiles of 12x12 pixels, and each is measured with the
//! high-pass mask of J. Immerkaer, "Fast Noise Variance Estimation", Computer Vision
//! and Image Understanding 64 (1996), <https://doi.org/10.1006/cviu.1996.0060>, which
//! is blind to flat areas and slopes. Detail only adds to what noise does, so the
//! quietest tiles (a low percentile) tell the noise.
//!
//! Each tile is measured twice. The *fine* scale is that of the pixels. JPEG removes
//! noise there first, and on an old, compressed picture nearly all of it, while the
//! blotches stay: the *coarse* scale sees those, on means of 2x2 pixels.
//!
//! What tells texture from noise is how the two compare. Noise is as strong on both
//! scales, and JPEG leaves about a fifth of it on the fine one; fur, grass and stars lie
//! between, so there only stronger noise is believed.
//!
//! Thresholds were fitted on seven photographs of scikit-image, in 135 overlapping crops
//! of 200x200 pixels, each aged in the four degrees of the quality benchmark. Taken for noisy are
//! 1 of the clean (all grass), 5 of the mild, 131 of the old and all of the bad ones.
//! Texture that fills the whole picture is what fools the estimate. In the crops it cost
//! 0.5 dB at worst; on pictures of nothing but grass or gravel, which were not used for
//! fitting, a clean picture lost 4 and 6 dB. Nothing here guards against that.

use std::ops::RangeInclusive;

use image::{DynamicImage, ImageBuffer, Pixel};

use super::sample::Sample;

/// Edge of a tile in pixels. Not a multiple of JPEG's 8, whose blocks may be all flat.
const TILE: usize = 12;
/// Pixels of a tile.
const SAMPLES: f32 = 144.0;
/// Which share of the tiles is expected to show nothing but noise.
const QUIET: usize = 50;
/// Most tiles that are measured; of a larger picture, evenly spaced ones.
const MOST_TILES: usize = 50_000;

/// What the quietest fiftieth of tiles shows of Gaussian noise of deviation 1, on the
/// fine and the coarse scale, for one and for three colour channels. Less than 1 and
/// 1/2, the more so the fewer samples a tile has, because the quietest are chosen.
/// Measured on pictures of noise alone.
const GRAY_SHARES: (f32, f32) = (0.75, 0.248);
const COLOUR_SHARES: (f32, f32) = (0.853, 0.338);

/// Ratio of fine to coarse that texture has. Compressed noise had 0.10 to 0.27, noise
/// as it was added 0.75 and more; clean crops with much detail 0.28 to 0.73, but for
/// grass.
const TEXTURE: RangeInclusive<f32> = 0.27..=0.75;

/// Least coarse deviation, in 8-bit levels, that counts as noise outside and inside the
/// range of texture. Clean crops reached 4.0 (grass: 5.8) and 5.7.
const THRESHOLD: f32 = 4.8;
const TEXTURE_THRESHOLD: f32 = 6.0;

/// Nearer to black or white than this many levels a tile is not used: what noise there
/// was has been clipped.
const CLIPPED: f32 = 12.0;

/// Estimated standard deviations of the noise, in 8-bit levels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Noise {
    pub(super) fine: f32,
    pub(super) coarse: f32,
}

impl Noise {
    /// Returns the deviation, noise or not; texture may be part of a small one.
    pub(super) fn sigma(self) -> f32 {
        self.fine.max(self.coarse)
    }

    /// Tells whether this is more than clean photographs show.
    pub(super) fn is_noisy(self) -> bool {
        let like_texture = TEXTURE.contains(&(self.fine / self.coarse));
        self.coarse >= if like_texture { TEXTURE_THRESHOLD } else { THRESHOLD }
    }
}

/// Estimates the noise of `picture`. One smaller than a tile has none.
pub(super) fn estimate(picture: &DynamicImage) -> Noise {
    use DynamicImage as D;
    match picture {
        D::ImageLuma8(buffer) => measure(buffer),
        D::ImageLumaA8(buffer) => measure(buffer),
        D::ImageRgb8(buffer) => measure(buffer),
        D::ImageRgba8(buffer) => measure(buffer),
        D::ImageLuma16(buffer) => measure(buffer),
        D::ImageLumaA16(buffer) => measure(buffer),
        D::ImageRgb16(buffer) => measure(buffer),
        D::ImageRgba16(buffer) => measure(buffer),
        other => measure(&other.to_rgba16()),
    }
}

fn measure<P, S>(buffer: &ImageBuffer<P, Vec<S>>) -> Noise
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    let columns = buffer.width() as usize / TILE;
    let tiles = columns * (buffer.height() as usize / TILE);
    let (mut fine, mut coarse) = (Vec::new(), Vec::new());
    for tile in (0..tiles).step_by(tiles / MOST_TILES + 1) {
        let (left, top) = (tile % columns * TILE, tile / columns * TILE);
        if let Some((fine_variance, coarse_variance)) = measure_tile(buffer, left, top) {
            fine.push(fine_variance);
            coarse.push(coarse_variance);
        }
    }
    let (fine_share, coarse_share) = if P::CHANNEL_COUNT < 3 { GRAY_SHARES } else { COLOUR_SHARES };
    Noise { fine: quiet(fine) / fine_share, coarse: quiet(coarse) / coarse_share }
}

/// Returns the deviation that the quietest tiles show.
///
/// Tiles without any variance were painted, not photographed (the frame of a scan, a
/// caption), and say nothing. Where they are the majority, so is the whole picture.
fn quiet(variances: Vec<f32>) -> f32 {
    let all = variances.len();
    let mut photographed: Vec<f32> = variances.into_iter().filter(|&v| v > 0.0).collect();
    if photographed.len() * 2 <= all {
        return 0.0;
    }
    let rank = photographed.len() / QUIET;
    let (_, variance, _) = photographed.select_nth_unstable_by(rank, f32::total_cmp);
    variance.sqrt()
}

/// Returns the variance of the high-passed tile on the fine and the coarse scale, mean
/// of the colour channels. `None` where clipping or transparency hides the noise.
fn measure_tile<P, S>(
    buffer: &ImageBuffer<P, Vec<S>>,
    left: usize,
    top: usize,
) -> Option<(f32, f32)>
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    let colours = P::CHANNEL_COUNT - u8::from(P::HAS_ALPHA);
    if P::HAS_ALPHA {
        let alpha = read_tile(buffer, left, top, usize::from(colours));
        if alpha.iter().any(|&level| level < 255.0) {
            return None;
        }
    }
    let (mut fine, mut coarse, mut used) = (0.0, 0.0, 0.0);
    for channel in 0..colours {
        let tile = read_tile(buffer, left, top, usize::from(channel));
        let mean = tile.iter().sum::<f32>() / SAMPLES;
        if (CLIPPED..=255.0 - CLIPPED).contains(&mean) {
            fine += high_pass_variance(&tile, TILE);
            coarse += high_pass_variance(&halve(&tile), TILE / 2);
            used += 1.0;
        }
    }
    (used > 0.0).then(|| (fine / used, coarse / used))
}

/// Returns one channel of a tile, row after row, in 8-bit levels.
fn read_tile<P, S>(
    buffer: &ImageBuffer<P, Vec<S>>,
    left: usize,
    top: usize,
    channel: usize,
) -> [f32; TILE * TILE]
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    let channels = usize::from(P::CHANNEL_COUNT);
    let mut tile = [0.0; TILE * TILE];
    for (row, levels) in tile.chunks_exact_mut(TILE).enumerate() {
        let from = ((top + row) * buffer.width() as usize + left) * channels + channel;
        let samples = buffer.as_raw()[from..].iter().step_by(channels);
        for (level, sample) in levels.iter_mut().zip(samples) {
            *level = sample.level();
        }
    }
    tile
}

/// Returns the means of 2x2 pixels.
fn halve(tile: &[f32; TILE * TILE]) -> [f32; TILE * TILE / 4] {
    std::array::from_fn(|at| {
        let corner = at / (TILE / 2) * 2 * TILE + at % (TILE / 2) * 2;
        (tile[corner] + tile[corner + 1] + tile[corner + TILE] + tile[corner + TILE + 1]) / 4.0
    })
}

/// Returns the mean square of Immerkaer's mask over a square of `edge` pixels, scaled
/// so that independent noise of variance 1 gives 1.
fn high_pass_variance(square: &[f32], edge: usize) -> f32 {
    // Rows of the mask: 1 -2 1, -2 4 -2, 1 -2 1; its squares add up to 36.
    const MASK_POWER: f32 = 36.0;
    let across = |at: usize| square[at - 1] - 2.0 * square[at] + square[at + 1];
    let mut power = 0.0;
    let mut count = 0.0;
    for row in 1..edge - 1 {
        for column in 1..edge - 1 {
            let at = row * edge + column;
            let response = across(at - edge) - 2.0 * across(at) + across(at + edge);
            power += response * response;
            count += 1.0;
        }
    }
    power / (count * MASK_POWER)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;
    use crate::testing::degrade::{add_noise, example};

    /// A smooth picture: slopes, no texture.
    fn slopes() -> RgbImage {
        RgbImage::from_fn(240, 240, |x, y| {
            let level = |from: u32, step: u32| u8::try_from(from + step / 3).unwrap();
            Rgb([level(60, x), level(90, y), level(70, x / 2 + y / 2)])
        })
    }

    fn estimated(picture: RgbImage) -> Noise {
        estimate(&picture.into())
    }

    #[test]
    fn known_noise_on_a_smooth_picture_is_measured_within_a_tenth() {
        for sigma in [4.0_f32, 8.0, 16.0] {
            let noise = estimated(add_noise(&slopes(), sigma));
            assert!((noise.fine / sigma - 1.0).abs() < 0.1, "{sigma}: {noise:?}");
            assert!((noise.coarse / sigma - 1.0).abs() < 0.1, "{sigma}: {noise:?}");
            assert_eq!(noise.is_noisy(), sigma > THRESHOLD);
        }
    }

    #[test]
    fn known_noise_on_a_photograph_is_measured_within_tolerance() {
        // The crop of the cat is all fur, which adds two fifths to weak noise.
        for (name, tolerance) in
            [("portrait.jpg", 0.2), ("photographer.png", 0.2), ("cat.jpg", 0.45)]
        {
            for sigma in [7.0, 10.0, 16.0] {
                let noise = estimated(add_noise(&example(name, 200), sigma));
                assert!(
                    (noise.sigma() / sigma - 1.0).abs() < tolerance,
                    "{name} {sigma}: {noise:?}"
                );
                assert!(noise.is_noisy());
            }
        }
    }

    #[test]
    fn clean_photographs_are_not_noisy() {
        for name in ["portrait.jpg", "cat.jpg", "photographer.png", "caf\u{e9} faded.jpg"] {
            let noise = estimated(example(name, 200));
            assert!(!noise.is_noisy(), "{name}: {noise:?}");
        }
        assert!(!estimated(slopes()).is_noisy());
    }

    #[test]
    fn a_painted_frame_does_not_hide_the_noise() {
        let mut framed = RgbImage::from_pixel(240, 240, Rgb([230, 225, 210]));
        let photo = add_noise(&slopes(), 10.0);
        let photo = image::imageops::crop_imm(&photo, 0, 0, 192, 192).to_image();
        image::imageops::replace(&mut framed, &photo, 24, 24);
        assert!((estimated(framed).sigma() - 10.0).abs() < 2.0);
    }

    #[test]
    fn a_drawing_is_not_noisy() {
        let drawing = RgbImage::from_fn(240, 240, |x, y| {
            if x % 60 < 5 || y % 60 < 5 { Rgb([20, 40, 90]) } else { Rgb([200, 190, 180]) }
        });
        assert_eq!(estimated(drawing), Noise::default());
    }

    #[test]
    fn transparent_and_clipped_parts_do_not_count() {
        let hidden = add_noise(&slopes(), 20.0);
        let transparent = RgbaImage::from_fn(240, 240, |x, y| {
            let Rgb([red, green, blue]) = *hidden.get_pixel(x, y);
            Rgba([red, green, blue, 0])
        });
        assert_eq!(estimate(&transparent.into()), Noise::default());
        let black = add_noise(&RgbImage::new(120, 120), 10.0);
        assert_eq!(estimated(black), Noise::default());
    }

    #[test]
    fn a_picture_smaller_than_a_tile_has_none() {
        assert_eq!(estimated(add_noise(&RgbImage::new(11, 300), 20.0)), Noise::default());
        assert_eq!(estimate(&DynamicImage::new_luma16(0, 0)), Noise::default());
    }
}
