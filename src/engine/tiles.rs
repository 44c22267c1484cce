//! Enlarges a picture of any size through a network, tile by tile.
//!
//! A tile is read with the pixels around it that the network looks at, so that the
//! result is the same as if the network had seen the whole picture: there are no seams.
//! Tiles of a network that looks farther overlap ([`blend`](super::blend)). Beyond its
//! edges the picture continues as in a mirror, edge pixels not repeated.
//!
//! Besides the picture and the result there is only the memory of the tiles in work, one
//! a core, and where tiles overlap, of the sums. Light and colour of the result are those of the input ([`cast`](super::cast)).
//! Which network to use, and why, is not decided here; neither is what
//! transparency means ([`alpha`](super::alpha)): pictures here have none.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread, vec,
};

use image::{DynamicImage, ImageBuffer, Pixel};
use rten_tensor::{Layout, Tensor};

use super::{
    blend::Blend,
    cast::{BLOCK, Cast},
    contract::EngineError,
    sample::Sample,
    watch::Watch,
};

/// Levels of red, green and blue, one plane after the other, row by row, in `0.0..=1.0`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planes {
    /// Width in pixels.
    pub(super) width: usize,
    /// Height in pixels.
    pub(super) height: usize,
    /// `3 * width * height` samples.
    pub(super) samples: Vec<f32>,
}

impl Planes {
    /// Returns what a network made, of shape `[1, 3, height, width]`.
    pub(super) fn from_tensor(tensor: Tensor<f32>) -> Option<Self> {
        let &[1, 3, height, width] = tensor.shape() else { return None };
        Some(Self { width, height, samples: tensor.into_data() })
    }
}

/// A network that makes a picture larger by a whole factor.
pub(super) trait Enlarger: Sync {
    /// What one thread needs to work, such as memory that is used again.
    type Worker;

    /// Returns how many times larger the result is, in each direction.
    fn factor(&self) -> usize;

    /// Returns how many pixels of the input the network sees around a tile: all it looks
    /// at, or less where tiles overlap.
    fn margin(&self) -> usize;

    /// Returns how many pixels a tile reaches beyond its place on each side where another
    /// lies: 0 if the network looks no farther than the margin, else up to a quarter of
    /// [`tile`](Self::tile).
    fn overlap(&self) -> usize {
        0
    }

    /// Returns the largest edge of a tile in pixels of the input, overlap and margin not
    /// counted. It decides about speed and memory, and not about the result unless tiles
    /// overlap.
    fn tile(&self) -> usize;

    /// Returns what a thread needs.
    fn worker(&self) -> Self::Worker;

    /// Returns the tile enlarged. The enlarged margin may be part of it or left out.
    ///
    /// # Errors
    ///
    /// [`EngineError::Model`] when the network fails.
    fn run(&self, tile: &Planes, worker: &mut Self::Worker) -> Result<Planes, EngineError>;
}

/// Returns `picture`, gray or RGB of 8 or 16 bits, enlarged, of the same kind. Other
/// kinds come back as 16-bit RGB.
///
/// Gray goes in as three equal planes, and the mean of those that come out is gray.
///
/// # Errors
///
/// [`EngineError::Model`] when the network fails, or the work was cancelled.
pub(super) fn enlarge<E: Enlarger>(
    enlarger: &E,
    picture: &DynamicImage,
    watch: &Watch,
) -> Result<DynamicImage, EngineError> {
    use DynamicImage as D;
    Ok(match picture {
        D::ImageLuma8(buffer) => D::ImageLuma8(run(enlarger, buffer, watch)?),
        D::ImageRgb8(buffer) => D::ImageRgb8(run(enlarger, buffer, watch)?),
        D::ImageLuma16(buffer) => D::ImageLuma16(run(enlarger, buffer, watch)?),
        D::ImageRgb16(buffer) => D::ImageRgb16(run(enlarger, buffer, watch)?),
        other => D::ImageRgb16(run(enlarger, &other.to_rgb16(), watch)?),
    })
}

