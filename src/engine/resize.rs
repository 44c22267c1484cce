//! Enlarges a picture.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;

/// How pixels between pixels are made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    /// The nearest pixel again: fast and ugly.
    Nearest,
    /// The Lanczos kernel with three lobes: sharp without sharpening.
    Lanczos3,
    /// The mean of all pixels that become one: for shrinking.
    Area,
}

/// Returns `picture` at `width` by `height` pixels, of the same kind.
///
/// Colour is multiplied by alpha first and divided afterwards, so that colour hidden
/// under full transparency does not bleed into what is seen.
pub(super) fn resize(
    picture: &DynamicImage,
    (width, height): (u32, u32),
    kernel: Kernel,
) -> DynamicImage {
    if (picture.width(), picture.height()) == (width, height) {
        return picture.clone();
    }
    let mut result = DynamicImage::new(width, height, picture.color());
    let algorithm = match kernel {
        Kernel::Nearest => ResizeAlg::Nearest,
        Kernel::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
        Kernel::Area => ResizeAlg::Convolution(FilterType::Box),
    };
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(true);
    Resizer::new()
        .resize(picture, &mut result, &options)
        .expect("both pictures have the same sample type, and no crop is asked for");
    result
}

#[cfg(test)]
mod tests {
    use image::{ColorType, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn hidden_colour_does_not_bleed() {
        // Left half opaque gray, right half transparent pure red.
        let picture = RgbaImage::from_fn(8, 4, |x, _| {
            if x < 4 { Rgba([128, 128, 128, 255]) } else { Rgba([255, 0, 0, 0]) }
        });
        let large = resize(&picture.into(), (24, 12), Kernel::Lanczos3).to_rgba8();
        for pixel in large.pixels().filter(|pixel| pixel[3] > 8) {
            assert!(pixel[0].abs_diff(pixel[1]) <= 4, "{pixel:?}");
        }
    }

    #[test]
    fn pictures_without_pixels_are_fine() {
        for kernel in [Kernel::Nearest, Kernel::Lanczos3] {
            let result = resize(&DynamicImage::new_luma8(0, 3), (0, 6), kernel);
            assert_eq!((result.width(), result.height()), (0, 6));
        }
    }

    #[test]
    fn every_kind_stays_what_it_is() {
        for color in [ColorType::L8, ColorType::La16, ColorType::Rgb16, ColorType::Rgba8] {
            let result = resize(&DynamicImage::new(3, 2, color), (9, 6), Kernel::Lanczos3);
            assert_eq!(result.color(), color);
        }
    }
}
