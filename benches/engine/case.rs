//! What is measured: pictures for which the engine runs one network each.

use std::{env, path::PathBuf};

use image::{DynamicImage, Rgb, RgbImage};
use restore_batch::{
    engine::{AddedModels, Effort, Engine, EngineReport, LocalEngine, Watch},
    testing::degrade::add_noise,
};

use crate::{Result, in_repository};

/// A network, and a picture that the engine gives to it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) picture: DynamicImage,
    /// Edge of the engine's tiles, without what is seen around them.
    tile: u32,
    /// Pixels that are seen around a tile.
    margin: u32,
    engine: LocalEngine,
    /// The engine without the network, where other networks run before it.
    without: Option<LocalEngine>,
}

impl Case {
    /// Returns all cases for which there are models.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut cases =
            vec![Self::of("waifu2x-photo-n0", 1024)?, Self::of("waifu2x-photo-n3", 1024)?];
        if models().join("realesrgan-x4plus.onnx").exists() {
            cases.push(Self::of("realesrgan-x4plus", 192)?);
        }
        Ok(cases)
    }

    /// Returns the case of the network `name` with a picture `width` pixels wide.
    pub(crate) fn of(name: &str, width: u32) -> Result<Self> {
        let plain = LocalEngine::new(u64::MAX);
        // Tile and margin are those of `engine::waifu2x` and `engine::x4plus`.
        let waifu2x = |name, picture| {
            let engine = plain.clone();
            Self { name, picture, tile: 128, margin: 7, engine, without: None }
        };
        Ok(match name {
            "waifu2x-photo-n0" => waifu2x("waifu2x-photo-n0", clean(width, width).into()),
            "waifu2x-photo-n3" => {
                waifu2x("waifu2x-photo-n3", add_noise(&clean(width, width), 12.0).into())
            }
            "realesrgan-x4plus" => Self {
                name: "realesrgan-x4plus",
                // Two tiles.
                picture: add_noise(&clean(width, width / 2), 12.0).into(),
                tile: 96,
                margin: 10,
                engine: plain.clone().with_models(AddedModels::load(&models(), Effort::default())?),
                without: Some(plain),
            },
            _ => return Err(format!("no case `{name}`").into()),
        })
    }

    /// Restores the picture and returns the seconds it took; where other networks run before
    /// this one, the seconds more than without it.
    pub(crate) fn run(&self) -> Result<f64> {
        let with = self.restore(&self.engine)?;
        let ran: Vec<&str> = with.models.iter().map(|model| model.name.as_str()).collect();
        if ran.last() != Some(&self.name) || (ran.len() > 1 && self.without.is_none()) {
            return Err(format!("the engine ran {ran:?}: change the picture").into());
        }
        let with = with.took.as_secs_f64();
        Ok(match &self.without {
            Some(without) => with - self.restore(without)?.took.as_secs_f64(),
            None => with,
        })
    }

    fn restore(&self, engine: &LocalEngine) -> Result<EngineReport> {
        Ok(engine.restore(&self.picture, 2, &Watch::default())?.1)
    }

    /// Millions of pixels of input.
    pub(crate) fn megapixels(&self) -> f64 {
        f64::from(self.picture.width()) * f64::from(self.picture.height()) / 1e6
    }

    /// Edge in pixels of what the network sees at once.
    pub(crate) fn seen(&self) -> u32 {
        self.tile + 2 * self.margin
    }

    pub(crate) fn tiles(&self) -> u32 {
        (self.picture.width() / self.tile) * (self.picture.height() / self.tile)
    }

    pub(crate) fn describe(&self) -> [String; 2] {
        let (width, height) = (self.picture.width(), self.picture.height());
        [
            self.name.into(),
            format!("{width}x{height}, {} tiles of {1}x{1}", self.tiles(), self.seen()),
        ]
    }

    /// The network's file.
    pub(crate) fn model(&self) -> PathBuf {
        let folder = match self.without {
            Some(_) => models(),
            None => in_repository("src/engine/models"),
        };
        folder.join(format!("{}.onnx", self.name))
    }
}

/// Where `just models` puts the models that users add, or `RESTORE_BATCH_MODELS`.
fn models() -> PathBuf {
    env::var_os("RESTORE_BATCH_MODELS")
        .map_or_else(|| in_repository("target/models"), PathBuf::from)
}

/// A picture without noise: slopes and discs.
fn clean(width: u32, height: u32) -> RgbImage {
    let level = |value: u32| u8::try_from(value % 256).unwrap_or(u8::MAX);
    RgbImage::from_fn(width, height, |x, y| {
        let (across, down) = ((x % 64).abs_diff(32), (y % 64).abs_diff(32));
        let inside = across * across + down * down < 400;
        let base = 60 + (x + y) * 100 / (width + height);
        Rgb([level(base + u32::from(inside) * 60), level(base), level(base + 20)])
    })
}