/// Enlarges one buffer on all threads. Tiles are independent and always cut in the same
/// way, so the result does not depend on how many threads there are.
fn run<E, P, S>(
    enlarger: &E,
    source: &ImageBuffer<P, Vec<S>>,
    watch: &Watch,
) -> Result<ImageBuffer<P, Vec<S>>, EngineError>
where
    E: Enlarger,
    P: Pixel<Subpixel = S> + Send + Sync,
    S: Sample,
{
    let (width, height) = (source.width() as usize, source.height() as usize);
    let tiles = cut(width, height, enlarger.tile());
    watch.expect(u32::try_from(tiles.len()).unwrap_or(u32::MAX));
    let factor = u32::try_from(enlarger.factor()).unwrap_or(u32::MAX);
    let large = ImageBuffer::new(source.width() * factor, source.height() * factor);
    let result = Mutex::new(Enlarged::new(enlarger, large, (width, height)));
    let workers = watch.threads().min(tiles.len());
    let queue = Mutex::new(tiles.into_iter());
    let work = || {
        let mut worker = enlarger.worker();
        while let Some(tile) = next(&queue) {
            watch.check()?;
            let seen = tile.widened(enlarger.overlap(), (width, height));
            let before = read(source, &seen, enlarger.margin());
            let after = enlarger.run(&before, &mut worker)?;
            lock(&result).add(&tile, &seen, &before, &after);
            watch.advance();
        }
        Ok(())
    };
    // The first error empties the queue, so that the other threads end too.
    let work = || work().inspect_err(|_| *lock(&queue) = Vec::new().into_iter());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(result.into_inner().unwrap_or_else(PoisonError::into_inner).finish(source))
}

/// The result of [`run`] while tiles are added to it.
struct Enlarged<P: Pixel> {
    large: ImageBuffer<P, Vec<P::Subpixel>>,
    cast: Cast,
    /// Where tiles overlap: all of them, not yet in `large`.
    blend: Option<Blend>,
    factor: usize,
}

impl<P, S> Enlarged<P>
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    fn new<E: Enlarger>(enlarger: &E, large: ImageBuffer<P, Vec<S>>, size: (usize, usize)) -> Self {
        let (factor, overlap) = (enlarger.factor(), enlarger.overlap());
        let blend = (overlap > 0).then(|| Blend::new(size, factor, overlap));
        Self { large, cast: Cast::new(size.0, size.1), blend, factor }
    }

    fn add(&mut self, tile: &Tile, seen: &Tile, before: &Planes, after: &Planes) {
        if let Some(blend) = &mut self.blend {
            blend.add(after, tile, seen);
        } else {
            paste(&mut self.large, after, tile, self.factor);
            tile.compare(before, after, self.factor, &mut self.cast);
        }
    }

    fn finish(mut self, source: &ImageBuffer<P, Vec<S>>) -> ImageBuffer<P, Vec<S>> {
        if let Some(blend) = self.blend.take() {
            let (width, height) = (source.width() as usize, source.height() as usize);
            let whole = Tile { left: 0, top: 0, width, height };
            self.add(&whole, &whole, &read(source, &whole, 0), &blend.finish());
        }
        self.cast.undo(&mut self.large, self.factor);
        self.large
    }
}

fn next(queue: &Mutex<vec::IntoIter<Tile>>) -> Option<Tile> {
    lock(queue).next()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of the picture, in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Cuts a picture into tiles of at most `edge` pixels, or of one block if that is more,
/// row by row, all about equally large and ending between blocks: none is less than half
/// as large as the largest may be.
fn cut(width: usize, height: usize, edge: usize) -> Vec<Tile> {
    let spans = |length: usize| {
        let blocks = length.div_ceil(BLOCK);
        let count = blocks.div_ceil((edge / BLOCK).max(1));
        let start = move |index: usize| (blocks * index / count * BLOCK).min(length);
        (0..count).map(move |index| (start(index), start(index + 1) - start(index)))
    };
    let across =
        |(top, height)| spans(width).map(move |(left, width)| Tile { left, top, width, height });
    spans(height).flat_map(across).collect()
}

impl Tile {
    /// Returns the tile with `overlap` pixels more on each side, as far as the picture goes.
    fn widened(&self, overlap: usize, (width, height): (usize, usize)) -> Self {
        let (left, top) = (self.left.saturating_sub(overlap), self.top.saturating_sub(overlap));
        let right = (self.left + self.width + overlap).min(width);
        let bottom = (self.top + self.height + overlap).min(height);
        Self { left, top, width: right - left, height: bottom - top }
    }

    /// Records in `cast` how the mean of each block of this tile has changed.
    fn compare(&self, before: &Planes, after: &Planes, factor: usize, cast: &mut Cast) {
        for row in (0..self.height).step_by(BLOCK) {
            for column in (0..self.width).step_by(BLOCK) {
                let (width, height) =
                    (BLOCK.min(self.width - column), BLOCK.min(self.height - row));
                let part = Self { left: column, top: row, width, height };
                let (old, new) = (part.means(before, self, 1), part.means(after, self, factor));
                let change = std::array::from_fn(|plane| (old[plane] - new[plane]) * WHITE);
                cast.record(self.left + column, self.top + row, change);
            }
        }
    }

    /// Returns the means of this part of the tile `whole`, which `planes` shows `factor`
    /// times as large, with as much margin as there is. Levels beyond black and white
    /// count as what they are cut to.
    #[expect(clippy::cast_precision_loss, reason = "a block has few pixels")]
    fn means(&self, planes: &Planes, whole: &Self, factor: usize) -> [f32; 3] {
        let (across, down) = whole.margin_of(planes, factor);
        let (width, height) = (self.width * factor, self.height * factor);
        std::array::from_fn(|plane| {
            let rows = (0..height).map(|row| {
                let row = plane * planes.height + down + self.top * factor + row;
                let from = row * planes.width + across + self.left * factor;
                planes.samples[from..from + width].iter().map(|level| level.clamp(0.0, 1.0))
            });
            rows.map(Iterator::sum::<f32>).sum::<f32>() / (width * height) as f32
        })
    }

    /// Returns how much of the margin is left in `planes`, across and down.
    pub(super) fn margin_of(&self, planes: &Planes, factor: usize) -> (usize, usize) {
        ((planes.width - self.width * factor) / 2, (planes.height - self.height * factor) / 2)
    }
}

/// Reads a tile with `margin` pixels around it.
fn read<P, S>(source: &ImageBuffer<P, Vec<S>>, tile: &Tile, margin: usize) -> Planes
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    let channels = usize::from(P::CHANNEL_COUNT);
    let (all_width, all_height) = (source.width() as usize, source.height() as usize);
    let (width, height) = (tile.width + 2 * margin, tile.height + 2 * margin);
    let columns: Vec<usize> =
        (0..width).map(|column| mirror(tile.left + column, margin, all_width)).collect();
    let mut samples = Vec::with_capacity(3 * width * height);
    for plane in 0..3 {
        let channel = if channels < 3 { 0 } else { plane };
        for row in 0..height {
            let row = mirror(tile.top + row, margin, all_height);
            let row = &source.as_raw()[row * all_width * channels..][..all_width * channels];
            let levels = columns.iter().map(|column| row[column * channels + channel].level());
            samples.extend(levels.map(|level| level / WHITE));
        }
    }
    Planes { width, height, samples }
}

