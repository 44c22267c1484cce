//! Decides which parts of a picture get the costly model, and mixes what it returns into
//! them without a visible border.
//!
//! Nothing here knows the model; [`x4plus`](super::x4plus) runs it.

use image::{DynamicImage, ImageBuffer, Pixel};

use super::{faces::Face, sample::Sample};

/// How much the models that users add may do to a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// How true to the photograph the result stays, `0.0..=1.0`: 1 minus the share of
    /// what the model made up.
    pub fidelity: f32,
    /// How long the model may take for one picture, in seconds of a machine with two
    /// cores. It is counted in pixels, never by a clock: a faster machine does the same
    /// work in less time, so the same picture gives the same result whatever the number of
    /// cores; another kind of CPU may differ by rounding.
    pub max_seconds: u32,
}

/// Half and half, which is best for old pictures, and a minute.
impl Default for Effort {
    fn default() -> Self {
        Self { fidelity: 0.5, max_seconds: 60 }
    }
}

impl Effort {
    /// Pixels of the model's input, margins and overlaps included, that x4plus works off in a second on
    /// two cores of an AMD EPYC: 1,960 measured on a busy machine, 2,700 on an idle one.
    const PIXELS_PER_SECOND: u64 = 2_000;

    fn pixels(self) -> u64 {
        u64::from(self.max_seconds) * Self::PIXELS_PER_SECOND
    }

    fn share(self) -> f32 {
        (1.0 - self.fidelity).clamp(0.0, 1.0)
    }
}

/// A part of the input that a model's picture was mixed into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharpened {
    /// Distance from the left edge, in pixels of the input, as all that follows.
    pub left: u32,
    /// Distance from the upper edge.
    pub top: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
    /// Width and height at which the model saw it, smaller when it was shrunk.
    pub seen: (u32, u32),
    /// The share of the model's picture in its middle, above 0 and at most 1. At its
    /// borders, where the picture goes on, there is none.
    pub share: f32,
}

/// What one run of the model sees at a time, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    /// Edge of a tile without margin.
    pub(super) tile: u32,
    /// What is seen around it.
    pub(super) margin: u32,
    /// By how much it reaches beyond each cut.
    pub(super) overlap: u32,
}

impl Tiling {
    /// Returns how many pixels the model goes through for `width` by `height` of them.
    fn pixels(self, (width, height): (u32, u32)) -> u64 {
        let edge = |edge: u32| {
            let tiles = u64::from(edge.div_ceil(self.tile));
            let (margin, overlap) = (u64::from(self.margin), u64::from(self.overlap));
            u64::from(edge) + 2 * (margin * tiles + overlap * tiles.saturating_sub(1))
        };
        edge(width) * edge(height)
    }
}

/// Edge of the square around a face, in edges of the face's box: hair and chin are seen
/// as part of it, and the border must not run through them.
const AROUND_FACE: f32 = 1.8;
/// Longest edge, in pixels, at which a face is given to the model.
const LONGEST_FACE: u32 = 192;
/// A face that had to be shrunk further than by this is left as it is: the model would
/// return less than it was given. Shrunk by 2 and with half the share, it still gained
/// 0.3 dB on old photographs.
const MOST_SHRINK: u32 = 2;
/// How wide the border is in which a part fades in, as a share of its edge.
const BORDER: f32 = 0.125;

/// Returns the whole picture of this `size` when the effort allows that.
pub(super) fn whole(size: (u32, u32), effort: Effort, tiling: Tiling) -> Option<Sharpened> {
    let (width, height) = size;
    let fits = tiling.pixels(size) <= effort.pixels() && width > 0 && height > 0;
    let whole = Sharpened { left: 0, top: 0, width, height, seen: size, share: effort.share() };
    (fits && whole.share > 0.0).then_some(whole)
}

/// Returns the squares around those of the `faces` that the effort allows, in this order.
/// One that is too large or too costly is left out; those after it may still fit.
pub(super) fn around(
    faces: &[Face],
    size: (u32, u32),
    effort: Effort,
    tiling: Tiling,
) -> Vec<Sharpened> {
    let mut left_over = effort.pixels();
    let squares = faces.iter().filter_map(|face| square(face, size, effort.share()));
    squares
        .filter(|part| {
            let cost = tiling.pixels(part.seen);
            let fits = cost <= left_over;
            left_over -= if fits { cost } else { 0 };
            fits
        })
        .collect()
}

