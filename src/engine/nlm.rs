//! Removes noise by non-local means: each pixel becomes the mean of the pixels around
//! it whose neighbourhoods look alike, so that edges stay and grain goes.
//!
//! Method: Buades, Coll, Morel, "Non-Local Means Denoising", IPOL 1 (2011),
//! <https://doi.org/10.5201/ipol.2011.bcm_nlm>, with two changes. The exponential is
//! `(1 - t/8)^8`, which differs by little, ends at zero and runs in SIMD lanes. The sum
//! over a patch is taken separably, rows then columns: as cheap here as an integral
//! image, and exact in `f32`, which an integral image of a large picture is not.
//!
//! Work goes band by band, so memory beyond the result is a few rows per core.
//! Whether there is noise, and how much, is [`noise`](super::noise)'s business.

use std::{
    iter::zip,
    sync::{Mutex, PoisonError},
    thread,
};

use image::{DynamicImage, ImageBuffer, Pixel};

use super::{contract::EngineError, sample::Sample, watch::Watch};

/// Edge of a patch in pixels.
const PATCH: usize = 5;
/// Farthest a similar patch is looked for, in pixels: a window of 15x15.
const REACH: usize = 7;
/// Rows and columns a band needs around it.
const MARGIN: usize = REACH + PATCH / 2;
/// Most rows filtered at once: enough to make the margin cheap, few enough for the cache.
const MOST_ROWS: usize = 32;
/// Most pixels of a band with its margin, unless that is less than one row: 10 MiB in
/// colour, and no picture a decoder lets through takes three times as much.
const BAND_PIXELS: usize = 400_000;

/// How noise is removed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Denoise {
    /// Standard deviation of the noise, in 8-bit levels.
    pub(super) sigma: f32,
    /// How much of what was found is removed, `0.0..=1.0`; the rest stays as it was.
    pub(super) share: f32,
}

/// Returns `picture` with less noise.
///
/// Size and kind stay, and so does alpha; colour under full transparency is left alone.
/// Samples other than 8 or 16 bits come back as 16-bit RGBA.
pub(super) fn denoise(
    picture: &DynamicImage,
    denoise: Denoise,
    watch: &Watch,
) -> Result<DynamicImage, EngineError> {
    use DynamicImage as D;
    Ok(match picture {
        D::ImageLuma8(buffer) => D::ImageLuma8(filter(buffer, denoise, watch)?),
        D::ImageLumaA8(buffer) => D::ImageLumaA8(filter(buffer, denoise, watch)?),
        D::ImageRgb8(buffer) => D::ImageRgb8(filter(buffer, denoise, watch)?),
        D::ImageRgba8(buffer) => D::ImageRgba8(filter(buffer, denoise, watch)?),
        D::ImageLuma16(buffer) => D::ImageLuma16(filter(buffer, denoise, watch)?),
        D::ImageLumaA16(buffer) => D::ImageLumaA16(filter(buffer, denoise, watch)?),
        D::ImageRgb16(buffer) => D::ImageRgb16(filter(buffer, denoise, watch)?),
        D::ImageRgba16(buffer) => D::ImageRgba16(filter(buffer, denoise, watch)?),
        other => D::ImageRgba16(filter(&other.to_rgba16(), denoise, watch)?),
    })
}

/// Returns how many rows a band of a picture this wide has.
fn band_rows(width: usize) -> usize {
    (BAND_PIXELS / (width + 2 * MARGIN)).saturating_sub(2 * MARGIN).clamp(1, MOST_ROWS)
}

/// Filters one buffer on all threads. Bands are independent, so the result does not
/// depend on how many threads there are.
fn filter<P, S>(
    source: &ImageBuffer<P, Vec<S>>,
    denoise: Denoise,
    watch: &Watch,
) -> Result<ImageBuffer<P, Vec<S>>, EngineError>
where
    P: Pixel<Subpixel = S> + Sync,
    S: Sample,
{
    let mut result = source.clone();
    let row = source.width() as usize * usize::from(P::CHANNEL_COUNT);
    if row == 0 {
        return Ok(result);
    }
    let band_rows = band_rows(source.width() as usize);
    let bands = Mutex::new(result.chunks_mut(row * band_rows).enumerate());
    let next = || bands.lock().unwrap_or_else(PoisonError::into_inner).next();
    watch.expect(source.height().div_ceil(u32::try_from(band_rows).unwrap_or(u32::MAX)));
    thread::scope(|scope| {
        for _ in 0..watch.threads() {
            scope.spawn(|| {
                let mut band = Band::new::<P>(source.width() as usize, band_rows, denoise);
                while let Some((index, rows)) = next() {
                    band.load(source, index * band_rows);
                    if band.average(rows.len() / row, watch).is_err() {
                        break;
                    }
                    band.store(rows);
                    watch.advance();
                }
            });
        }
    });
    watch.check()?;
    Ok(result)
}

