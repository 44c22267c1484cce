//! One photograph in one degree, restored in three ways.

use image::{DynamicImage, RgbImage};
use restore_batch::{
    engine::{ClassicalEngine, Engine, LanczosEngine, LocalEngine, Watch},
    testing::{
        degrade::{Degree, degrade},
        likeness::{psnr, ssim},
    },
};

use crate::{Result, sheet};

/// How much larger a degraded photograph is made: back to its full size.
const SCALE: u8 = 2;

/// The figures of one photograph in one degree.
pub(crate) struct Row {
    pub(crate) photo: String,
    pub(crate) degree: Degree,
    /// Lanczos, the version before, the local engine.
    pub(crate) figures: [Figures; 3],
    /// What the local engine says it did.
    pub(crate) steps: String,
}

/// How near one result comes to the truth.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// In dB.
    pub(crate) psnr: f64,
    pub(crate) ssim: f64,
}

/// Returns the figures, and a strip of the contact sheet: truth, degraded, results.
pub(crate) fn measure(
    photo: &str,
    truth: &DynamicImage,
    degree: Degree,
) -> Result<(Row, RgbImage)> {
    let aged = degrade(truth, degree);
    let (lanczos, _) = restore(&LanczosEngine, &aged)?;
    let (classical, _) = restore(&ClassicalEngine, &aged)?;
    let (ours, steps) = restore(&LocalEngine::default(), &aged)?;
    let compare =
        |result: &DynamicImage| Figures { psnr: psnr(truth, result), ssim: ssim(truth, result) };
    let figures = [compare(&lanczos), compare(&classical), compare(&ours)];
    let strip = sheet::strip([truth, &aged, &lanczos, &classical, &ours]);
    Ok((Row { photo: photo.to_owned(), degree, figures, steps }, strip))
}

fn restore(engine: &dyn Engine, picture: &DynamicImage) -> Result<(DynamicImage, String)> {
    let (restored, report) = engine.restore(picture, SCALE, &Watch::default())?;
    Ok((restored, report.steps.join(", ")))
}
