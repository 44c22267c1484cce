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
//! A picture may have been turned, mirrored or cropped since, by its EXIF orientation for
//! one, so all eight places are looked at on each axis. The highest of eight is high by
//! chance too: lines of print, bricks. Where files have their seams, any excess counts;
//! elsewhere only one that is more than the lines of the picture differ by chance. A picture
//! that was resized after compression looks as if it had no seams.

use image::{DynamicImage, ImageBuffer, Pixel};

use super::sample::Sample;

/// Edge of a block of JPEG in pixels.
const BLOCK: usize = 8;
/// Pixels that a third difference looks at. The seam lies in the middle of them.
const REACH: usize = 4;
/// Which of the eight places has the seams in a file: between pixels 7 and 8, 15 and 16.
const SEAM: usize = BLOCK - 1;
/// How many standard errors a seam elsewhere must stand out by. On the pictures of
/// [`policy`](super::policy) and the examples, at half their size and as crops of 100
/// pixels, the strongest of eight reached 15.9 without JPEG (`page`, lines of print). By 2
/// standard errors none of them stood out, by 1 some did by up to 0.12; all that were old or
/// bad did stand out by 2 wherever they were cropped.
const SURE: f64 = 2.0;

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
    let width = buffer.width() as usize;
    let mut across = Jumps(vec![0.0; width.saturating_sub(REACH - 1)]);
    let mut down = Jumps::default();
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(REACH);
    for row in buffer.rows() {
        if rows.len() == REACH {
            rows.remove(0);
        }
        rows.push(row.map(luma).collect());
        let newest = &rows[rows.len() - 1];
        for (sum, four) in across.0.iter_mut().zip(newest.windows(REACH)) {
            *sum += third(four[0], four[1], four[2], four[3]) / f64::from(buffer.height());
        }
        if let [first, second, next, last] = rows.as_slice() {
            let jumps = (0..width)
                .map(|column| third(first[column], second[column], next[column], last[column]));
            down.0.push(jumps.sum::<f64>() / f64::from(buffer.width()));
        }
    }
    strength(&across, &down)
}

/// Returns the mean strength of the seams on both axes.
#[expect(clippy::cast_possible_truncation, reason = "levels need no more digits than f32 has")]
fn strength(across: &Jumps, down: &Jumps) -> f32 {
    let usual = across.seam(SEAM).excess.midpoint(down.seam(SEAM).excess);
    let (one, other) = (across.strongest(), down.strongest());
    let strongest = one.excess.midpoint(other.excess);
    let is_sure = strongest > SURE * one.error.midpoint(other.error);
    (if is_sure { usual.max(strongest) } else { usual }).max(0.0) as f32
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

fn third(first: f32, second: f32, next: f32, last: f32) -> f64 {
    f64::from((last - first + 3.0 * (second - next)).abs())
}

/// The mean third difference along each line of the picture, by where the four pixels start.
#[derive(Debug, Default)]
struct Jumps(Vec<f64>);

/// How strong the seams are if they are at one of the eight places.
#[derive(Debug, Clone, Copy)]
struct Seam {
    /// What the place has over the highest of those a difference at the seam does not reach.
    excess: f64,
    /// Standard error of that, by how the lines differ; infinite when they are too few.
    error: f64,
}

impl Jumps {
    fn seam(&self, place: usize) -> Seam {
        // Seen from the seam, these are 2 to 6 pixels on.
        let others = (2..BLOCK - 1).map(|on| self.mean((place + on) % BLOCK));
        let (highest, other_error) =
            others.fold((0.0, 0.0), |most, other| if other.0 > most.0 { other } else { most });
        let (mean, error) = self.mean(place);
        Seam { excess: mean - highest, error: error.hypot(other_error) }
    }

    fn strongest(&self) -> Seam {
        let seams = (1..BLOCK).map(|place| self.seam(place));
        seams.fold(self.seam(0), |most, seam| if seam.excess > most.excess { seam } else { most })
    }

    /// Returns the mean of the lines at `place`, 0 if there are none, and its standard error.
    #[expect(clippy::cast_precision_loss, reason = "edges of pictures are exact")]
    fn mean(&self, place: usize) -> (f64, f64) {
        // The place is that of the second of the four pixels.
        let lines = || self.0.iter().skip((place + BLOCK - 1) % BLOCK).step_by(BLOCK);
        let count = lines().count() as f64;
        if count == 0.0 {
            return (0.0, f64::INFINITY);
        }
        let mean = lines().sum::<f64>() / count;
        if count < 2.0 {
            return (mean, f64::INFINITY);
        }
        let squares: f64 = lines().map(|line| (line - mean) * (line - mean)).sum();
        (mean, (squares / (count - 1.0) / count).sqrt())
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
    fn seams_are_found_however_the_picture_was_turned_or_cropped() {
        for name in ["portrait.jpg", "cat.jpg", "photographer.png"] {
            let old = degrade(&photo(name), Degree::Old).crop_imm(0, 0, 93, 99);
            let here = blocking(&old);
            let others = [
                old.rotate90(),
                old.rotate180(),
                old.rotate270(),
                old.fliph(),
                old.flipv(),
                old.crop_imm(1, 0, 92, 99),
                old.crop_imm(3, 5, 90, 90),
            ];
            for there in others.map(|other| blocking(&other)) {
                assert!((here - there).abs() < 2.0, "{name}: {here} and {there}");
            }
        }
    }

    #[test]
    fn chance_is_not_taken_for_seams() {
        for name in ["portrait.jpg", "cat.jpg", "caf\u{e9} faded.jpg", "photographer.png"] {
            for edge in [180, 200] {
                let clean = middle(&example_photo(name), edge).thumbnail_exact(edge / 2, edge / 2);
                let found = blocking(&clean);
                assert!(found < 2.0, "{name}, {edge}: {found}");
            }
        }
        // Lines of print: dark every 12 pixels, unevenly long.
        let print = GrayImage::from_fn(120, 120, |x, y| {
            Luma([if y % 12 < 5 && x * (y / 12 + 3) % 7 < 4 { 40 } else { 230 }])
        });
        assert!(blocking(&print.into()) < 2.0);
    }

    #[test]
    fn resizing_takes_the_seams_away() {
        let old = degrade(&photo("portrait.jpg"), Degree::Old);
        assert!(blocking(&old) > 10.0);
        assert!(blocking(&old.thumbnail_exact(73, 73)) < 2.0);
    }

    #[test]
    fn tiny_pictures_have_none() {
        for (width, height) in [(0, 0), (1, 1), (3, 9), (9, 3)] {
            assert!(blocking(&DynamicImage::new_rgb16(width, height)).abs() < f32::EPSILON);
        }
    }
}