/// Returns the square around a face, cut at the picture's edges.
fn square(face: &Face, (width, height): (u32, u32), share: f32) -> Option<Sharpened> {
    let half = (face.right - face.left).max(face.bottom - face.top) * AROUND_FACE / 2.0;
    let middle = (f32::midpoint(face.left, face.right), f32::midpoint(face.top, face.bottom));
    let (left, right) = (whole_pixel(middle.0 - half), whole_pixel(middle.0 + half).min(width));
    let (top, bottom) = (whole_pixel(middle.1 - half), whole_pixel(middle.1 + half).min(height));
    let (width, height) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
    let longest = width.max(height);
    if width == 0 || height == 0 || longest > LONGEST_FACE * MOST_SHRINK || share == 0.0 {
        return None;
    }
    let seen_longest = longest.min(LONGEST_FACE);
    // No overflow: both are below 400.
    let seen = |edge: u32| (edge * seen_longest / longest).max(1);
    let share = share * number(seen_longest) / number(longest);
    Some(Sharpened { left, top, width, height, seen: (seen(width), seen(height)), share })
}

impl Sharpened {
    /// Returns the share of the model's picture at a point of a picture of this `size`.
    fn share_at(&self, (x, y): (f32, f32), (width, height): (u32, u32)) -> f32 {
        let across = fade(x, (self.left, self.left + self.width), width);
        let down = fade(y, (self.top, self.top + self.height), height);
        self.share * across * down
    }

    /// Mixes `detail`, the model's picture of this part, into `result`, which is the
    /// whole picture enlarged by `scale`. Both are of the same kind, without alpha.
    ///
    /// Where one of the `earlier` parts has already been mixed in, only as much is added
    /// as this one's share is larger.
    pub(super) fn mix(
        &self,
        result: &mut DynamicImage,
        detail: &DynamicImage,
        scale: u32,
        earlier: &[Self],
    ) {
        use DynamicImage as D;
        match (result, detail) {
            (D::ImageLuma8(into), D::ImageLuma8(from)) => {
                self.mix_buffer(into, from, scale, earlier);
            }
            (D::ImageRgb8(into), D::ImageRgb8(from)) => self.mix_buffer(into, from, scale, earlier),
            (D::ImageLuma16(into), D::ImageLuma16(from)) => {
                self.mix_buffer(into, from, scale, earlier);
            }
            (result, detail) => {
                let mut into = result.to_rgb16();
                self.mix_buffer(&mut into, &detail.to_rgb16(), scale, earlier);
                *result = into.into();
            }
        }
    }

    fn mix_buffer<P, S>(
        &self,
        into: &mut ImageBuffer<P, Vec<S>>,
        detail: &ImageBuffer<P, Vec<S>>,
        scale: u32,
        earlier: &[Self],
    ) where
        P: Pixel<Subpixel = S>,
        S: Sample,
    {
        let size = (into.width() / scale, into.height() / scale);
        for (x, y, detail) in detail.enumerate_pixels() {
            let (x, y) = (x + self.left * scale, y + self.top * scale);
            let input = |at: u32| (number(at) + 0.5) / number(scale);
            let point = (input(x), input(y));
            let there = earlier.iter().map(|part| part.share_at(point, size));
            let there = there.fold(0.0, f32::max);
            let wanted = self.share_at(point, size);
            if wanted <= there {
                continue;
            }
            let added = (wanted - there) / (1.0 - there);
            let pixel = into.get_pixel_mut(x, y);
            for (sample, detail) in pixel.channels_mut().iter_mut().zip(detail.channels()) {
                let (old, new) = (sample.level(), detail.level());
                *sample = S::from_level(old + added * (new - old));
            }
        }
    }
}

/// Returns 0 at the ends of `from..to`, 1 in the middle, and a smooth step between; at an
/// end that is also one of the picture, where nothing can be seen beside it, 1.
fn fade(at: f32, (from, to): (u32, u32), edge: u32) -> f32 {
    let border = number(to - from) * BORDER;
    let near = if from == 0 { 1.0 } else { (at - number(from)) / border };
    let far = if to == edge { 1.0 } else { (number(to) - at) / border };
    let step = near.min(far).clamp(0.0, 1.0);
    step * step * (3.0 - 2.0 * step)
}

/// Edges of pictures that can be decoded are exact.
#[expect(clippy::cast_precision_loss, reason = "edges of pictures are below 2^24")]
pub(super) fn number(edge: u32) -> f32 {
    edge as f32
}

