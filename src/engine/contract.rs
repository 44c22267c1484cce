//! The contract every engine fulfils.

use std::{fmt, time::Duration};

use image::DynamicImage;

use super::{decode::MAX_EDGE, faces::Face, sharpened::Sharpened, watch::Watch};

/// Largest factor an engine accepts, as the service's API has it.
pub const MAX_SCALE: u8 = 4;

/// Longest edge of a result in pixels: the longest that can be decoded, enlarged most.
pub const MAX_OUTPUT_EDGE: u32 = MAX_EDGE * MAX_SCALE as u32;

/// One trained model: its name, and which file of that name it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId {
    /// Name of the model, such as `waifu2x-photo-n3`.
    pub name: String,
    /// SHA-256 of the model's ONNX file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Shown as `NAME (sha256 DIGITS)`.
impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (sha256 {})", self.name, self.sha256)
    }
}

/// What an engine did to one picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineReport {
    /// Name of the engine, such as `local`. Never the name of a model that did not run.
    pub engine: &'static str,
    /// The trained models that ran, in order; empty when none did.
    pub models: Vec<ModelId>,
    /// Estimated standard deviation of the noise in the input, in 8-bit levels; 0 when
    /// the engine does not look.
    pub noise: f32,
    /// What was done, in order, such as `non-local means` and `lanczos3`.
    pub steps: Vec<&'static str>,
    /// The faces that were found, the surest first. They are looked for only where an
    /// added model is to sharpen them and not the whole picture.
    pub faces: Vec<Face>,
    /// The parts that an added model's picture was mixed into, in order.
    pub sharpened: Vec<Sharpened>,
    /// How long it took. The one part of a report that differs from run to run.
    pub took: Duration,
}

/// A picture could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The factor is not one the API knows.
    #[error("`scale` {0} is not in 1 to 4; ask for one that is")]
    Scale(u8),
    /// The result would be larger than the engine's limit allows.
    #[error(
        "a picture of {width}x{height} pixels at `scale` {scale} is larger than the limit of \
         {limit} pixels; ask for a smaller scale"
    )]
    TooLarge {
        /// Width of the input in pixels.
        width: u32,
        /// Height of the input in pixels.
        height: u32,
        /// Requested factor.
        scale: u8,
        /// Most pixels the result may have.
        limit: u64,
    },
    /// An edge of the result would be longer than [`MAX_OUTPUT_EDGE`].
    #[error(
        "a picture of {width}x{height} pixels at `scale` {scale} has an edge longer than the \
         limit of {limit} pixels; cut it into parts first",
        limit = MAX_OUTPUT_EDGE
    )]
    EdgeTooLong {
        /// Width of the input in pixels.
        width: u32,
        /// Height of the input in pixels.
        height: u32,
        /// Requested factor.
        scale: u8,
    },
    /// A trained model cannot be loaded or run: no fault of the picture.
    #[error("the model `{model}` failed ({reason}); this is a bug, report it")]
    Model {
        /// Name of the model.
        model: String,
        /// What the model's runtime says.
        reason: String,
    },
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Restores one picture; blocking and CPU-bound, so call it from a blocking thread.
///
/// # Contract
///
/// - **Size.** The result is exactly `scale` times as wide and as high as the input.
/// - **Kind.** 8 or 16 bits, gray or colour, with or without alpha stay what they were;
///   float samples become 16-bit ones.
/// - **Repeatable.** The same input gives the same result, whatever the number of cores;
///   another kind of processor may differ by rounding.
/// - **Watched.** `watch` hears how far the work is. Once it is cancelled, the call
///   returns [`EngineError::Cancelled`] soon: typically within a second, and within a
///   tile, which may be 10 s, where an added model runs.
pub trait Engine: Send + Sync {
    /// Returns the engine's name for reports, such as `local`.
    fn name(&self) -> &'static str;

    /// Finds out from its width and height in pixels whether a picture would be refused,
    /// before anything is decoded.
    ///
    /// # Errors
    ///
    /// [`EngineError::Scale`] or [`EngineError::TooLarge`], as [`restore`](Self::restore)
    /// would fail with it.
    fn check(&self, size: (u32, u32), scale: u8) -> Result<(), EngineError> {
        output_size(size, scale, u64::MAX).map(drop)
    }

    /// Returns the restored picture and what was done to it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when the scale is unknown, the result would be too large, a model
    /// failed, or the work was cancelled.
    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        watch: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError>;
}

/// Returns width and height in pixels of a `width` by `height` picture enlarged by
/// `scale`, or why an engine with a limit of `limit` output pixels refuses it.
///
/// # Errors
///
/// [`EngineError::Scale`], [`EngineError::TooLarge`] or [`EngineError::EdgeTooLong`].
pub fn output_size(
    (width, height): (u32, u32),
    scale: u8,
    limit: u64,
) -> Result<(u32, u32), EngineError> {
    if !(1..=MAX_SCALE).contains(&scale) {
        return Err(EngineError::Scale(scale));
    }
    let too_large = EngineError::TooLarge { width, height, scale, limit };
    let factor = u32::from(scale);
    match (width.checked_mul(factor), height.checked_mul(factor)) {
        (Some(wide), Some(high)) if u64::from(wide) * u64::from(high) > limit => Err(too_large),
        (Some(wide), Some(high)) if wide.max(high) <= MAX_OUTPUT_EDGE => Ok((wide, high)),
        _ => Err(EngineError::EdgeTooLong { width, height, scale }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_input_times_scale_up_to_the_limit() {
        assert_eq!(output_size((3, 5), 4, 240), Ok((12, 20)));
        let refused = output_size((3, 5), 4, 239).unwrap_err();
        assert_eq!(refused, EngineError::TooLarge { width: 3, height: 5, scale: 4, limit: 239 });
        assert!(refused.to_string().contains("limit of 239 pixels"));
    }

    #[test]
    fn long_edges_are_refused() {
        assert_eq!(output_size((1, 65_535), 4, u64::MAX), Ok((4, 262_140)));
        for (width, height, scale) in [(65_536, 1, 4), (1, 1_500_000, 4), (u32::MAX, 1, 2)] {
            let refused = output_size((width, height), scale, u64::MAX).unwrap_err();
            assert_eq!(refused, EngineError::EdgeTooLong { width, height, scale });
            assert!(refused.to_string().contains("limit of 262140 pixels"), "{refused}");
        }
    }

    #[test]
    fn unknown_scales_are_refused() {
        for scale in [0, 5, u8::MAX] {
            assert_eq!(output_size((1, 1), scale, 100), Err(EngineError::Scale(scale)));
        }
    }
}
