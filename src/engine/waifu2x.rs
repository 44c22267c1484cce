//! The networks of waifu2x for photographs: twice as large, with less noise or not.
//!
//! Architecture `upconv_7`: six 3x3 convolutions without padding, each with a leaky
//! rectifier, and one transposed convolution. It sees 7 pixels around each. Where the
//! weights come from, and their licence, is told in `models/NOTICE.md`.

use std::{
    iter::zip,
    sync::{Arc, OnceLock},
};

use rten::ThreadPool;
use rten_tensor::NdTensor;

use super::{
    contract::{EngineError, ModelId},
    onnx::Network,
    tiles::{Enlarger, Planes},
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
#[derive(Debug)]
pub(super) struct Waifu2x {
    network: Network,
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
    let load = || Ok(Waifu2x { network: Network::embedded(weights.name(), weights.file())? });
    loaded.get_or_init(load).as_ref().map_err(Clone::clone)
}

impl Waifu2x {
    /// Returns which model this is.
    pub(super) fn id(&self) -> &ModelId {
        self.network.id()
    }
}

impl Enlarger for Waifu2x {
    type Worker = Arc<ThreadPool>;

    fn factor(&self) -> usize {
        2
    }

    fn margin(&self) -> usize {
        7
    }

    /// Measured: 64 and 256 are slower by 4 and 8 %.
    fn tile(&self) -> usize {
        128
    }

    /// One thread a tile, and a tile a core: 7 % faster than one tile on all cores.
    fn worker(&self) -> Arc<ThreadPool> {
        Arc::new(ThreadPool::with_num_threads(1))
    }

    fn run(&self, tile: &Planes, pool: &mut Arc<ThreadPool>) -> Result<Planes, EngineError> {
        let shape = [1, 3, tile.height, tile.width];
        let input = NdTensor::from_data(shape, tile.samples.clone());
        let mut outputs = self.network.run(input, Some(pool))?;
        let output = outputs.pop().ok_or_else(|| self.network.failure(&"it has no output"))?;
        Planes::from_tensor(output).ok_or_else(|| self.network.failure(&"its output is no picture"))
    }
}

/// Networks whose results are averaged, at least one.
#[derive(Debug)]
pub(super) struct Ensemble(pub(super) Vec<&'static Waifu2x>);

impl Enlarger for Ensemble {
    type Worker = Arc<ThreadPool>;

    fn factor(&self) -> usize {
        self.0[0].factor()
    }

    fn margin(&self) -> usize {
        self.0[0].margin()
    }

    fn tile(&self) -> usize {
        self.0[0].tile()
    }

    fn worker(&self) -> Arc<ThreadPool> {
        self.0[0].worker()
    }

    fn run(&self, tile: &Planes, pool: &mut Arc<ThreadPool>) -> Result<Planes, EngineError> {
        let mut mean = self.0[0].run(tile, pool)?;
        for (network, count) in zip(&self.0[1..], 2_u8..) {
            let other = network.run(tile, pool)?;
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
        engine::{tiles::enlarge, watch::Watch},
        testing::{degrade::example, likeness::psnr},
    };

    /// Returns the floats of a file of `tests/fixtures/engine`.
    fn floats(name: &str) -> Vec<f32> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine");
        let bytes = fs::read(folder.join(name)).unwrap();
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
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
            let apart = std::iter::zip(&result.samples, &theirs).map(|(a, b)| (a - b).abs());
            let most = apart.fold(0.0, f32::max);
            assert!(theirs.len() == result.samples.len() && most < 1e-4, "{most}");
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
            let pairs = std::iter::zip(whole.as_bytes(), tiled.as_bytes());
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
            for (gray, colour) in std::iter::zip(plain.iter(), coloured.to_rgb8().pixels()) {
                let mean = colour.0.iter().map(|level| f32::from(*level)).sum::<f32>() / 3.0;
                assert!((f32::from(*gray) - mean).abs() < 1.5, "{gray:?} and {colour:?}");
            }
        }
    }
}
