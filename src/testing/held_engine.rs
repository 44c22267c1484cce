//! An engine that restores nothing before it is allowed to.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use image::DynamicImage;

use crate::engine::{Engine, EngineError, EngineReport, InstantEngine, Watch};

/// How often a held picture looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Does what [`InstantEngine`] does, but only for as many pictures as were let pass.
///
/// A gateway with this engine stands still at a point that a test chooses, for as long
/// as the test likes, without a clock.
#[derive(Debug, Default)]
pub struct HeldEngine {
    /// Pictures that may still pass.
    passes: Mutex<u64>,
    changed: Condvar,
}

impl HeldEngine {
    /// Lets this many more pictures pass.
    pub fn let_pass(&self, count: u64) {
        let mut passes = self.passes();
        *passes = passes.saturating_add(count);
        self.changed.notify_all();
    }

    /// Lets every picture pass from now on.
    pub fn let_all_pass(&self) {
        self.let_pass(u64::MAX);
    }

    fn passes(&self) -> MutexGuard<'_, u64> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a pass and uses it up.
    fn pass(&self, watch: &Watch) -> Result<(), EngineError> {
        let mut passes = self.passes();
        while *passes == 0 {
            watch.check()?;
            let waited = self.changed.wait_timeout(passes, LOOK_EVERY);
            passes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *passes -= 1;
        Ok(())
    }
}

impl Engine for HeldEngine {
    fn name(&self) -> &'static str {
        "held"
    }

    fn restore(
        &self,
        picture: &DynamicImage,
        scale: u8,
        watch: &Watch,
    ) -> Result<(DynamicImage, EngineReport), EngineError> {
        self.pass(watch)?;
        InstantEngine.restore(picture, scale, watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pass_lets_one_picture_through() {
        let engine = HeldEngine::default();
        engine.let_pass(1);
        let (picture, watch) = (DynamicImage::new_luma8(2, 2), Watch::default());
        let (restored, _) = engine.restore(&picture, 2, &watch).unwrap();
        assert_eq!(restored.width(), 4);
        watch.cancel();
        assert_eq!(engine.restore(&picture, 2, &watch), Err(EngineError::Cancelled));
    }
}
