//! Samples of 8 and 16 bits on one scale, so that the filters are written once.

use std::borrow::Cow;

use image::{DynamicImage, Primitive};

/// One channel of one pixel, readable as a number of 8-bit levels.
pub(super) trait Sample: Primitive + Send + Sync {
    /// Returns the value in 8-bit levels, `0.0..=255.0`.
    fn level(self) -> f32;

    /// Returns the sample nearest to `level`, which may lie outside `0.0..=255.0`.
    fn from_level(level: f32) -> Self;
}

impl Sample for u8 {
    fn level(self) -> f32 {
        f32::from(self)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float-to-integer casts saturate, which is the clamp wanted here"
    )]
    fn from_level(level: f32) -> Self {
        (level + 0.5) as Self
    }
}

impl Sample for u16 {
    fn level(self) -> f32 {
        f32::from(self) / LEVELS_16
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float-to-integer casts saturate, which is the clamp wanted here"
    )]
    fn from_level(level: f32) -> Self {
        (level * LEVELS_16 + 0.5) as Self
    }
}

/// Returns the picture with 16-bit samples where it had floats, as it is otherwise.
pub(super) fn without_floats(picture: &DynamicImage) -> Cow<'_, DynamicImage> {
    match picture {
        DynamicImage::ImageRgb32F(_) => Cow::Owned(picture.to_rgb16().into()),
        DynamicImage::ImageRgba32F(_) => Cow::Owned(picture.to_rgba16().into()),
        _ => Cow::Borrowed(picture),
    }
}

/// 16-bit steps in one 8-bit level: 65,535 / 255.
const LEVELS_16: f32 = 257.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_survives_the_float_scale() {
        assert!((0..=u8::MAX).all(|sample| u8::from_level(sample.level()) == sample));
        assert!((0..=u16::MAX).all(|sample| u16::from_level(sample.level()) == sample));
        assert!((u16::MAX.level() - 255.0).abs() < 1e-4);
    }

    #[test]
    fn levels_out_of_range_are_clamped() {
        assert_eq!((u8::from_level(-3.0), u8::from_level(300.0)), (0, 255));
        assert_eq!((u16::from_level(-3.0), u16::from_level(300.0)), (0, 65_535));
    }
}
