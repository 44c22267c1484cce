//! The quality gate: what the local engine must reach before a change lands.
//!
//! A small part of the quality benchmark (`benches/quality`): one crop of each clean
//! example photograph, quick enough for an unoptimised test.

use super::{ClassicalEngine, Engine, LanczosEngine, LocalEngine, Watch};
use crate::testing::{
    degrade::{Degree, degrade, example_photo, middle},
    likeness::psnr,
};

/// Photographs of people, fur, things, and a gray one.
const PHOTOS: [&str; 4] = ["portrait.jpg", "cat.jpg", "caf\u{e9} faded.jpg", "photographer.png"];
/// Edge of the crops in pixels.
const EDGE: u32 = 200;

/// How many dB over Lanczos the mean of all photographs, and each of them, must be.
const LEAST: [(Degree, f64, f64); 4] = [
    (Degree::Clean, -0.1, -0.1),
    (Degree::Mild, 0.0, -0.1),
    (Degree::Old, 0.5, 0.2),
    (Degree::Bad, 0.5, 0.2),
];

/// Returns where the engine falls short, one line each.
fn shortfalls(engine: &dyn Engine) -> Vec<String> {
    let mut lines = Vec::new();
    for (degree, least_mean, least) in LEAST {
        let gains = PHOTOS.map(|name| gain(engine, name, degree));
        for (name, gain) in std::iter::zip(PHOTOS, gains) {
            if gain < least {
                lines.push(format!("{name}, {}: {gain:+.2} dB, not {least:+}", degree.name()));
            }
        }
        let mean = gains.iter().sum::<f64>() / 4.0;
        if mean < least_mean {
            lines.push(format!("mean, {}: {mean:+.2} dB, not {least_mean:+}", degree.name()));
        }
    }
    lines
}

/// Returns how many dB nearer to the truth the engine comes than Lanczos alone.
fn gain(engine: &dyn Engine, name: &str, degree: Degree) -> f64 {
    let truth = middle(&example_photo(name), EDGE);
    let aged = degrade(&truth, degree);
    let likeness = |engine: &dyn Engine| {
        let (restored, _) = engine.restore(&aged, 2, &Watch::default()).unwrap();
        psnr(&truth, &restored)
    };
    likeness(engine) - likeness(&LanczosEngine)
}

#[test]
fn the_local_engine_passes() {
    let short = shortfalls(&LocalEngine::default());
    assert!(short.is_empty(), "{}", short.join("\n"));
}

#[test]
fn doing_nothing_and_the_version_before_do_not_pass() {
    let is_short = |lines: &[String], of: &str| lines.iter().any(|line| line.starts_with(of));
    let lanczos = shortfalls(&LanczosEngine);
    assert!(is_short(&lanczos, "mean, old") && !is_short(&lanczos, "mean, clean"), "{lanczos:?}");
    let classical = shortfalls(&ClassicalEngine);
    assert!(!classical.is_empty());
}
