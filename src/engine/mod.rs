//! Restores one picture on this machine.
//!
//! This is what the self-hosted [`gateway`](crate::gateway) puts behind the service's
//! API: [`decode()`] turns bytes into a [`Picture`], an [`Engine`] restores it, and
//! [`encode_png`] turns the result into bytes again.
//!
//! - [`LocalEngine`] (`local`) measures the noise, removes it when there is any, and
//!   enlarges, by networks of waifu2x trained on photographs and compiled into the
//!   program. It has no idea of faces, and never calls itself GFPGAN.
//! - [`InstantEngine`] (`instant`) does next to nothing. It exists so that benchmarks
//!   and tests measure everything around the engine.
//!
//! The way of a picture through `local`: `noise` and `blocking` estimate, `policy`
//! decides, `nlm` removes noise, `tiles` cuts and puts together, `waifu2x` runs the network
//! (`onnx` reads its weights, `upconv7` and `winograd` compute), `cast` keeps light and
//! colour, `alpha` and `resize` do the rest.
//!
//! Everything here blocks and keeps all cores busy: call it from a blocking thread,
//! one picture at a time. Files, network and queues are not its business.

mod alpha;
#[cfg(feature = "testing")]
mod baseline;
mod blocking;
mod cast;
mod contract;
mod decode;
mod encode;
mod instant;
mod local;
mod nlm;
mod noise;
mod onnx;
mod png;
mod policy;
mod resize;
mod sample;
mod tiles;
mod upconv7;
mod waifu2x;
mod watch;
mod winograd;

#[cfg(test)]
mod gate;

#[cfg(feature = "testing")]
pub use baseline::{ClassicalEngine, LanczosEngine};
pub use contract::{Engine, EngineError, EngineReport, MAX_SCALE, ModelId, output_size};
pub use decode::{DecodeError, DecodeLimits, Picture, decode};
pub use encode::{EncodeError, encode_png};
pub use instant::InstantEngine;
pub use local::LocalEngine;
pub use watch::{Progress, Watch};

#[cfg(feature = "testing")]
pub(crate) use png::chunk as png_chunk;
