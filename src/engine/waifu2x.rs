//! The networks of waifu2x for photographs: twice as large, with less noise or not.
//!
//! Where the weights come from, and their licence, is told in `models/NOTICE.md`. They are
//! run by [`upconv7`](super::upconv7) and not by rten, which takes 2.3 times as long. With all
//! that is around it, the engine takes about two thirds of the time onnxruntime takes for
//! the network alone: see `docs/speed.md`.

use std::{fmt, iter::zip, sync::OnceLock};

use rten::ThreadPool;
use rten_tensor::NdTensor;

use super::{
    contract::{EngineError, ModelId},
    onnx::Network,
    tiles::{Enlarger, Planes},
    upconv7::{Buffers, Layer, MARGIN, Upconv7},
};

/// Which training of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// For clean pictures: enlarges, removes nothing.
    Photo0,
    /// For noisy ones: the strongest removal of noise there is.
    Photo3,
}

impl Weights {
    /// Returns the model's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Photo0 => "waifu2x-photo-n0",
            Self::Photo3 => "waifu2x-photo-n3",
        }
    }

    /// Returns the model's file.
    fn file(self) -> &'static [u8] {
        match self {
            Self::Photo0 => include_bytes!("models/waifu2x-photo-n0.onnx"),
            Self::Photo3 => include_bytes!("models/waifu2x-photo-n3.onnx"),
        }
    }
}

/// One of the networks, loaded.
pub(super) struct Waifu2x {
    id: ModelId,
    network: Upconv7,
}

/// Returns the network with these weights, loaded at the first call.
///
/// # Errors
///
/// [`EngineError::Model`] when the file in the program cannot be used.
pub(super) fn waifu2x(weights: Weights) -> Result<&'static Waifu2x, EngineError> {
    static PHOTO_0: OnceLock<Result<Waifu2x, EngineError>> = OnceLock::new();
    static PHOTO_3: OnceLock<Result<Waifu2x, EngineError>> = OnceLock::new();
    let loaded = match weights {
        Weights::Photo0 => &PHOTO_0,
        Weights::Photo3 => &PHOTO_3,
    };
    let load = || Waifu2x::load(&Network::embedded(weights.name(), weights.file())?);
    loaded.get_or_init(load).as_ref().map_err(Clone::clone)
}

impl Waifu2x {
    fn load(file: &Network) -> Result<Self, EngineError> {
        let layers: Result<Vec<Layer>, _> = (1..=7).map(|number| layer(file, number)).collect();
        let network = Upconv7::new(&layers?).ok_or_else(|| file.failure(&"it is no `upconv_7`"))?;
        Ok(Self { id: file.id().clone(), network })
    }

    /// Returns which model this is.
    pub(super) fn id(&self) -> &ModelId {
        &self.id
    }
}

impl fmt::Debug for Waifu2x {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Waifu2x").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Returns weights and bias of one layer.
fn layer(file: &Network, number: u8) -> Result<Layer, EngineError> {
    let weights = file.constant(&format!("conv{number}_layer.weight"))?;
    let bias = file.constant(&format!("conv{number}_layer.bias"))?;
    let weights =
        NdTensor::try_from(weights).map_err(|_| file.failure(&"a weight has not 4 dimensions"))?;
    Ok((weights, bias.into_data()))
}

/// What a thread needs: rten's product of matrices would take all cores, but one tile a
/// core is faster.
pub(super) struct Worker {
    pool: ThreadPool,
    buffers: Buffers,
}

impl Enlarger for Waifu2x {
    type Worker = Worker;

    fn factor(&self) -> usize {
        2
    }

    fn margin(&self) -> usize {
        MARGIN
    }

    /// Takes about 35 MiB a core. Measured: 64 and 192 are as fast.
    fn tile(&self) -> usize {
        128
    }

    fn worker(&self) -> Worker {
        Worker { pool: ThreadPool::with_num_threads(1), buffers: Buffers::default() }
    }

