//! Decides what is done to a picture: the one place to change when measurements say so.
//!
//! Measured in PSNR on pictures that were aged and restored (`benches/quality`):
//!
//! - `n3` beats `n0` as soon as there is a little noise, at every scale; on clean pictures
//!   `n0` wins by 1 dB. In doubt it is `n0`: it keeps texture that only looks like noise.
//! - Beyond factor 2, a second pass of the network is as good as Lanczos (0.07 dB better
//!   to 0.07 dB worse) and takes four times as long, so it is Lanczos.
//! - At scale 1, `n3` and half the size again beat the input itself once it is noisy (0.4
//!   to 0.9 dB); on a clean picture nothing beats the input.

use super::{noise::Noise, waifu2x::Weights};

/// How much stronger than the estimated noise its removal is set. Fitted on seven
/// photographs, see [`noise`](super::noise): gray ones do best with what was estimated; in
/// colour JPEG, chroma has lost its noise and makes the estimate a little low.
const STRENGTH_GRAY: f32 = 1.0;
const STRENGTH_COLOUR: f32 = 1.2;

/// What is done to one picture, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Non-local means against noise of this deviation in 8-bit levels.
    pub(super) denoise: Option<f32>,
    /// The network that makes the picture twice as large; the rest is resizing.
    pub(super) enlarge: Option<Weights>,
    /// Whether the models that users add may be mixed in. What they make up is nearer to
    /// the truth than noise is, and farther from it than a clean picture.
    pub(super) sharpen: bool,
}

/// Returns what to do to a picture with this noise, in colour or gray.
pub(super) fn plan(noise: Noise, in_colour: bool, scale: u8) -> Plan {
    let is_noisy = noise.is_noisy();
    let strength = if in_colour { STRENGTH_COLOUR } else { STRENGTH_GRAY };
    Plan {
        denoise: (is_noisy && noise.sigma() >= STRONG).then_some(noise.sigma() * strength),
        enlarge: match (is_noisy, scale) {
            (true, _) => Some(Weights::Photo3),
            (false, 1) => None,
            (false, _) => Some(Weights::Photo0),
        },
        sharpen: is_noisy,
    }
}

/// Noise from which on it takes non-local means and the network, in 8-bit levels.
const STRONG: f32 = 12.0;
