//! Compares what the added models compute with what onnxruntime computes: `just parity`.
//!
//! The models are not in the repository, so these tests only run when they are asked for
//! by name, and then fail where the models are missing. See `tests/fixtures/engine`.

use std::{
    env, fs,
    iter::zip,
    path::{Path, PathBuf},
};

use rten_tensor::{NdTensor, Tensor, prelude::*};

use image::DynamicImage;

use super::{
    added::AddedModels,
    contract::{Engine, EngineError, EngineReport},
    faces::Face,
    local::LocalEngine,
    sharpened::Effort,
    tiles::{Enlarger, Planes, enlarge},
    watch::Watch,
    x4plus::X4plus,
};
use crate::testing::{
    degrade::{Degree, degrade, example, example_photo, middle},
    likeness::psnr,
};

/// The outputs of `CenterFace`, in their order.
pub(super) const MAPS: [&str; 4] = ["heatmap", "scale", "offset", "landmarks"];

/// What `index.json` says about one model, or about made-up outputs of one.
pub(super) struct Fixture(serde_json::Value);

impl Fixture {
    pub(super) fn of(model: &str) -> Self {
        let index = fs::read_to_string(folder().join("index.json")).unwrap();
        let mut index: serde_json::Value = serde_json::from_str(&index).unwrap();
        Self(index[model].take())
    }

    /// The SHA-256 of the model's file.
    pub(super) fn sha256(&self) -> &str {
        self.0["sha256"].as_str().unwrap()
    }

    pub(super) fn picture(&self) -> NdTensor<f32, 4> {
        tensor(&self.0["picture"]).try_into().unwrap()
    }

    pub(super) fn output(&self, name: &str) -> Tensor<f32> {
        tensor(&self.0["outputs"][name])
    }

    /// The faces in the outputs, the surest first.
    pub(super) fn faces(&self) -> Vec<Face> {
        self.0["faces"].as_array().unwrap().iter().map(face).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine")
}

fn tensor(entry: &serde_json::Value) -> Tensor<f32> {
    let bytes = fs::read(folder().join(entry["file"].as_str().unwrap())).unwrap();
    let floats = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    let shape = entry["shape"].as_array().unwrap().iter();
    let shape: Vec<_> = shape.map(|edge| edge.as_u64().unwrap().try_into().unwrap()).collect();
    Tensor::from_data(shape.as_slice(), floats.collect::<Vec<_>>())
}

#[expect(clippy::cast_possible_truncation, reason = "compared with a tolerance")]
fn face(entry: &serde_json::Value) -> Face {
    let number = |entry: &serde_json::Value| entry.as_f64().unwrap() as f32;
    let landmark = |index: usize| {
        let point = &entry["landmarks"][index];
        (number(&point[0]), number(&point[1]))
    };
    Face {
        score: number(&entry["score"]),
        left: number(&entry["left"]),
        top: number(&entry["top"]),
        right: number(&entry["right"]),
        bottom: number(&entry["bottom"]),
        landmarks: std::array::from_fn(landmark),
    }
}

/// Fails unless both have the same faces, within `tolerance` pixels.
pub(super) fn assert_same_faces(ours: &[Face], theirs: &[Face], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{ours:?} and {theirs:?}");
    let numbers = |face: &Face| {
        let points = face.landmarks.iter().flat_map(|&(x, y)| [x, y]);
        let edges = [face.score, face.left, face.top, face.right, face.bottom];
        edges.into_iter().chain(points).collect::<Vec<_>>()
    };
    for (our, their) in zip(ours, theirs) {
        let apart = zip(numbers(our), numbers(their)).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < tolerance, "{our:?} and {their:?}");
    }
}

