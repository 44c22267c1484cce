//! The contact sheet: what the figures cannot say has to be looked at.

use image::{DynamicImage, RgbImage, imageops};

/// Edge of a crop in pixels, and the gap between crops.
const EDGE: u32 = 200;
const GAP: u32 = 4;

/// Returns crops of the same part of each picture side by side. A picture of half the
/// size of the first is shown with each pixel doubled.
pub(crate) fn strip(pictures: [&DynamicImage; 5]) -> RgbImage {
    let (width, height) = (pictures[0].width(), pictures[0].height());
    // In the middle, and above it: where faces are.
    let (left, top) = (width.saturating_sub(EDGE) / 2, height.saturating_sub(EDGE) / 3);
    let mut strip = RgbImage::new((EDGE + GAP) * 5 - GAP, EDGE);
    for (picture, at) in pictures.into_iter().zip((0..).step_by((EDGE + GAP) as usize)) {
        let same_size = picture.resize_exact(width, height, imageops::FilterType::Nearest);
        let crop = same_size.crop_imm(left, top, EDGE, EDGE).to_rgb8();
        imageops::replace(&mut strip, &crop, at, 0);
    }
    strip
}

/// Returns the strips below one another.
pub(crate) fn stack(strips: &[RgbImage]) -> RgbImage {
    let width = strips.first().map_or(0, RgbImage::width);
    let height = strips.iter().map(|strip| strip.height() + GAP).sum();
    let mut sheet = RgbImage::new(width, height);
    let mut top = 0;
    for strip in strips {
        imageops::replace(&mut sheet, strip, 0, top);
        top += i64::from(strip.height() + GAP);
    }
    sheet
}
