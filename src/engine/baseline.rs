//! What the local engine is compared with: plain enlarging, and the version before it.

use std::{borrow::Cow, ops::RangeInclusive};

use image::DynamicImage;

use super::{
    contract::{Engine, EngineError, EngineReport, output_size},
    nlm::{self, Denoise},
    noise::{self, Noise},
    resize::{Kernel, resize},
    sample::without_floats,
    watch::Watch,
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
        watch: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let size = output_size((picture.width(), picture.height()), scale, u64::MAX)?;
        watch.check()?;
        let restored = resize(&without_floats(picture), size, Kernel::Lanczos3);
        Ok((restored, report(self.name(), 0.0, vec!["lanczos3"])))
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
        watch: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let size = output_size((picture.width(), picture.height()), scale, u64::MAX)?;
        watch.check()?;
        let mut picture = without_floats(picture);
        let noise = noise::estimate(&picture);
        let sigma = noise.fine.max(noise.coarse);
        let mut steps = Vec::new();
        if is_noisy(noise) {
            let in_colour = picture.color().has_color();
            let factor = if in_colour { STRENGTH_COLOUR } else { STRENGTH_GRAY };
            let denoise = Denoise { sigma: sigma * factor, share: 1.0 };
            picture = Cow::Owned(nlm::denoise(&picture, denoise, watch)?);
            steps.push("non-local means");
        }
        watch.check()?;
        steps.push("lanczos3");
        let restored = resize(&picture, size, Kernel::Lanczos3);
        Ok((restored, report(self.name(), sigma, steps)))
    }
}

fn report(engine: &'static str, noise: f32, steps: Vec<&'static str>) -> EngineReport {
    EngineReport { engine, noise, steps, ..EngineReport::default() }
}