/// One core's working memory: a band with its margin, and sums over similar pixels.
struct Band {
    width: usize,
    /// Most rows, margin not counted.
    rows: usize,
    /// Width with the margin on both sides.
    stride: usize,
    has_alpha: bool,
    strength: Strength,
    /// How much of the difference to the mean is taken.
    share: f32,
    /// One plane a colour channel, multiplied by opacity.
    colours: Vec<Vec<f32>>,
    /// How far each pixel is to be trusted: its opacity, `0.0..=1.0`.
    opacity: Vec<f32>,
    /// Weighted sums of each colour over the similar pixels found so far.
    sums: Vec<Vec<f32>>,
    /// Sum of the weights, opacity included.
    weights: Vec<f32>,
    /// Squared difference to the shifted band, summed over the colours.
    difference: Vec<f32>,
    /// One row of `difference`, summed over the rows of a patch.
    columns: Vec<f32>,
    /// Weights of one row.
    row_weights: Vec<f32>,
}

/// How unlike two patches may be, in summed squared levels.
struct Strength {
    /// What noise alone makes of two equal patches; less than this counts as nothing.
    free: f32,
    /// One over the excess at which the weight has fallen to zero.
    slope: f32,
}

impl Strength {
    /// Width of the weight function in standard deviations. Fitted: see
    /// [`noise`](super::noise).
    const WIDTH: f32 = 0.40;
    /// The exponential is taken as `(1 - t/8)^8`.
    const POWER: f32 = 8.0;

    fn new(sigma: f32, colours: usize) -> Self {
        let samples = f32::from(u16::try_from(PATCH * PATCH * colours).unwrap_or(u16::MAX));
        let width = (Self::WIDTH * sigma).max(f32::MIN_POSITIVE);
        Self {
            free: 2.0 * sigma * sigma * samples,
            slope: 1.0 / (width * width * samples * Self::POWER),
        }
    }

    /// Returns the weight, `0.0..=1.0`, of a patch at this summed squared `distance`.
    #[inline]
    fn weight(&self, distance: f32) -> f32 {
        let excess = (distance - self.free).max(0.0);
        let root = (1.0 - excess * self.slope).max(0.0);
        let fourth = root * root * root * root;
        fourth * fourth
    }
}

impl Band {
    fn new<P: Pixel>(width: usize, rows: usize, denoise: Denoise) -> Self {
        let channels = usize::from(P::CHANNEL_COUNT);
        let has_alpha = P::HAS_ALPHA;
        let colours = channels - usize::from(has_alpha);
        let stride = width + 2 * MARGIN;
        let plane = || vec![0.0; stride * (rows + 2 * MARGIN)];
        let patch_columns = width + PATCH - 1;
        Self {
            width,
            rows,
            stride,
            has_alpha,
            strength: Strength::new(denoise.sigma, colours),
            share: denoise.share,
            colours: (0..colours).map(|_| plane()).collect(),
            opacity: plane(),
            sums: vec![vec![0.0; width * rows]; colours],
            weights: vec![0.0; width * rows],
            difference: vec![0.0; patch_columns * (rows + PATCH - 1)],
            columns: vec![0.0; patch_columns],
            row_weights: vec![0.0; width],
        }
    }

    /// Reads the band that starts at row `top`, with its margin. Beyond the picture's
    /// edges it continues as in a mirror.
    fn load<P, S>(&mut self, source: &ImageBuffer<P, Vec<S>>, top: usize)
    where
        P: Pixel<Subpixel = S>,
        S: Sample,
    {
        let channels = usize::from(P::CHANNEL_COUNT);
        let (width, height) = (self.width, source.height() as usize);
        for row in 0..self.rows + 2 * MARGIN {
            let from = mirror(top + row, height) * width * channels;
            let samples = &source.as_raw()[from..from + width * channels];
            for column in 0..self.stride {
                let pixel = &samples[mirror(column, width) * channels..][..channels];
                let at = row * self.stride + column;
                let opacity =
                    if self.has_alpha { pixel[channels - 1].level() / 255.0 } else { 1.0 };
                self.opacity[at] = opacity;
                for (plane, sample) in zip(&mut self.colours, pixel) {
                    plane[at] = sample.level() * opacity;
                }
            }
        }
    }

