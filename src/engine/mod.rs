//! Restores one picture on this machine. (Skeleton: see the engine helper's work.)

use image::DynamicImage;

/// What an engine did to one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineReport {
    /// Name of the engine, such as `local`. Never the name of a model that did not run.
    pub engine: &'static str,
    /// Estimated standard deviation of the noise, in 8-bit levels.
    pub noise: f32,
    /// What was done, in order.
    pub steps: Vec<&'static str>,
}

/// A picture could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The result would be larger than the engine's limits allow.
    #[error("a picture of {width}x{height} pixels at scale {scale} is larger than the limit of {limit} pixels")]
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
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Restores one picture; blocking and CPU-bound, so call it from a blocking thread.
pub trait Engine: Send + Sync {
    /// Returns the engine's name for reports, such as `local`.
    fn name(&self) -> &'static str;

    /// Returns the restored picture, `scale` times as wide and high as the input.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when the picture is too large or the work was cancelled.
    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
    ) -> Result<(DynamicImage, EngineReport), EngineError>;
}
