//! The local engine: less noise, more pixels, nothing invented.

use std::borrow::Cow;

use image::DynamicImage;
use tokio_util::sync::CancellationToken;

use super::{
    contract::{Engine, EngineError, EngineReport, check, output_size},
    nlm, noise,
    resize::{Kernel, resize},
    sample::without_floats,
};

/// Measures the noise, removes it where there is any, and enlarges.
///
/// Classical image processing: it knows nothing about faces, sharpens nothing and
/// leaves colour and contrast alone. On a clean picture it is plain Lanczos, unless the
/// whole of it is fine texture (gravel, grass): that it takes for noise.
#[derive(Debug, Clone, Copy)]
pub struct LocalEngine {
    max_output_pixels: u64,
}

impl LocalEngine {
    /// How much stronger than the estimated noise its removal is set. Fitted on seven
    /// photographs, see [`noise`]: gray ones do best with what was estimated; in colour
    /// JPEG, chroma has lost its noise and makes the estimate a little low.
    const STRENGTH_GRAY: f32 = 1.0;
    const STRENGTH_COLOUR: f32 = 1.2;

    /// Makes an engine that refuses results of more than `max_output_pixels` pixels.
    ///
    /// The result takes 3 to 8 bytes a pixel, and about as much again while it is made
    /// and written; lower the limit where memory is short.
    #[must_use]
    pub fn new(max_output_pixels: u64) -> Self {
        Self { max_output_pixels }
    }
}

/// Up to 200 million pixels, enough for 50 megapixels at the usual scale of 2.
impl Default for LocalEngine {
    fn default() -> Self {
        Self::new(200_000_000)
    }
}

impl Engine for LocalEngine {
    fn name(&self) -> &'static str {
        "local"
    }

    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        cancel: &CancellationToken,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let size = output_size((picture.width(), picture.height()), scale, self.max_output_pixels)?;
        check(cancel)?;
        let mut picture = without_floats(picture);
        let noise = noise::estimate(&picture);
        let mut steps = Vec::new();
        if noise.is_noisy() {
            let in_colour = picture.color().has_color();
            let factor = if in_colour { Self::STRENGTH_COLOUR } else { Self::STRENGTH_GRAY };
            picture = Cow::Owned(nlm::denoise(&picture, noise.sigma() * factor, cancel)?);
            steps.push("non-local means");
        }
        check(cancel)?;
        if scale > 1 {
            picture = Cow::Owned(resize(&picture, size, Kernel::Lanczos3));
            steps.push("lanczos3");
        }
        let report = EngineReport { engine: self.name(), noise: noise.sigma(), steps };
        Ok((picture.into_owned(), report))
    }
}

#[cfg(test)]
mod tests {
    use image::ColorType;

    use super::*;
    use crate::testing::{
        degrade::{add_noise, example},
        likeness::{channel_means, psnr},
    };

    fn restore(picture: &DynamicImage, scale: u8) -> (DynamicImage, EngineReport) {
        LocalEngine::default().restore(picture, scale, &CancellationToken::new()).unwrap()
    }

    fn noisy_portrait() -> DynamicImage {
        add_noise(&example("portrait.jpg", 64), 14.0).into()
    }

    /// `picture` as another kind.
    fn cast(picture: &DynamicImage, color: ColorType) -> DynamicImage {
        match color {
            ColorType::L8 => picture.to_luma8().into(),
            ColorType::La8 => picture.to_luma_alpha8().into(),
            ColorType::Rgb8 => picture.to_rgb8().into(),
            ColorType::Rgba8 => picture.to_rgba8().into(),
            ColorType::L16 => picture.to_luma16().into(),
            ColorType::La16 => picture.to_luma_alpha16().into(),
            ColorType::Rgb16 => picture.to_rgb16().into(),
            ColorType::Rgba16 => picture.to_rgba16().into(),
            ColorType::Rgb32F => picture.to_rgb32f().into(),
            other => panic!("no test of {other:?}"),
        }
    }

    #[test]
    fn noise_goes_and_every_kind_keeps_its_kind() {
        let noisy = noisy_portrait();
        for color in [
            ColorType::L8,
            ColorType::La8,
            ColorType::Rgb8,
            ColorType::Rgba8,
            ColorType::L16,
            ColorType::La16,
            ColorType::Rgb16,
            ColorType::Rgba16,
        ] {
            let (restored, report) = restore(&cast(&noisy, color), 2);
            assert_eq!(restored.color(), color);
            assert_eq!((restored.width(), restored.height()), (128, 128));
            assert_eq!(report.steps, ["non-local means", "lanczos3"], "{color:?}");
        }
    }

    #[test]
    fn eight_and_sixteen_bits_agree() {
        let noisy = noisy_portrait();
        let (eight, _) = restore(&noisy, 1);
        let (sixteen, _) = restore(&cast(&noisy, ColorType::Rgb16), 1);
        assert!(psnr(&eight, &sixteen) > 55.0);
    }

    #[test]
    fn opaque_alpha_changes_nothing() {
        let noisy = noisy_portrait();
        let (plain, _) = restore(&noisy, 1);
        let (with_alpha, _) = restore(&cast(&noisy, ColorType::Rgba8), 1);
        assert!(with_alpha.to_rgb8() == plain.to_rgb8());
    }

    #[test]
    fn colour_has_no_cast_afterwards() {
        let noisy = noisy_portrait();
        for scale in 1..=3 {
            let (restored, _) = restore(&noisy, scale);
            for (before, after) in channel_means(&noisy).iter().zip(channel_means(&restored)) {
                assert!((before - after).abs() < 0.5, "scale {scale}: {before} became {after}");
            }
        }
    }

    #[test]
    fn a_clean_picture_at_scale_1_is_returned_as_it_is() {
        let clean = DynamicImage::from(example("cat.jpg", 96));
        let (restored, report) = restore(&clean, 1);
        assert!(restored == clean);
        assert_eq!((report.engine, report.steps), ("local", vec![]));
    }

    #[test]
    fn odd_and_tiny_sizes_come_out_exact() {
        for (width, height) in [(1, 1), (1, 40), (13, 2), (37, 33)] {
            let noisy = noisy_portrait().crop_imm(0, 0, width, height);
            for scale in 1..=4 {
                let (restored, _) = restore(&noisy, scale);
                let factor = u32::from(scale);
                assert_eq!(
                    (restored.width(), restored.height()),
                    (width * factor, height * factor)
                );
            }
        }
    }

    #[test]
    fn floats_become_16_bits() {
        let (restored, _) = restore(&cast(&noisy_portrait(), ColorType::Rgb32F), 2);
        assert_eq!(restored.color(), ColorType::Rgb16);
    }

    #[test]
    fn refuses_what_is_too_large_and_stops_when_cancelled() {
        let engine = LocalEngine::new(64 * 64 * 4 - 1);
        let cancel = CancellationToken::new();
        let noisy = noisy_portrait();
        assert!(matches!(
            engine.restore(&noisy, 2, &cancel),
            Err(EngineError::TooLarge { width: 64, scale: 2, .. })
        ));
        cancel.cancel();
        assert_eq!(engine.restore(&noisy, 1, &cancel), Err(EngineError::Cancelled));
    }
}
