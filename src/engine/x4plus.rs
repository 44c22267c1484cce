//! Runs Real-ESRGAN x4plus on a part of a noisy picture.
//!
//! X. Wang and others, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
//! Synthetic Data", <https://arxiv.org/abs/2107.10833>. The model is not part of the
//! program: users add it, see [`added`](super::added). It gives skin and edges back their
//! look where noise and blur have eaten it, and for that it invents: on small, bad
//! faces it may distort an eye or a mouth. So its picture is only mixed into the one
//! made without it ([`sharpened`](super::sharpened) says where), and never on clean
//! pictures, which it makes worse.
//!
//! Measured at scale 2 on seven crops of photographs of scikit-image, mean PSNR in dB and
//! SSIM of waifu2x n3 with a share of x4plus (waifu2x n0, which clean pictures get, has
//! 31.83 .928 there):
//!
//! | share | clean | mild | old | bad |
//! | --- | --- | --- | --- | --- |
//! | 0 | 31.01 .907 | 29.33 .867 | 27.01 .766 | 24.52 .604 |
//! | 0.25 | 31.13 .912 | 29.70 .874 | 27.61 .793 | 25.39 .664 |
//! | 0.5 | 30.65 .910 | 29.42 .871 | 27.72 .810 | 25.83 .717 |
//! | 0.75 | 29.75 .902 | 28.66 .863 | 27.31 .815 | 25.73 .754 |
//! | 1 | 28.67 .889 | 27.64 .849 | 26.53 .806 | 25.13 .760 |

use std::sync::Arc;

use image::DynamicImage;
use rten::ThreadPool;
use rten_tensor::{NdTensor, Tensor};

use super::{
    contract::{EngineError, ModelId},
    onnx::Network,
    resize::{Kernel, resize},
    sharpened::{Sharpened, Tiling},
    tiles::{Enlarger, Planes, enlarge},
    watch::Watch,
};

/// Real-ESRGAN x4plus, loaded.
#[derive(Debug)]
pub(super) struct X4plus {
    network: Network,
}

/// Tiles of 96 pixels take about 400 MiB each, and a face of 192 is four of them. The model
/// looks much further than upstream's margin of 10 pixels: cut there, tiles differed by up
/// to 30 levels where they met. So they also overlap.
pub(super) const TILING: Tiling = Tiling { tile: 96, margin: 10, overlap: 24 };

impl X4plus {
    /// Makes the model ready.
    pub(super) fn new(network: Network) -> Self {
        Self { network }
    }

    /// Returns which model this is.
    pub(super) fn id(&self) -> &ModelId {
        self.network.id()
    }

    /// Returns the model's picture of a part of `source`, which has no alpha, enlarged by
    /// `scale`.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when the model fails, or the work was cancelled.
    pub(super) fn detail(
        &self,
        source: &DynamicImage,
        part: &Sharpened,
        scale: u32,
        watch: &Watch,
    ) -> Result<DynamicImage, EngineError> {
        let seen = source.crop_imm(part.left, part.top, part.width, part.height);
        let detail = enlarge(self, &resize(&seen, part.seen, Kernel::Area), watch)?;
        let size = (part.width * scale, part.height * scale);
        let kernel = if size.0 < detail.width() { Kernel::Area } else { Kernel::Lanczos3 };
        Ok(resize(&detail, size, kernel))
    }

    /// Returns what the model makes of `planes`.
    pub(super) fn compute(
        &self,
        planes: NdTensor<f32, 4>,
        pool: Option<&Arc<ThreadPool>>,
    ) -> Result<Tensor<f32>, EngineError> {
        let mut outputs = self.network.run(planes, pool)?;
        outputs.pop().ok_or_else(|| self.network.failure(&"it has no output"))
    }
}

impl Enlarger for X4plus {
    type Worker = Arc<ThreadPool>;

    fn factor(&self) -> usize {
        4
    }

    fn margin(&self) -> usize {
        TILING.margin as usize
    }

    fn overlap(&self) -> usize {
        TILING.overlap as usize
    }

    fn tile(&self) -> usize {
        TILING.tile as usize
    }

    /// One thread a tile, and a tile a core, as with waifu2x.
    fn worker(&self) -> Arc<ThreadPool> {
        Arc::new(ThreadPool::with_num_threads(1))
    }

    fn run(&self, tile: &Planes, pool: &mut Arc<ThreadPool>) -> Result<Planes, EngineError> {
        let shape = [1, 3, tile.height, tile.width];
        let input = NdTensor::from_data(shape, tile.samples.clone());
        Planes::from_tensor(self.compute(input, Some(pool))?)
            .ok_or_else(|| self.network.failure(&"its output is no picture"))
    }
}
