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

/// What was measured last on these crops: mean PSNR in dB of Lanczos and of the version
/// before, which do not change unless what they are made of does, and how many dB over
/// Lanczos the local engine had.
const MEASURED: [(Degree, f64, f64, f64); 4] = [
    (Degree::Clean, 31.09, 31.09, 1.70),
    (Degree::Mild, 28.71, 28.57, 0.99),
    (Degree::Old, 25.87, 26.59, 1.23),
    (Degree::Bad, 23.21, 24.67, 1.67),
];
/// How far from what was measured the yardsticks may be, and how far below it the engine,
/// in dB: less than a change of policy makes, more than another processor does.
const YARDSTICK: f64 = 0.05;
const SLACK: f64 = 0.15;
/// How many dB over the version before the engine must be on old pictures.
const LEAST_OVER_CLASSICAL: f64 = 0.2;

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

/// Returns the mean PSNR of what the engine makes of the photographs.
fn mean(engine: &dyn Engine, degree: Degree) -> f64 {
    let likeness = PHOTOS.map(|name| {
        let truth = middle(&example_photo(name), EDGE);
        let (restored, _) = engine.restore(&degrade(&truth, degree), 2, &Watch::default()).unwrap();
        psnr(&truth, &restored)
    });
    likeness.iter().sum::<f64>() / 4.0
}

#[test]
fn the_yardsticks_have_not_moved() {
    for (degree, lanczos, classical, _) in MEASURED {
        let engines: [(&dyn Engine, f64); 2] =
            [(&LanczosEngine, lanczos), (&ClassicalEngine, classical)];
        for (engine, measured) in engines {
            let (mean, name) = (mean(engine, degree), degree.name());
            let moved = (mean - measured).abs();
            assert!(moved <= YARDSTICK, "{}, {name}: {mean:.2} dB, not {measured}", engine.name());
        }
    }
}

#[test]
fn the_local_engine_is_as_good_as_it_was() {
    for (degree, lanczos, classical, gain) in MEASURED {
        let (mean, name) = (mean(&LocalEngine::default(), degree), degree.name());
        let now = mean - lanczos;
        assert!(now >= gain - SLACK, "{name}: {now:+.2} dB over Lanczos, was {gain:+}");
        let over = mean - classical;
        let is_enough = degree != Degree::Old || over >= LEAST_OVER_CLASSICAL;
        assert!(is_enough, "{name}: {over:+.2} dB over the version before");
    }
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
