//! Restores one picture on this machine.
//!
//! This is what the self-hosted [`gateway`](crate::gateway) puts behind the service's
//! API: [`decode()`] turns bytes into a [`Picture`], an [`Engine`] restores it, and
//! [`encode_png`] turns the result into bytes again.
//!
//! - [`LocalEngine`] (`local`) measures the noise, removes it when there is any, and
//!   enlarges, by networks of waifu2x trained on photographs and compiled into the
//!   program. By itself it has no idea of faces, and it never calls itself GFPGAN. With
//!   [`AddedModels`], which are not part of the program, it also sharpens noisy pictures.
//! - [`InstantEngine`] (`instant`) does next to nothing. It exists so that benchmarks
//!   and tests measure everything around the engine.
//!
//! The way of a picture through `local`: `noise` and `blocking` estimate, `policy`
//! decides, `nlm` removes noise, `tiles` cuts and puts together (`blend` where tiles
//! overlap), `waifu2x` runs the network
//! (`onnx` reads its weights, `upconv7` and `winograd` compute), `cast` keeps light and
//! colour, `alpha` and `resize` do the rest. Of the added models, `faces` and `x4plus` run
//! one each, `sharpened` decides where and mixes, `added` joins them.
//!
//! Everything here blocks and keeps all cores busy: call it from a blocking thread,
//! one picture at a time. Files, network and queues are not its business.

mod added;
mod alpha;
#[cfg(feature = "testing")]
mod baseline;
mod blend;
mod blocking;
mod cast;
mod contract;
mod decode;
mod encode;
mod faces;
mod instant;
mod local;
mod nlm;
mod noise;
mod onnx;
mod png;
mod policy;
mod resize;
mod sample;
mod sharpened;
mod tiles;
mod upconv7;
mod waifu2x;
mod watch;
mod winograd;
mod x4plus;

#[cfg(test)]
mod gate;
#[cfg(test)]
mod parity;

pub use added::{AddedModelError, AddedModels};
#[cfg(feature = "testing")]
pub use baseline::{ClassicalEngine, LanczosEngine};
pub use contract::{
    Engine, EngineError, EngineReport, MAX_OUTPUT_EDGE, MAX_SCALE, ModelId, output_size,
};
pub use decode::{DecodeError, DecodeLimits, Picture, decode, picture_size};
pub use encode::{EncodeError, encode_png};
pub use faces::Face;
pub use instant::InstantEngine;
pub use local::LocalEngine;
pub use sharpened::{Effort, Sharpened};
pub use watch::{Progress, Watch};

#[cfg(feature = "testing")]
pub(crate) use png::chunk as png_chunk;