    /// Sums up, for the first `rows` rows, all pixels in reach by how alike they are, unless
    /// the work is cancelled.
    fn average(&mut self, rows: usize, watch: &Watch) -> Result<(), EngineError> {
        self.weights.fill(0.0);
        self.sums.iter_mut().for_each(|sum| sum.fill(0.0));
        for down in 0..=2 * REACH {
            watch.check()?;
            for right in 0..=2 * REACH {
                self.compare(rows, down, right);
                for row in 0..rows {
                    self.weigh(row);
                    self.accumulate(row, down, right);
                }
            }
        }
        Ok(())
    }

    /// Fills `difference` for the band shifted by (`down`, `right`) minus [`REACH`].
    fn compare(&mut self, rows: usize, down: usize, right: usize) {
        let width = self.width + PATCH - 1;
        for (row, difference) in
            self.difference.chunks_exact_mut(width).take(rows + PATCH - 1).enumerate()
        {
            let here = (row + REACH) * self.stride + REACH;
            let there = (row + down) * self.stride + right;
            difference.fill(0.0);
            for plane in &self.colours {
                let pairs = zip(&plane[here..here + width], &plane[there..there + width]);
                for (sum, (a, b)) in zip(difference.iter_mut(), pairs) {
                    *sum += (a - b) * (a - b);
                }
            }
        }
    }

    /// Fills `row_weights` from `difference`: sums over patches, then the weight.
    fn weigh(&mut self, row: usize) {
        let width = self.width + PATCH - 1;
        let rows = &self.difference[row * width..(row + PATCH) * width];
        self.columns.copy_from_slice(&rows[..width]);
        for more in rows[width..].chunks_exact(width) {
            for (sum, value) in zip(&mut self.columns, more) {
                *sum += value;
            }
        }
        self.row_weights.fill(0.0);
        for shift in 0..PATCH {
            for (sum, value) in zip(&mut self.row_weights, &self.columns[shift..]) {
                *sum += value;
            }
        }
        for weight in &mut self.row_weights {
            *weight = self.strength.weight(*weight);
        }
    }

    /// Adds the pixels of the shifted `row` to the sums, by `row_weights`.
    fn accumulate(&mut self, row: usize, down: usize, right: usize) {
        let from = (row + PATCH / 2 + down) * self.stride + right + PATCH / 2;
        let there = from..from + self.width;
        let here = row * self.width..(row + 1) * self.width;
        let opacity = zip(&self.row_weights, &self.opacity[there.clone()]);
        for (sum, (weight, opacity)) in zip(&mut self.weights[here.clone()], opacity) {
            *sum += weight * opacity;
        }
        for (sums, plane) in zip(&mut self.sums, &self.colours) {
            let values = zip(&self.row_weights, &plane[there.clone()]);
            for (sum, (weight, value)) in zip(&mut sums[here.clone()], values) {
                *sum += weight * value;
            }
        }
    }

    /// Writes the means into `rows`, interleaved samples of the result. A pixel that
    /// only saw full transparency keeps its colour.
    fn store<S: Sample>(&self, rows: &mut [S]) {
        let channels = self.colours.len() + usize::from(self.has_alpha);
        for (at, pixel) in rows.chunks_exact_mut(channels).enumerate() {
            if self.weights[at] > 0.0 {
                for (sample, sums) in zip(pixel, &self.sums) {
                    let (before, mean) = (sample.level(), sums[at] / self.weights[at]);
                    *sample = S::from_level(before + self.share * (mean - before));
                }
            }
        }
    }
}

/// Returns which of `length` pixels stands at `position` of a row that begins
/// [`MARGIN`] pixels early and is mirrored at both ends, edge pixels included.
fn mirror(position: usize, length: usize) -> usize {
    let period = 2 * length;
    let folded = (position + period * MARGIN - MARGIN) % period;
    if folded < length { folded } else { period - 1 - folded }
}

#[cfg(test)]
mod tests {
    use image::{GrayAlphaImage, GrayImage, Luma, LumaA};

    use super::*;
    use crate::engine::watch::Progress;

    fn run(picture: impl Into<DynamicImage>, sigma: f32) -> DynamicImage {
        denoise(&picture.into(), Denoise { sigma, share: 1.0 }, &Watch::default()).unwrap()
    }

