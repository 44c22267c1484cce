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
//! What is measured so is noise or texture. Noise that was never compressed is as strong
//! on the fine scale as on the coarse one. Compressed noise is not, but then there are
//! seams between the blocks of JPEG ([`blocking`](super::blocking)), and it cannot be
//! much stronger than they are. What is neither is texture: fur, grass, gravel.
//!
//! What is done about it is decided by [`policy`](super::policy), where it is told on
//! which pictures the numbers were found.

use std::ops::Range;

use image::{DynamicImage, ImageBuffer, Pixel};

use super::{blocking::blocking, sample::Sample};

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

/// Least ratio of fine to coarse of noise that was never compressed. It had 0.75 and
/// more on photographs; texture had 0.3 to 0.5, compressed noise 0.1 to 0.3.
const UNCOMPRESSED: f32 = 0.6;
/// How strong compressed noise can be for seams of strength 1. Noise of deviation 12 and 20
/// in JPEG of quality 60 and 40 came out at 0.3 to 1; more of it than this made textures smooth.
const NOISE_OF_SEAMS: f32 = 0.8;
/// More than this on the coarse scale, in 8-bit levels, is texture, unless it is as strong
/// on the fine one. Noise of deviation 20 in gray JPEG reached 19; grass and gravel have 19 to 27.
const TEXTURE: f32 = 22.0;

/// What is noise for certain, however slightly it was compressed: between these deviations
/// on the coarse scale, in 8-bit levels, and at least this part of it on the fine one. Noise of
/// deviation 12 in colour and 8 in gray, in JPEG of quality 85, had 6.0 and more, and 0.53 and
/// more. Clean photographs have less than 5, also in JPEG 75 and 95; grass and gravel, which
/// are all texture, have 12.6 and more on the coarse scale.
const EVIDENT: Range<f32> = 5.5..12.0;
const EVIDENT_FINE: f32 = 0.5;

/// Nearer to black or white than this many levels a tile is not used: what noise there
/// was has been clipped.
const CLIPPED: f32 = 12.0;

/// What shows of noise and compression, in 8-bit levels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Noise {
    /// Standard deviation of the quietest tiles on the scale of pixels.
    pub(super) fine: f32,
    /// The same on means of 2x2 pixels.
    pub(super) coarse: f32,
    /// Strength of the seams between the blocks of JPEG.
    pub(super) blocking: f32,
}

impl Noise {
    /// Returns the standard deviation of what is noise rather than texture.
    pub(super) fn sigma(self) -> f32 {
        if self.is_evident() {
            return self.fine.max(self.coarse);
        }
        if self.is_uncompressed() {
            return self.fine.max(self.coarse.min(NOISE_OF_SEAMS * self.blocking));
        }
        if self.coarse > TEXTURE { 0.0 } else { self.coarse.min(NOISE_OF_SEAMS * self.blocking) }
    }

    /// Tells whether this can be nothing but noise.
    pub(super) fn is_evident(self) -> bool {
        EVIDENT.contains(&self.coarse) && self.fine >= EVIDENT_FINE * self.coarse
    }

    /// Tells whether this is as strong on the fine scale as noise is before compression.
    pub(super) fn is_uncompressed(self) -> bool {
        self.fine > UNCOMPRESSED * self.coarse
    }
}

/// Estimates the noise of `picture`. One smaller than a tile has none.
pub(super) fn estimate(picture: &DynamicImage) -> Noise {
    use DynamicImage as D;
    let (fine, coarse) = match picture {
        D::ImageLuma8(buffer) => measure(buffer),
        D::ImageLumaA8(buffer) => measure(buffer),
        D::ImageRgb8(buffer) => measure(buffer),
        D::ImageRgba8(buffer) => measure(buffer),
        D::ImageLuma16(buffer) => measure(buffer),
        D::ImageLumaA16(buffer) => measure(buffer),
        D::ImageRgb16(buffer) => measure(buffer),
        D::ImageRgba16(buffer) => measure(buffer),
        other => measure(&other.to_rgba16()),
    };
    Noise { fine, coarse, blocking: blocking(picture) }
}

/// Returns the deviations on the fine and the coarse scale.
fn measure<P, S>(buffer: &ImageBuffer<P, Vec<S>>) -> (f32, f32)
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
    (quiet(fine) / fine_share, quiet(coarse) / coarse_share)
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
    use crate::testing::degrade::{Degree, add_noise, degrade, example, example_photo, middle};

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
            }
        }
    }

    #[test]
    fn clean_photographs_have_little_noise() {
        for name in ["portrait.jpg", "cat.jpg", "photographer.png", "caf\u{e9} faded.jpg"] {
            let noise = estimated(example(name, 200));
            assert!(noise.sigma() < 3.0, "{name}: {noise:?}");
        }
        assert!(estimated(slopes()).sigma() < 1.0);
    }

    #[test]
    fn compressed_noise_is_found_where_the_seams_are() {
        for name in ["portrait.jpg", "cat.jpg", "photographer.png"] {
            let aged = degrade(&middle(&example_photo(name), 200), Degree::Old);
            let noise = estimate(&aged);
            assert!((4.0..16.0).contains(&noise.sigma()), "{name}: {noise:?}");
            let cropped = estimate(&aged.crop_imm(4, 4, 96, 96));
            assert!((4.0..16.0).contains(&cropped.sigma()), "{name}: {cropped:?}");
            // Without seams it is texture for all that can be told.
            let shrunk = estimate(&aged.thumbnail_exact(73, 73));
            assert!(shrunk.sigma() < 2.0, "{name}: {shrunk:?}");
        }
    }

    #[test]
    fn strong_noise_is_found_in_good_files() {
        for (name, least) in [("portrait-noisy.jpg", 5.0), ("cat-blurred-noisy.jpg", 6.0)] {
            let noise = estimate(&example_photo(name));
            assert!(noise.is_evident() && noise.sigma() >= least, "{name}: {noise:?}");
        }
        for name in ["portrait.jpg", "cat.jpg", "photographer.png", "caf\u{e9} faded.jpg"] {
            let noise = estimate(&example_photo(name));
            assert!(!noise.is_evident(), "{name}: {noise:?}");
        }
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
        assert!(estimated(drawing).sigma() < 1e-6);
    }

    #[test]
    fn transparent_and_clipped_parts_do_not_count() {
        let hidden = add_noise(&slopes(), 20.0);
        let transparent = RgbaImage::from_fn(240, 240, |x, y| {
            let Rgb([red, green, blue]) = *hidden.get_pixel(x, y);
            Rgba([red, green, blue, 0])
        });
        assert!(estimate(&transparent.into()).sigma() < 1e-6);
        let black = add_noise(&RgbImage::new(120, 120), 10.0);
        assert!(estimated(black).sigma() < 1e-6);
    }

    #[test]
    fn a_picture_smaller_than_a_tile_has_none() {
        assert!(estimated(add_noise(&RgbImage::new(11, 300), 20.0)).sigma() < 1e-6);
        assert_eq!(estimate(&DynamicImage::new_luma16(0, 0)), Noise::default());
    }
}
