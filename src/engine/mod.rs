//! Restores one picture on this machine.
//!
//! This is what the self-hosted [`gateway`](crate::gateway) puts behind the service's
//! API: [`decode()`] turns bytes into a [`Picture`], an [`Engine`] restores it, and
//! [`encode_png`] turns the result into bytes again.
//!
//! - [`LocalEngine`] (`local`) measures the noise, removes it when there is any, and
//!   enlarges. It is classical image processing, has no idea of faces, and never calls
//!   itself GFPGAN.
//! - [`InstantEngine`] (`instant`) does next to nothing. It exists so that benchmarks
//!   and tests measure everything around the engine.
//!
//! Everything here blocks and keeps all cores busy: call it from a blocking thread,
//! one picture at a time. Files, network and queues are not its business.

#[cfg(feature = "testing")]
mod baseline;
mod contract;
mod decode;
mod encode;
mod instant;
mod local;
mod nlm;
mod noise;
mod resize;
mod sample;

#[cfg(test)]
mod gate;

#[cfg(feature = "testing")]
pub use baseline::{ClassicalEngine, LanczosEngine};
pub use contract::{Engine, EngineError, EngineReport, MAX_SCALE, output_size};
pub use decode::{DecodeError, DecodeLimits, Picture, decode};
pub use encode::{EncodeError, encode_png};
pub use instant::InstantEngine;
pub use local::LocalEngine;
