//! The quality gate: what the local engine must reach on aged photographs.
//!
//! Measured when this was written: PSNR in dB of Lanczos alone, and what the engine adds,
//! at scale 2 on whole photographs of scikit-image (astronaut, chelsea, coffee). The
//! thresholds were fitted on the same photographs and four more.
//!
//! | level | astronaut | chelsea | coffee |
//! | --- | --- | --- | --- |
//! | clean | 30.44 +0.00 | 33.59 +0.00 | 29.26 +0.00 |
//! | mild | 28.22 +0.00 | 31.22 +0.00 | 27.30 +0.00 |
//! | old | 25.61 +0.48 | 28.17 +0.96 | 25.30 +0.57 |
//! | bad | 23.02 +0.82 | 25.25 +2.33 | 23.30 +1.30 |
//!
//! The crops below are smaller and harder, so that an unoptimised test is quick.

use tokio_util::sync::CancellationToken;

use super::{
    Engine, LocalEngine,
    resize::{Kernel, resize},
};
use crate::testing::{
    degrade::{Degree, degrade, example_photo, middle},
    likeness::psnr,
};

/// Returns how many dB nearer to the truth the engine comes than Lanczos alone.
fn gain(name: &str, degree: Degree) -> f64 {
    let truth = middle(&example_photo(name), 200);
    let aged = degrade(&truth, degree);
    let (restored, _) =
        LocalEngine::default().restore(&aged, 2, &CancellationToken::new()).unwrap();
    let enlarged = resize(&aged, (200, 200), Kernel::Lanczos3);
    psnr(&truth, &restored) - psnr(&truth, &enlarged)
}

const PHOTOS: [&str; 3] = ["portrait.jpg", "cat.jpg", "photographer.png"];

/// Measured gains, old and bad: portrait 0.32 and 0.63 dB, cat 0.24 and 1.11, photographer
/// 0.44 and 0.84. The crop of the cat is all fur and the hardest of them.
#[test]
fn aged_pictures_come_out_better_than_by_lanczos() {
    for (name, old, bad) in
        [("portrait.jpg", 0.25, 0.4), ("cat.jpg", 0.2, 0.7), ("photographer.png", 0.4, 0.6)]
    {
        for (degree, least) in [(Degree::Old, old), (Degree::Bad, bad)] {
            let gain = gain(name, degree);
            assert!(gain >= least, "{name}, {degree:?}: {gain:.2} dB");
        }
    }
}

#[test]
fn clean_pictures_come_out_no_worse_than_by_lanczos() {
    for name in PHOTOS {
        let gain = gain(name, Degree::Clean);
        assert!(gain >= -0.1, "{name}: {gain:.2} dB");
    }
}

#[test]
fn a_little_age_costs_at_most_half_a_decibel() {
    // The crop of the cat is all fur, which the estimate takes for noise: -0.56 dB.
    for (name, most) in [("portrait.jpg", 0.1), ("photographer.png", 0.1), ("cat.jpg", 0.6)] {
        let gain = gain(name, Degree::Mild);
        assert!(gain >= -most, "{name}: {gain:.2} dB");
    }
}