/// Returns the nearest whole number, 0 for what is below.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float-to-integer casts saturate, which is wanted here"
)]
fn whole_pixel(at: f32) -> u32 {
    at.round() as u32
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    const TILING: Tiling = Tiling { tile: 96, margin: 10, overlap: 24 };

    fn face(left: f32, top: f32, edge: f32) -> Face {
        Face {
            score: 0.9,
            left,
            top,
            right: left + edge,
            bottom: top + edge,
            landmarks: [(0.0, 0.0); 5],
        }
    }

    #[test]
    fn the_budget_is_in_pixels_with_margins_and_overlaps() {
        assert_eq!(TILING.pixels((96, 96)), 116 * 116);
        assert_eq!(TILING.pixels((97, 1)), 185 * 21);
        // 36,000 pixels: 189x189, and that is four tiles.
        let effort = Effort { max_seconds: 18, ..Effort::default() };
        assert!(whole((101, 101), effort, TILING).is_some_and(|part| part.seen == (101, 101)));
        assert_eq!(whole((102, 102), effort, TILING), None);
    }

    #[test]
    fn nothing_is_sharpened_at_full_fidelity_or_without_time() {
        let faithful = Effort { fidelity: 1.0, max_seconds: 60 };
        let hurried = Effort { fidelity: 0.5, max_seconds: 0 };
        for effort in [faithful, hurried] {
            assert_eq!(whole((8, 8), effort, TILING), None);
            assert_eq!(around(&[face(100.0, 100.0, 50.0)], (900, 900), effort, TILING), []);
        }
    }

    #[test]
    fn a_face_gets_the_square_around_it_cut_at_the_edges() {
        let [middle, corner] = around(
            &[face(400.0, 300.0, 100.0), face(0.0, 0.0, 50.0)],
            (900, 600),
            Effort::default(),
            TILING,
        )[..] else {
            panic!("two faces fit");
        };
        assert_eq!((middle.left, middle.top, middle.width, middle.height), (360, 260, 180, 180));
        assert_eq!((middle.seen, middle.share), ((180, 180), 0.5));
        assert_eq!((corner.left, corner.top, corner.width, corner.height), (0, 0, 70, 70));
    }

    #[test]
    fn large_faces_are_shrunk_and_count_less_and_larger_ones_are_left_alone() {
        let parts =
            |edge| around(&[face(500.0, 500.0, edge)], (2000, 2000), Effort::default(), TILING);
        let [part] = parts(160.0)[..] else { panic!("it fits") };
        assert_eq!((part.width, part.seen), (288, (192, 192)));
        assert!((part.share - 0.5 / 1.5).abs() < 1e-6);
        assert_eq!(parts(230.0), []);
    }

    #[test]
    fn what_does_not_fit_leaves_room_for_what_follows() {
        let faces =
            [face(100.0, 100.0, 100.0), face(400.0, 400.0, 100.0), face(700.0, 700.0, 40.0)];
        // 268x268 pixels with margins for the first two, 92x92 for the third.
        let effort = Effort { max_seconds: 41, ..Effort::default() };
        let parts = around(&faces, (900, 900), effort, TILING);
        assert_eq!(parts.iter().map(|part| part.width).collect::<Vec<_>>(), [180, 72]);
    }

    #[test]
    fn a_part_fades_in_and_its_middle_has_the_share() {
        let part =
            Sharpened { left: 16, top: 0, width: 32, height: 64, seen: (32, 64), share: 0.5 };
        let mut result = DynamicImage::from(RgbImage::from_pixel(128, 128, Rgb([100, 0, 255])));
        let detail = DynamicImage::from(RgbImage::from_pixel(64, 128, Rgb([200, 0, 255])));
        part.mix(&mut result, &detail, 2, &[]);
        let result = result.to_rgb8();
        let red: Vec<u8> = (0..128).map(|x| result.get_pixel(x, 64)[0]).collect();
        assert!(red[..32].iter().chain(&red[96..]).all(|&red| red == 100));
        assert!(red[40..88].iter().all(|&red| red == 150));
        // Eight pixels of border, and no step in it that would be seen.
        assert!(red.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 10), "{red:?}");
        // At the picture's own upper and lower edge there is no border.
        assert_eq!((result.get_pixel(64, 0)[0], result.get_pixel(64, 127)[0]), (150, 150));
        assert!(result.pixels().all(|pixel| pixel[1] == 0 && pixel[2] == 255));
    }

    #[test]
    fn where_two_parts_overlap_neither_counts_twice() {
        let one = Sharpened { left: 0, top: 0, width: 40, height: 32, seen: (40, 32), share: 0.5 };
        let other = Sharpened { left: 8, width: 56, ..one };
        let mut result = DynamicImage::from(GrayImage::from_pixel(64, 32, Luma([0])));
        let mut mix = |part: Sharpened, earlier: &[Sharpened]| {
            let detail = GrayImage::from_pixel(part.width, 32, Luma([200]));
            part.mix(&mut result, &detail.into(), 1, earlier);
        };
        mix(one, &[]);
        mix(other, &[one]);
        assert!(result.to_luma8().pixels().all(|pixel| pixel[0] <= 101));
        assert_eq!(result.to_luma8().get_pixel(20, 16)[0], 100);
        assert_eq!(result.to_luma8().get_pixel(63, 16)[0], 100);
    }
}