/// Level of white.
const WHITE: f32 = 255.0;

/// Returns which of `length` pixels stands at `position` of a row that begins `margin`
/// pixels early and is mirrored at both ends, edge pixels not repeated.
fn mirror(position: usize, margin: usize, length: usize) -> usize {
    let period = 2 * (length - 1).max(1);
    let folded = (position + period * margin - margin) % period;
    // A single pixel has no other to mirror.
    if folded < length { folded } else { (period - folded).min(length - 1) }
}

/// Writes an enlarged tile to its place, without what is left of its margin.
fn paste<P, S>(result: &mut ImageBuffer<P, Vec<S>>, planes: &Planes, tile: &Tile, factor: usize)
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    let channels = usize::from(P::CHANNEL_COUNT);
    let stride = result.width() as usize * channels;
    let (width, height) = (tile.width * factor, tile.height * factor);
    let (across, down) = tile.margin_of(planes, factor);
    let samples: &mut [S] = result;
    for row in 0..height {
        let to = (tile.top * factor + row) * stride + tile.left * factor * channels;
        let pixels = samples[to..to + width * channels].chunks_exact_mut(channels);
        for (column, pixel) in pixels.enumerate() {
            let at = (down + row) * planes.width + across + column;
            let level = |plane: usize| planes.samples[plane * planes.width * planes.height + at];
            if let [gray] = pixel {
                *gray = S::from_level((level(0) + level(1) + level(2)) / 3.0 * WHITE);
            } else {
                for (plane, sample) in pixel.iter_mut().enumerate() {
                    *sample = S::from_level(level(plane) * WHITE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    /// Repeats pixels, and gives back the margin or not.
    struct Repeater {
        tile: usize,
        keeps_margin: bool,
    }

    impl Enlarger for Repeater {
        type Worker = ();

        fn factor(&self) -> usize {
            2
        }

        fn margin(&self) -> usize {
            3
        }

        fn tile(&self) -> usize {
            self.tile
        }

        fn worker(&self) {}

        fn run(&self, tile: &Planes, (): &mut ()) -> Result<Planes, EngineError> {
            let cut = if self.keeps_margin { 0 } else { self.margin() };
            let (width, height) = ((tile.width - 2 * cut) * 2, (tile.height - 2 * cut) * 2);
            let samples = (0..3 * width * height).map(|at| {
                let (plane, row, column) = (at / width / height, at / width % height, at % width);
                let row = plane * tile.height + row / 2 + cut;
                tile.samples[row * tile.width + column / 2 + cut]
            });
            Ok(Planes { samples: samples.collect(), width, height })
        }
    }

    #[test]
    fn every_pixel_lands_in_its_place() {
        let picture = RgbImage::from_fn(53, 47, |x, y| {
            let level = |value: u32| u8::try_from(value % 256).unwrap();
            Rgb([level(x * 4), level(y * 5), level(x + y * 2)])
        });
        for (tile, keeps_margin) in [(1, true), (16, false), (40, true), (100, false)] {
            let watch = Watch::default();
            let repeater = Repeater { tile, keeps_margin };
            let large = enlarge(&repeater, &picture.clone().into(), &watch).unwrap().to_rgb8();
            assert_eq!(large.dimensions(), (106, 94));
            assert!(large.enumerate_pixels().all(|(x, y, p)| p == picture.get_pixel(x / 2, y / 2)));
            let progress = watch.progress();
            assert_eq!(progress.done, progress.total);
        }
    }

    #[test]
    fn gray_and_sixteen_bits_stay_what_they_are() {
        let repeater = Repeater { tile: 2, keeps_margin: true };
        let gray = GrayImage::from_fn(3, 3, |x, y| Luma([if x == y { 7 } else { 201 }]));
        let watch = Watch::default();
        let large = enlarge(&repeater, &gray.clone().into(), &watch).unwrap();
        assert_eq!(large.as_luma8().unwrap().get_pixel(4, 5), &Luma([7]));
        let deep = DynamicImage::from(ImageBuffer::from_pixel(2, 1, Rgb([1_u16, 257, 65_535])));
        let large = enlarge(&repeater, &deep, &watch).unwrap();
        assert_eq!(large.as_rgb16().unwrap().get_pixel(3, 1), &Rgb([1, 257, 65_535]));
    }

    #[test]
    fn tiles_cover_the_picture_once() {
        let tiles = cut(100, 3, 40);
        let widths: Vec<_> = tiles.iter().map(|tile| (tile.left, tile.width)).collect();
        assert_eq!(widths, [(0, 16), (16, 32), (48, 32), (80, 20)]);
        assert!(tiles.iter().all(|tile| (tile.top, tile.height) == (0, 3)));
        assert_eq!(cut(100, 40, 1).len(), 7 * 3);
        assert!(cut(0, 5, 4).is_empty());
    }

    #[test]
    fn mirrors_without_repeating_the_edge() {
        let shown: Vec<usize> = (0..10).map(|position| mirror(position, 3, 4)).collect();
        assert_eq!(shown, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
        assert!((0..20).all(|position| mirror(position, 7, 1) == 0));
        assert!((0..20).all(|position| mirror(position, 7, 2) < 2));
    }

    /// Sees nothing but the mean of all within 40 pixels, much more than its margin.
    struct Farsighted {
        overlap: usize,
    }

    impl Enlarger for Farsighted {
        type Worker = ();

        fn factor(&self) -> usize {
            1
        }

        fn margin(&self) -> usize {
            4
        }

        fn overlap(&self) -> usize {
            self.overlap
        }

        fn tile(&self) -> usize {
            48
        }

        fn worker(&self) {}

        fn run(&self, tile: &Planes, (): &mut ()) -> Result<Planes, EngineError> {
            let mut result = tile.clone();
            let rows = result.samples.chunks_exact_mut(tile.width);
            for (after, before) in rows.zip(tile.samples.chunks_exact(tile.width)) {
                for (column, level) in after.iter_mut().enumerate() {
                    let seen = &before[column.saturating_sub(40)..(column + 41).min(before.len())];
                    *level =
                        seen.iter().sum::<f32>() / f32::from(u8::try_from(seen.len()).unwrap());
                }
            }
            Ok(result)
        }
    }

    #[test]
    fn overlapping_tiles_of_a_farsighted_network_meet_without_a_step() {
        let picture = GrayImage::from_fn(144, 16, |x, _| Luma([if x < 60 { 20 } else { 230 }]));
        let steepest = |overlap| {
            let watch = Watch::default();
            let picture = picture.clone().into();
            let large = enlarge(&Farsighted { overlap }, &picture, &watch).unwrap().to_luma8();
            let row: Vec<u8> = (0..144).map(|x| large.get_pixel(x, 8)[0]).collect();
            row.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap()
        };
        let (cut, blended) = (steepest(0), steepest(12));
        assert!(cut > 40, "the network does not look far enough to show a seam: {cut}");
        assert!(blended < 15, "{blended}");
    }

    #[test]
    fn a_failure_ends_all_threads() {
        struct Broken;
        impl Enlarger for Broken {
            type Worker = ();
            fn factor(&self) -> usize {
                2
            }
            fn margin(&self) -> usize {
                0
            }
            fn tile(&self) -> usize {
                1
            }
            fn worker(&self) {}
            fn run(&self, _: &Planes, (): &mut ()) -> Result<Planes, EngineError> {
                Err(EngineError::Model { model: "broken".to_owned(), reason: "it is".to_owned() })
            }
        }
        let watch = Watch::default();
        let result = enlarge(&Broken, &DynamicImage::new_rgb8(40, 40), &watch);
        assert!(matches!(result, Err(EngineError::Model { .. })));
        assert_eq!(watch.progress().done, 0);
    }
}