    fn run(&self, tile: &Planes, worker: &mut Worker) -> Result<Planes, EngineError> {
        let Worker { pool, buffers } = worker;
        pool.run(|| self.network.run(tile, buffers)).ok_or_else(|| EngineError::Model {
            model: self.id.name.clone(),
            reason: format!("a tile of {}x{} pixels does not fit", tile.width, tile.height),
        })
    }
}

/// Networks whose results are averaged, at least one.
#[derive(Debug)]
pub(super) struct Ensemble(pub(super) Vec<&'static Waifu2x>);

impl Enlarger for Ensemble {
    type Worker = Worker;

    fn factor(&self) -> usize {
        self.0[0].factor()
    }

    fn margin(&self) -> usize {
        self.0[0].margin()
    }

    fn tile(&self) -> usize {
        self.0[0].tile()
    }

    fn worker(&self) -> Worker {
        self.0[0].worker()
    }

    fn run(&self, tile: &Planes, worker: &mut Worker) -> Result<Planes, EngineError> {
        let mut mean = self.0[0].run(tile, worker)?;
        for (network, count) in zip(&self.0[1..], 2_u8..) {
            let other = network.run(tile, worker)?;
            for (mean, level) in zip(&mut mean.samples, other.samples) {
                *mean += (level - *mean) / f32::from(count);
            }
        }
        Ok(mean)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use image::DynamicImage;

    use super::*;
    use crate::{
        engine::{onnx::sha256, parity::Fixture, tiles::enlarge, watch::Watch},
        testing::{degrade::example, likeness::psnr},
    };

    /// Returns the floats of a file of `tests/fixtures/engine`.
    fn floats(name: &str) -> Vec<f32> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine");
        let bytes = fs::read(folder.join(name)).unwrap();
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    /// Returns the greatest difference.
    fn apart(ours: &[f32], theirs: &[f32]) -> f32 {
        zip(ours, theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn the_networks_compute_what_onnxruntime_computes() {
        let picture =
            Planes { width: 26, height: 30, samples: floats("waifu2x-photo-n0.picture.f32") };
        for weights in [Weights::Photo0, Weights::Photo3] {
            let network = waifu2x(weights).unwrap();
            let result = network.run(&picture, &mut network.worker()).unwrap();
            assert_eq!((result.width, result.height), (24, 32));
            let theirs = floats(&format!("{}.result.f32", weights.name()));
            assert_eq!(theirs.len(), result.samples.len());
            assert!(apart(&result.samples, &theirs) < 1e-4);
        }
    }

    #[test]
    fn the_networks_compute_what_rten_computes() {
        let (width, height) = (51, 38);
        let picture = floats("centerface.picture.f32");
        let samples: Vec<f32> =
            picture[..3 * width * height].iter().map(|level| level / 255.0).collect();
        for weights in [Weights::Photo0, Weights::Photo3] {
            let file = Network::embedded(weights.name(), weights.file()).unwrap();
            let tensor = NdTensor::from_data([1, 3, height, width], samples.clone());
            let theirs =
                file.run(tensor, None).unwrap().pop().and_then(Planes::from_tensor).unwrap();
            let network = waifu2x(weights).unwrap();
            let tile = Planes { width, height, samples: samples.clone() };
            let ours = network.run(&tile, &mut network.worker()).unwrap();
            assert_eq!((ours.width, ours.height), (theirs.width, theirs.height));
            assert!(apart(&ours.samples, &theirs.samples) < 1e-5);
        }
    }

    #[test]
    fn a_tile_of_nothing_but_margin_is_an_error() {
        let network = waifu2x(Weights::Photo0).unwrap();
        let tile = Planes { width: 14, height: 20, samples: vec![0.0; 3 * 14 * 20] };
        let result = network.run(&tile, &mut network.worker());
        assert!(matches!(result, Err(EngineError::Model { .. })));
    }

    #[test]
    fn all_that_names_the_files_names_these_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/models");
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["NOTICE.md", "waifu2x-photo-n0.onnx", "waifu2x-photo-n3.onnx"]);

        let notice = include_str!("models/NOTICE.md");
        let pins = include_str!("../../scripts/model_pins.py");
        let digests = [Weights::Photo0, Weights::Photo3].map(|weights| {
            let name = weights.name();
            let digest = sha256(&fs::read(folder.join(format!("{name}.onnx"))).unwrap());
            assert_eq!(digest, waifu2x(weights).unwrap().id().sha256);
            assert_eq!(digest, Fixture::of(name).sha256());
            let pin = pins.split("Model(\n").find(|pin| pin.contains(&format!("\"{name}\"")));
            assert!(pin.unwrap().contains(&format!("result=\"{digest}\"")), "{name}");
            digest
        });
        assert!(notice.contains(&format!("| sha256 | `{}` | `{}` |", digests[0], digests[1])));
        // The digests of the source too are those that the script checks.
        let others = notice.split('`').filter(|word| word.len() == 64);
        assert!(others.clone().count() >= 6);
        for digest in others {
            assert!(pins.contains(&format!("\"{digest}\"")), "{digest}");
        }
    }

    /// The network with other tiles.
    struct Tiled(&'static Waifu2x, usize);

    impl Enlarger for Tiled {
        type Worker = <Waifu2x as Enlarger>::Worker;

        fn factor(&self) -> usize {
            self.0.factor()
        }

        fn margin(&self) -> usize {
            self.0.margin()
        }

        fn tile(&self) -> usize {
            self.1
        }

        fn worker(&self) -> Self::Worker {
            self.0.worker()
        }

        fn run(&self, tile: &Planes, worker: &mut Self::Worker) -> Result<Planes, EngineError> {
            self.0.run(tile, worker)
        }
    }

    #[test]
    fn there_are_no_seams() {
        let picture = DynamicImage::from(example("cat.jpg", 70));
        let network = waifu2x(Weights::Photo3).unwrap();
        let whole = enlarge(network, &picture, &Watch::default()).unwrap();
        for edge in [16, 48] {
            let tiled = enlarge(&Tiled(network, edge), &picture, &Watch::default()).unwrap();
            let pairs = zip(whole.as_bytes(), tiled.as_bytes());
            assert!(pairs.clone().all(|(a, b)| a.abs_diff(*b) <= 1));
            assert!(psnr(&whole, &tiled) > 60.0);
        }
    }

    #[test]
    fn gray_is_the_mean_of_what_equal_channels_give() {
        let gray = DynamicImage::from(example("portrait.jpg", 40)).to_luma8();
        for weights in [Weights::Photo0, Weights::Photo3] {
            let enlarge =
                |picture| enlarge(waifu2x(weights).unwrap(), &picture, &Watch::default()).unwrap();
            let plain = enlarge(gray.clone().into());
            let coloured = enlarge(DynamicImage::from(gray.clone()).to_rgb8().into());
            let DynamicImage::ImageLuma8(plain) = plain else { panic!("not gray: {plain:?}") };
            for (gray, colour) in zip(plain.iter(), coloured.to_rgb8().pixels()) {
                let mean = colour.0.iter().map(|level| f32::from(*level)).sum::<f32>() / 3.0;
                assert!((f32::from(*gray) - mean).abs() < 1.5, "{gray:?} and {colour:?}");
            }
        }
    }
}
