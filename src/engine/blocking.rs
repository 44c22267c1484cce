//! Measures how strong the seams between the 8x8 blocks of JPEG are.
//!
//! Compression rounds each block for itself, in steps the coarser the lower the quality,
//! and noise is rounded with it. So the seams tell two things that the pixels inside the
//! blocks do not: that a picture was compressed, and how much noise there can have been.
//!
//! A seam is a jump between smooth sides, which third differences see and slopes and
//! bends do not. They are averaged for each of the eight places a seam can have. The
//! result is what the real one has over the highest of the others, so that lines and
//! edges of a drawing are not taken for seams. The idea is that of
//! Z. Wang, H. R. Sheikh, A. C. Bovik, "No-reference perceptual quality assessment of
//! JPEG compressed images", ICIP 2002, <https://doi.org/10.1109/ICIP.2002.1038064>.
//!
//! Seams are looked for where the file had them: a picture that was cropped, turned or
//! resized after compression looks as if it had none.

use image::{DynamicImage, ImageBuffer, Pixel};

use super::sample::Sample;

/// Edge of a block of JPEG in pixels.
const BLOCK: usize = 8;
/// Pixels that a third difference looks at. The seam lies in the middle of them.
const REACH: usize = 4;
/// Which of the eight places has the seams: between pixels 7 and 8, 15 and 16.
const SEAM: usize = BLOCK - 1;

/// Returns the mean jump at the seams of `picture`, in 8-bit levels of the third
/// difference; 0 where there is none. Transparency is not looked at.
///
/// Measured on the 18 pictures of [`policy`](super::policy): never compressed, nothing; JPEG
/// of quality 95, at most 1.8; 80, up to 7; 25, 5 to 34. With noise of deviation 4, 12 and 20
/// before JPEG of quality 80, 60 and 40: 2 to 8, 12 to 15 and 18 to 22.
pub(super) fn blocking(picture: &DynamicImage) -> f32 {
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

fn measure<P, S>(buffer: &ImageBuffer<P, Vec<S>>) -> f32
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    let (mut across, mut down) = (Places::default(), Places::default());
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(REACH);
    for (top, row) in buffer.rows().enumerate() {
        if rows.len() == REACH {
            rows.remove(0);
        }
        rows.push(row.map(luma).collect());
        let newest = &rows[rows.len() - 1];
        for (left, four) in newest.windows(REACH).enumerate() {
            across.add(left, third(four[0], four[1], four[2], four[3]));
        }
        if let [first, second, next, last] = rows.as_slice() {
            for column in 0..newest.len() {
                let jump = third(first[column], second[column], next[column], last[column]);
                down.add(top - (REACH - 1), jump);
            }
        }
    }
    across.seam().midpoint(down.seam()).max(0.0)
}

/// Returns the luma of ITU-R BT.601, in 8-bit levels.
fn luma<P>(pixel: &P) -> f32
where
    P: Pixel,
    P::Subpixel: Sample,
{
    match pixel.channels() {
        [red, green, blue, ..] => {
            0.299 * red.level() + 0.587 * green.level() + 0.114 * blue.level()
        }
        [gray, ..] => gray.level(),
        [] => 0.0,
    }
}

fn third(first: f32, second: f32, next: f32, last: f32) -> f32 {
    (last - first + 3.0 * (second - next)).abs()
}

/// Sums of third differences, by where in a block they are.
#[derive(Debug, Default)]
struct Places {
    sums: [f64; BLOCK],
    counts: [f64; BLOCK],
}

impl Places {
    /// Adds the difference of the pixels that start at `position`.
    fn add(&mut self, position: usize, difference: f32) {
        let place = (position + 1) % BLOCK;
        self.sums[place] += f64::from(difference);
        self.counts[place] += 1.0;
    }

    /// Returns what the seam has over the highest of the places a difference at the seam
    /// does not reach.
    #[expect(clippy::cast_possible_truncation, reason = "levels need no more digits than f32 has")]
    fn seam(&self) -> f32 {
        let means: [f64; BLOCK] =
            std::array::from_fn(|place| self.sums[place] / self.counts[place].max(1.0));
        let others = &means[1..SEAM - 1];
        (means[SEAM] - others.iter().copied().fold(0.0, f64::max)) as f32
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;
    use crate::testing::degrade::{Degree, degrade, example_photo, middle};

    /// A photograph that was never compressed at this size.
    fn photo(name: &str) -> DynamicImage {
        middle(&example_photo(name), 200)
    }

    #[test]
    fn the_worse_the_file_the_stronger_the_seams() {
        for name in ["portrait.jpg", "cat.jpg", "photographer.png"] {
            let seams = Degree::ALL.map(|degree| blocking(&degrade(&photo(name), degree)));
            assert!(seams[0] < 2.0, "{name}: {seams:?}");
            assert!(seams.windows(2).all(|pair| pair[1] > pair[0] + 1.0), "{name}: {seams:?}");
        }
    }

    #[test]
    fn steps_between_blocks_are_measured_as_they_are() {
        let checks = GrayImage::from_fn(64, 64, |x, y| {
            Luma([if (x / 8 + y / 8) % 2 == 0 { 100 } else { 110 }])
        });
        // A step of 10 levels is 30 - 10 in the third difference.
        assert!((blocking(&checks.into()) - 20.0).abs() < 1e-3);
    }

    #[test]
    fn a_drawing_has_none() {
        let drawing = GrayImage::from_fn(240, 240, |x, y| {
            Luma([if x % 60 < 5 || y % 60 < 5 { 40 } else { 190 }])
        });
        assert!(blocking(&drawing.into()) < 2.0);
    }

    #[test]
    fn seams_elsewhere_do_not_count() {
        let compressed = degrade(&photo("portrait.jpg"), Degree::Old);
        let shifted = compressed.crop_imm(3, 5, 90, 90);
        assert!(blocking(&compressed) > 10.0);
        assert!(blocking(&shifted) < 2.0, "{}", blocking(&shifted));
    }

    #[test]
    fn tiny_pictures_have_none() {
        for (width, height) in [(0, 0), (1, 1), (3, 9), (9, 3)] {
            assert!(blocking(&DynamicImage::new_rgb16(width, height)).abs() < f32::EPSILON);
        }
    }
}