    #[test]
    fn mirrors_at_both_ends() {
        // Position 9 is the first of the four pixels.
        let shown: Vec<usize> = (4..18).map(|position| mirror(position, 4)).collect();
        assert_eq!(shown, [3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0]);
        assert!((0..=2 * MARGIN).all(|position| mirror(position, 1) == 0));
    }

    #[test]
    fn weights_fall_from_one_to_zero() {
        let strength = Strength::new(10.0, 1);
        assert!((strength.weight(strength.free) - 1.0).abs() < 1e-6);
        let e_fold = (Strength::WIDTH * 10.0).powi(2) * 25.0;
        let folded = strength.weight(strength.free + e_fold);
        assert!((folded - (-1.0_f32).exp()).abs() < 0.03, "{folded}");
        assert!(strength.weight(strength.free + e_fold * 9.0) == 0.0);
    }

    #[test]
    fn a_strong_edge_stays_where_it_is() {
        let edge = GrayImage::from_fn(40, 70, |x, _| Luma([if x < 20 { 60 } else { 200 }]));
        assert!(run(edge.clone(), 8.0) == edge.into());
    }

    #[test]
    fn bands_meet_without_a_seam() {
        // The same rows, once in one band and once across two.
        let noisy = |rows: u32, shift: u32| {
            GrayImage::from_fn(24, rows, |x, y| {
                let mixed = (x * 7919 + (y + shift) * 104_729) % 41;
                Luma([100 + u8::try_from(mixed).unwrap()])
            })
        };
        let tall = run(noisy(90, 0), 12.0).to_luma8();
        let lower = run(noisy(70, 20), 12.0).to_luma8();
        for y in 10..60 {
            for x in 0..24 {
                assert_eq!(tall.get_pixel(x, y + 20), lower.get_pixel(x, y), "{x},{y}");
            }
        }
    }

    #[test]
    fn wide_pictures_have_low_bands_with_the_same_result() {
        assert_eq!((band_rows(1), band_rows(7_000), band_rows(65_535)), (32, 32, 1));
        assert_eq!(band_rows(12_000), 15);
        // Twelve thousand columns of a small picture, repeated, and the small picture.
        let noisy =
            |x: u32, y: u32| 100 + u8::try_from((x % 40 * 7919 + y * 104_729) % 41).unwrap();
        let small = GrayImage::from_fn(120, 18, |x, y| Luma([noisy(x, y)]));
        let wide = GrayImage::from_fn(12_000, 18, |x, y| Luma([noisy(x, y)]));
        let (small, wide) = (run(small, 12.0).to_luma8(), run(wide, 12.0).to_luma8());
        for (x, y, pixel) in small.enumerate_pixels().filter(|(x, ..)| (10..110).contains(x)) {
            assert_eq!(pixel, wide.get_pixel(x + 6_000, y), "{x},{y}");
        }
    }

    #[test]
    fn bands_are_counted() {
        let watch = Watch::default();
        let picture = DynamicImage::new_luma8(20, 100);
        denoise(&picture, Denoise { sigma: 5.0, share: 1.0 }, &watch).unwrap();
        assert_eq!(watch.progress(), Progress { done: 4, total: 4 });
    }

    #[test]
    fn a_band_is_left_when_the_work_is_cancelled() {
        let mut band = Band::new::<Luma<u8>>(8, 4, Denoise { sigma: 5.0, share: 1.0 });
        let watch = Watch::default();
        assert_eq!(band.average(4, &watch), Ok(()));
        watch.cancel();
        assert_eq!(band.average(4, &watch), Err(EngineError::Cancelled));
    }

    #[test]
    fn transparent_pixels_do_not_bleed_into_visible_ones() {
        let picture = GrayAlphaImage::from_fn(32, 32, |x, _| {
            if x < 16 { LumaA([100, 255]) } else { LumaA([110, 0]) }
        });
        let result = run(picture.clone(), 30.0).to_luma_alpha8();
        for (before, after) in zip(picture.pixels(), result.pixels()) {
            assert_eq!(before[1], after[1]);
            if before[1] > 0 {
                assert_eq!(after[0], 100);
            }
        }
    }

    #[test]
    fn cancelled_work_returns_nothing() {
        let watch = Watch::default();
        watch.cancel();
        let result =
            denoise(&DynamicImage::new_rgb8(64, 64), Denoise { sigma: 5.0, share: 1.0 }, &watch);
        assert_eq!(result, Err(EngineError::Cancelled));
    }
}