/// The greatest difference between two tensors of the same shape.
fn apart(ours: &Tensor<f32>, theirs: &Tensor<f32>) -> f32 {
    assert_eq!(ours.shape(), theirs.shape());
    zip(ours.iter(), theirs.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Where `scripts/fetch-models` puts models, or `RESTORE_BATCH_MODELS`.
fn models() -> AddedModels {
    let folder = env::var_os("RESTORE_BATCH_MODELS").map(PathBuf::from).or_else(|| {
        let home = env::home_dir().map(|home| home.join(".local/share"));
        let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).or(home);
        data.map(|data| data.join("restore-batch/models"))
    });
    AddedModels::load(&folder.expect("no home directory"), Effort::default()).unwrap()
}

#[test]
#[ignore = "needs the models of scripts/fetch-models: `just parity`"]
fn centerface_computes_what_onnxruntime_computes() {
    let models = models();
    let detector = models.detector.expect("centerface.onnx is missing: run scripts/fetch-models");
    let fixture = Fixture::of("centerface");
    assert_eq!(detector.id().sha256, fixture.sha256());
    let outputs = detector.run(fixture.picture()).unwrap();
    for (name, ours) in zip(MAPS, &outputs) {
        let apart = apart(ours, &fixture.output(name));
        assert!(apart < 1e-4, "{name}: {apart}");
    }
    let faces = super::faces::decode(&outputs).unwrap();
    assert_same_faces(&faces, &fixture.faces(), 0.01);
}

#[test]
#[ignore = "needs the models of scripts/fetch-models: `just parity`"]
fn x4plus_computes_what_onnxruntime_computes() {
    let models = models();
    let x4plus =
        models.x4plus.expect("realesrgan-x4plus.onnx is missing: run scripts/fetch-models");
    let fixture = Fixture::of("realesrgan-x4plus");
    assert_eq!(x4plus.id().sha256, fixture.sha256());
    let outputs = x4plus.compute(fixture.picture(), None).unwrap();
    let apart = apart(&outputs, &fixture.output("result"));
    assert!(apart < 1e-4, "{apart}");
}

/// The model with one tile for all, so that there is no cut.
struct Uncut<'a>(&'a X4plus);

impl Enlarger for Uncut<'_> {
    type Worker = <X4plus as Enlarger>::Worker;

    fn factor(&self) -> usize {
        self.0.factor()
    }

    fn margin(&self) -> usize {
        self.0.margin()
    }

    fn tile(&self) -> usize {
        usize::MAX
    }

    fn worker(&self) -> Self::Worker {
        self.0.worker()
    }

    fn run(&self, tile: &Planes, worker: &mut Self::Worker) -> Result<Planes, EngineError> {
        self.0.run(tile, worker)
    }
}

#[test]
#[ignore = "needs the models of scripts/fetch-models: `just parity`"]
fn tiles_of_x4plus_meet_without_a_step() {
    let x4plus =
        models().x4plus.expect("realesrgan-x4plus.onnx is missing: run scripts/fetch-models");
    let aged = degrade(&middle(&example_photo("portrait.jpg"), 224), Degree::Old);
    let aged = aged.crop_imm(0, 24, 112, 64);
    let watch = Watch::default();
    let tiled = enlarge(&x4plus, &aged, &watch).unwrap().to_rgb8();
    let uncut = enlarge(&Uncut(&x4plus), &aged, &watch).unwrap().to_rgb8();
    // How the difference to the uncut picture changes from one column to the next.
    let step = |x: u32| {
        let apart = |x: u32, y: u32, channel: usize| {
            i32::from(tiled.get_pixel(x, y)[channel]) - i32::from(uncut.get_pixel(x, y)[channel])
        };
        let rows = (0..tiled.height()).flat_map(|y| (0..3).map(move |channel| (y, channel)));
        rows.map(|(y, channel)| (apart(x, y, channel) - apart(x - 1, y, channel)).abs()).max()
    };
    // Seven blocks of 16 pixels are cut after the third.
    let at_the_cut = step(48 * 4).unwrap();
    assert!(at_the_cut <= 6, "a step of {at_the_cut} levels");
}

/// What the engine makes of the portrait, aged, and how near it comes to the truth.
fn restore_portrait(engine: &LocalEngine, age: Degree) -> (DynamicImage, EngineReport, f64) {
    let truth = DynamicImage::from(example("portrait.jpg", 200));
    let aged = degrade(&truth, age);
    let (restored, report) = engine.restore(&aged, 2, &Watch::default()).unwrap();
    let likeness = psnr(&truth, &restored);
    (restored, report, likeness)
}

#[test]
#[ignore = "needs the models of scripts/fetch-models: `just parity`"]
fn old_pictures_gain_and_clean_ones_stay_as_they_were() {
    let (plain, added) = (LocalEngine::default(), LocalEngine::default().with_models(models()));
    // Measured: 0.48 for `bad`.
    let restored = [(Degree::Old, 0.3), (Degree::Bad, 0.4)].map(|(age, least)| {
        let (_, _, without) = restore_portrait(&plain, age);
        let (restored, report, with) = restore_portrait(&added, age);
        assert!(with >= without + least, "{age:?}: {without:.2} became {with:.2} dB");
        assert_eq!(report.models.last().unwrap().name, "realesrgan-x4plus");
        restored
    });
    let (again, ..) = restore_portrait(&added, Degree::Old);
    assert!(restored[0] == again, "the same picture gave two results");
    let (without, ..) = restore_portrait(&plain, Degree::Clean);
    let (with, report, _) = restore_portrait(&added, Degree::Clean);
    assert!(with == without && report.sharpened.is_empty());
}
