//! An engine that does next to nothing, for benchmarks and tests.

use image::DynamicImage;
use tokio::time::Instant;

use super::{
    contract::{Engine, EngineError, EngineReport, output_size},
    resize::{Kernel, resize},
    watch::Watch,
};

/// Returns the picture as it is, or enlarged by repeating pixels.
///
/// It restores nothing. It is there so that a benchmark or a test of the gateway
/// measures the gateway; its result still has the size the contract asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct InstantEngine;

impl Engine for InstantEngine {
    fn name(&self) -> &'static str {
        "instant"
    }

    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        watch: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        let start = Instant::now();
        let size = output_size((picture.width(), picture.height()), scale, u64::MAX)?;
        watch.check()?;
        let steps = if scale == 1 { vec![] } else { vec!["nearest"] };
        let restored = resize(picture, size, Kernel::Nearest);
        let (engine, took) = (self.name(), start.elapsed());
        let report = EngineReport { engine, steps, took, ..EngineReport::default() };
        Ok((restored, report))
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;

    #[test]
    fn repeats_pixels_and_nothing_else() {
        let picture = GrayImage::from_fn(2, 1, |x, _| Luma([if x == 0 { 10 } else { 200 }]));
        let picture = DynamicImage::from(picture);
        let go = Watch::default();
        let (same, _) = InstantEngine.restore(&picture, 1, &go).unwrap();
        assert_eq!(same, picture);
        let (large, report) = InstantEngine.restore(&picture, 2, &go).unwrap();
        assert_eq!(large.as_bytes(), [10, 10, 200, 200, 10, 10, 200, 200]);
        assert_eq!(report.engine, "instant");
    }

    #[test]
    fn follows_the_contract_on_scale_and_cancel() {
        let picture = DynamicImage::new_luma8(2, 2);
        let watch = Watch::default();
        assert_eq!(InstantEngine.restore(&picture, 5, &watch), Err(EngineError::Scale(5)));
        watch.cancel();
        assert_eq!(InstantEngine.restore(&picture, 2, &watch), Err(EngineError::Cancelled));
    }
}
