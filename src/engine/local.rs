//! The local engine: less noise, more pixels, by networks trained on photographs.

use std::sync::Arc;

use image::DynamicImage;
use tokio::time::Instant;

use super::{
    added::{Added, AddedModels},
    alpha,
    contract::{Engine, EngineError, EngineReport, ModelId, output_size},
    nlm, noise,
    policy::{Plan, plan},
    resize::{Kernel, resize},
    sample::without_floats,
    tiles::enlarge,
    waifu2x::{Ensemble, waifu2x},
    watch::Watch,
};

/// Measures the noise, chooses by it, removes it and enlarges.
///
/// It enlarges by two with waifu2x's network for photographs and does the rest by
/// Lanczos. It leaves colour and contrast alone, and by itself it knows nothing about
/// faces and invents nothing; models that users add may sharpen noisy pictures, and then
/// the report says where. A clean picture at scale 1 comes back as it is. No network sees
/// a picture at scale 1 that is too large to be made twice as large on the way.
#[derive(Debug, Clone)]
pub struct LocalEngine {
    max_output_pixels: u64,
    added: Arc<AddedModels>,
}

impl LocalEngine {
    /// Makes an engine that refuses results of more than `max_output_pixels` pixels.
    ///
    /// The result takes 3 to 8 bytes a pixel, and about as much again while it is made
    /// and written; lower the limit where memory is short.
    #[must_use]
    pub fn new(max_output_pixels: u64) -> Self {
        Self { max_output_pixels, added: Arc::default() }
    }

    /// Returns the engine with models that users have added.
    #[must_use]
    pub fn with_models(self, added: AddedModels) -> Self {
        Self { added: Arc::new(added), ..self }
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

    fn check(&self, size: (u32, u32), scale: u8) -> Result<(), EngineError> {
        output_size(size, scale, self.max_output_pixels).map(drop)
    }

    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        watch: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let start = Instant::now();
        let before = (picture.width(), picture.height());
        let size = output_size(before, scale, self.max_output_pixels)?;
        watch.check()?;
        let picture = without_floats(picture);
        let noise = noise::estimate(&picture);
        let mut plan = plan(noise, picture.color().has_color(), scale);
        // At scale 1 too, what a network makes is twice as large before it is shrunk.
        if output_size(before, scale.max(2), self.max_output_pixels).is_err() {
            plan.enlarge = &[];
        }
        let mut work = Work::new(size, plan, watch);
        let denoised = work.denoise(&picture)?;
        let smooth = denoised.as_ref().unwrap_or(&picture);
        // A network sees colour alone; the resizer knows what to do with alpha.
        let parts = if plan.enlarge.is_empty() { None } else { alpha::split(smooth) };
        let restored = if let Some((colour, alpha)) = parts {
            let mut restored = work.enlarge(&colour)?;
            if let Some((colour, _)) = alpha::split(&picture) {
                work.sharpen(&self.added, &colour, &mut restored)?;
            }
            alpha::join(restored, &resize(&alpha, size, Kernel::Lanczos3))
        } else {
            let mut restored = work.enlarge(smooth)?;
            work.sharpen(&self.added, &picture, &mut restored)?;
            restored
        };
        let Work { models, steps, added: Added { faces, sharpened, .. }, .. } = work;
        let (engine, noise, took) = (self.name(), noise.sigma(), start.elapsed());
        Ok((restored, EngineReport { engine, models, noise, steps, faces, sharpened, took }))
    }
}

/// One picture's way through the engine.
struct Work<'a> {
    /// Size of the result in pixels.
    size: (u32, u32),
    plan: Plan,
    watch: &'a Watch,
    models: Vec<ModelId>,
    steps: Vec<&'static str>,
    /// What models that users added did.
    added: Added,
}

impl<'a> Work<'a> {
    fn new(size: (u32, u32), plan: Plan, watch: &'a Watch) -> Self {
        Self { size, plan, watch, models: vec![], steps: vec![], added: Added::default() }
    }

