//! How many pixels may be in memory at once, whatever the number of workers.
//!
//! A picture counts with what it has when it is decoded, with what its result will have, and
//! with what a network makes in between when that has another size. All are known from its
//! header, before anything is allocated for them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pixels that one permit stands for: coarse enough that the number of permits fits.
const UNIT: u64 = 4_096;

/// How much larger networks make a picture, whatever scale is wanted.
const NETWORK_SCALE: u8 = 2;

/// A budget of pixels. Whoever waits is served in order, so that a large picture is not
/// overtaken for ever.
#[derive(Debug)]
pub(super) struct PixelBudget {
    permits: Arc<Semaphore>,
    all: u32,
}

impl PixelBudget {
    /// `pixels` is what may be in memory at once.
    pub(super) fn new(pixels: u64) -> Self {
        let all = u32::try_from(pixels / UNIT).unwrap_or(u32::MAX).max(1);
        Self { permits: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits until there is room for a picture of this size and its result. One that is
    /// larger than the whole budget waits until it is alone.
    pub(super) async fn take(&self, (width, height): (u32, u32), scale: u8) -> Room {
        let decoded = u64::from(width) * u64::from(height);
        let units = decoded.saturating_mul(growth(scale)).div_ceil(UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX).clamp(1, self.all);
        self.room(units).await
    }

    /// Waits until nothing else is in memory, and keeps it so.
    pub(super) async fn take_all(&self) -> Room {
        self.room(self.all).await
    }

    async fn room(&self, units: u32) -> Room {
        // Nobody closes the semaphore.
        Room { _permit: Arc::clone(&self.permits).acquire_many_owned(units).await.ok() }
    }
}

/// Returns how many pixels are in memory for each one of a decoded picture, with itself.
/// Networks make it twice as large, and resizing does the rest.
fn growth(scale: u8) -> u64 {
    let pixels = |scale: u8| u64::from(scale) * u64::from(scale);
    1 + pixels(scale) + if scale == NETWORK_SCALE { 0 } else { pixels(NETWORK_SCALE) }
}

/// Room for one picture, until dropped.
#[derive(Debug)]
pub(super) struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn pictures_wait_until_there_is_room_for_them_and_their_results() {
        let budget = PixelBudget::new(49 * UNIT);
        // 64 x 64 pixels are one unit, and four more at scale 2.
        let first = budget.take((64 * 3, 64 * 3), 2).await;
        assert!(budget.take((64, 64), 2).now_or_never().is_none());
        assert!(budget.take((32, 32), 2).now_or_never().is_some());
        drop(first);
        assert!(budget.take((64, 64), 2).now_or_never().is_some());
    }

    #[test]
    fn what_is_made_in_between_counts() {
        assert_eq!([1, 2, 3, 4].map(growth), [1 + 4 + 1, 1 + 4, 1 + 4 + 9, 1 + 4 + 16]);
    }

    #[tokio::test]
    async fn who_takes_everything_is_alone() {
        let budget = PixelBudget::new(10 * UNIT);
        let small = budget.take((1, 1), 1).await;
        assert!(budget.take_all().now_or_never().is_none());
        drop(small);
        let all = budget.take_all().await;
        assert!(budget.take((1, 1), 1).now_or_never().is_none());
        drop(all);
        assert!(budget.take((1, 1), 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_picture_larger_than_everything_runs_alone() {
        let budget = PixelBudget::new(10 * UNIT);
        let small = budget.take((1, 1), 1).await;
        assert!(budget.take((u32::MAX, u32::MAX), 4).now_or_never().is_none());
        drop(small);
        let huge = budget.take((u32::MAX, u32::MAX), 4).await;
        assert!(budget.take((1, 1), 1).now_or_never().is_none());
        drop(huge);
    }
}
