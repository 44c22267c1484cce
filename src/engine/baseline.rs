//! What the local engine is compared with: plain enlarging, and the version before it.

use std::{borrow::Cow, ops::RangeInclusive};

use image::DynamicImage;
use tokio_util::sync::CancellationToken;

use super::{
    contract::{Engine, EngineError, EngineReport, check, output_size},
    nlm,
    noise::{self, Noise},
    resize::{Kernel, resize},
    sample::without_floats,
};

/// Enlarges by Lanczos and does nothing else: what restoring must be better than.
#[derive(Debug, Clone, Copy, Default)]
pub struct LanczosEngine;

impl Engine for LanczosEngine {
    fn name(&self) -> &'static str {
        "lanczos"
    }

    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        cancel: &CancellationToken,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let size = output_size((picture.width(), picture.height()), scale, u64::MAX)?;
        check(cancel)?;
        let report = EngineReport { engine: self.name(), noise: 0.0, steps: vec!["lanczos3"] };
        Ok((resize(&without_floats(picture), size, Kernel::Lanczos3), report))
    }
}

/// Removes noise by non-local means where it finds any, and enlarges by Lanczos.
///
/// Its numbers are frozen at what they were when [`LocalEngine`](super::LocalEngine) was
/// no more than this, so that the quality benchmark measures what was gained since.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassicalEngine;

/// How much stronger than the estimated noise its removal is set.
const STRENGTH_GRAY: f32 = 1.0;
const STRENGTH_COLOUR: f32 = 1.2;

/// Ratio of fine to coarse noise that was taken for texture, and the least coarse
/// deviation taken for noise outside and inside that range.
const TEXTURE: RangeInclusive<f32> = 0.27..=0.75;
const THRESHOLD: f32 = 4.8;
const TEXTURE_THRESHOLD: f32 = 6.0;

fn is_noisy(noise: Noise) -> bool {
    let like_texture = TEXTURE.contains(&(noise.fine / noise.coarse));
    noise.coarse >= if like_texture { TEXTURE_THRESHOLD } else { THRESHOLD }
}

impl Engine for ClassicalEngine {
    fn name(&self) -> &'static str {
        "classical"
    }

    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        cancel: &CancellationToken,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let size = output_size((picture.width(), picture.height()), scale, u64::MAX)?;
        check(cancel)?;
        let mut picture = without_floats(picture);
        let noise = noise::estimate(&picture);
        let mut steps = Vec::new();
        if is_noisy(noise) {
            let in_colour = picture.color().has_color();
            let factor = if in_colour { STRENGTH_COLOUR } else { STRENGTH_GRAY };
            picture = Cow::Owned(nlm::denoise(&picture, noise.sigma() * factor, cancel)?);
            steps.push("non-local means");
        }
        check(cancel)?;
        steps.push("lanczos3");
        let restored = resize(&picture, size, Kernel::Lanczos3);
        Ok((restored, EngineReport { engine: self.name(), noise: noise.sigma(), steps }))
    }
}