    /// Returns the picture after non-local means, if the plan has that.
    fn denoise(&mut self, picture: &DynamicImage) -> Result<Option<DynamicImage>, EngineError> {
        let Some(denoise) = self.plan.denoise else { return Ok(None) };
        self.steps.push("non-local means");
        nlm::denoise(picture, denoise, self.watch).map(Some)
    }

    /// Returns the picture at its final size: through the network, then resized.
    fn enlarge(&mut self, picture: &DynamicImage) -> Result<DynamicImage, EngineError> {
        let mut networks = Vec::new();
        for &weights in self.plan.enlarge {
            let network = waifu2x(weights)?;
            self.models.push(network.id().clone());
            self.steps.push(weights.name());
            networks.push(network);
        }
        let enlarged = if networks.is_empty() {
            None
        } else {
            Some(enlarge(&Ensemble(networks), picture, self.watch)?)
        };
        self.watch.check()?;
        let before = enlarged.as_ref().unwrap_or(picture);
        if (before.width(), before.height()) != self.size {
            self.steps.push("lanczos3");
            return Ok(resize(before, self.size, Kernel::Lanczos3));
        }
        Ok(enlarged.unwrap_or_else(|| picture.clone()))
    }

    /// Mixes the pictures of added models into `restored`, which was made of `picture`, if
    /// the plan has that. They see the picture with its noise: without it, they return
    /// less.
    fn sharpen(
        &mut self,
        models: &AddedModels,
        picture: &DynamicImage,
        restored: &mut DynamicImage,
    ) -> Result<(), EngineError> {
        if self.plan.sharpen && !picture.color().has_alpha() {
            let scale = self.size.0 / picture.width().max(1);
            self.added = models.sharpen(picture, restored, scale, self.watch)?;
            self.models.append(&mut self.added.models);
            if !self.added.sharpened.is_empty() {
                self.steps.push("realesrgan-x4plus");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{iter::zip, num::NonZeroUsize, thread};

    use image::{
        ColorType, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage, imageops::FilterType,
    };

    use super::*;
    use crate::{
        engine::{waifu2x::Weights, watch::Progress},
        testing::{
            degrade::{Degree, add_noise, degrade, example, example_photo},
            likeness::{channel_means, psnr},
        },
    };

    fn restore(picture: &DynamicImage, scale: u8) -> (DynamicImage, EngineReport) {
        LocalEngine::default().restore(picture, scale, &Watch::default()).unwrap()
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
            assert!(report.steps.contains(&"waifu2x-photo-n3"), "{color:?}: {report:?}");
            assert_eq!(report.models[0].name, "waifu2x-photo-n3");
        }
    }

    #[test]
    fn a_noisy_jpeg_is_restored_however_it_is_turned_or_cropped() {
        // Quality 60 and noise 12, of a size that is no multiple of JPEG's blocks.
        let photo = example_photo("portrait.jpg").resize_exact(554, 634, FilterType::Triangle);
        let old = degrade(&photo, Degree::Old);
        assert_eq!((old.width(), old.height()), (277, 317));
        for turned in [
            old.crop_imm(0, 0, 277, 317),
            old.rotate90(),
            old.rotate180(),
            old.rotate270(),
            old.crop_imm(1, 1, 276, 316),
        ] {
            let plan = plan(noise::estimate(&turned), true, 2);
            assert!(plan.denoise.is_some(), "{:?}", noise::estimate(&turned));
            assert_eq!(plan.enlarge, [Weights::Photo3]);
        }
    }

    #[test]
    fn eight_and_sixteen_bits_agree() {
        let noisy = noisy_portrait();
        let (eight, _) = restore(&noisy, 1);
        let (sixteen, _) = restore(&cast(&noisy, ColorType::Rgb16), 1);
        // What 8 bits round at each step.
        assert!(psnr(&eight, &sixteen) > 52.0);
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
        assert_eq!((report.engine, report.steps, report.models), ("local", vec![], vec![]));
    }

    #[test]
    fn flat_colours_stay_what_they_are() {
        for color in [[0, 255, 0], [255, 0, 255], [128, 128, 128], [0, 0, 0], [240, 200, 30]] {
            let flat = RgbImage::from_pixel(40, 24, Rgb(color));
            let (restored, report) = restore(&flat.into(), 2);
            assert_eq!(report.models[0].name, "waifu2x-photo-n0");
            for pixel in restored.to_rgb8().pixels() {
                let near = zip(pixel.0, color).all(|(after, before)| after.abs_diff(before) <= 1);
                assert!(near, "{color:?} became {pixel:?}");
            }
        }
    }

    #[test]
    fn sixteen_bits_are_more_than_eight() {
        // A slope so gentle that 8 bits would show it as one step.
        let slope = ImageBuffer::from_fn(48, 16, |x, _| Luma([30_000 + u16::try_from(x).unwrap()]));
        let (restored, _) = restore(&DynamicImage::ImageLuma16(slope), 2);
        let restored = restored.to_luma16();
        let levels: std::collections::BTreeSet<u16> = restored.iter().copied().collect();
        assert!(levels.len() > 20, "{levels:?}");
        assert!(levels.iter().all(|level| level.abs_diff(30_024) < 257), "{levels:?}");
    }

    #[test]
    fn hidden_colour_does_not_bleed() {
        let picture = RgbaImage::from_fn(48, 24, |x, _| {
            if x < 24 { Rgba([128, 128, 128, 255]) } else { Rgba([255, 0, 0, 0]) }
        });
        for scale in [2, 3] {
            let (restored, _) = restore(&picture.clone().into(), scale);
            for pixel in restored.to_rgba8().pixels().filter(|pixel| pixel[3] > 0) {
                assert!(pixel[0].abs_diff(pixel[1]) <= 2, "{pixel:?}");
            }
        }
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
    fn what_is_too_large_on_the_way_goes_without_a_network() {
        let noisy = noisy_portrait();
        let engine = LocalEngine::new(64 * 64 * 4 - 1);
        let (restored, report) = engine.restore(&noisy, 1, &Watch::default()).unwrap();
        assert_eq!((restored.width(), report.models), (64, vec![]));
    }

    #[test]
    fn work_on_the_way_can_be_cancelled_from_another_thread() {
        // Nine bands of non-local means, then six tiles of the network.
        let photo = example_photo("portrait.jpg").resize_exact(192, 288, FilterType::Triangle);
        let noisy = DynamicImage::from(add_noise(&photo.to_rgb8(), 14.0));
        for wanted in [1, 10] {
            let watch = Watch::default();
            let result = thread::scope(|scope| {
                let work = scope.spawn(|| LocalEngine::default().restore(&noisy, 2, &watch));
                while watch.progress().done < wanted && !work.is_finished() {
                    thread::yield_now();
                }
                watch.cancel();
                work.join().unwrap()
            });
            let Progress { done, total } = watch.progress();
            assert_eq!(result, Err(EngineError::Cancelled));
            assert!((wanted..total).contains(&done), "{done} of {total}");
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_result() {
        // Two bands of non-local means and two tiles of the network.
        let noisy = DynamicImage::from(add_noise(&example("portrait.jpg", 140), 14.0));
        let [one, two] = [1, 2].map(|threads| {
            let watch = Watch::default().with_threads(NonZeroUsize::new(threads).unwrap());
            LocalEngine::default().restore(&noisy, 2, &watch).unwrap()
        });
        assert!(one.0 == two.0);
        assert_eq!((one.1.models, one.1.steps), (two.1.models, two.1.steps));
    }

    #[test]
    fn refuses_what_is_too_large_and_stops_when_cancelled() {
        let engine = LocalEngine::new(64 * 64 * 4 - 1);
        let watch = Watch::default();
        let noisy = noisy_portrait();
        let refused = engine.restore(&noisy, 2, &watch).unwrap_err();
        assert!(matches!(refused, EngineError::TooLarge { width: 64, scale: 2, .. }));
        assert_eq!(engine.check((64, 64), 2), Err(refused), "and known before");
        assert_eq!(engine.check((64, 64), 1), Ok(()));
        watch.cancel();
        assert_eq!(engine.restore(&noisy, 1, &watch), Err(EngineError::Cancelled));
    }
}
