//! Puts together tiles that overlap: linear from one to the other, so that no cut is seen.
//!
//! Some networks look so far that a tile with all they look at would be mostly margin.
//! Two tiles then differ where they meet, by 30 levels with Real-ESRGAN. Each is made a
//! little larger than its place, and in the overlap their weights go from 0 to 1 and from
//! 1 to 0. Sums are whole numbers, so the order in which tiles are finished does not matter.
//!
//! [`tiles`](super::tiles) cuts the tiles and says where they are.

use super::tiles::{Planes, Tile};

/// Weight 1 of level 1 in a sum: 24 bits, as many as a level has in `f32`.
const ONE: f32 = 16_777_216.0;

/// A picture that is being put together.
pub(super) struct Blend {
    /// Size of the input in pixels.
    size: (usize, usize),
    factor: usize,
    overlap: usize,
    /// Levels times weights times [`ONE`], in the order of [`Planes`].
    sums: Vec<i32>,
}

impl Blend {
    /// Prepares for a picture of `width` by `height` pixels made `factor` times as large of
    /// tiles that reach `overlap` pixels beyond each cut and are at least twice as wide.
    pub(super) fn new((width, height): (usize, usize), factor: usize, overlap: usize) -> Self {
        let sums = vec![0; 3 * width * height * factor * factor];
        Self { size: (width, height), factor, overlap, sums }
    }

    /// Adds `planes`, the enlarged picture of `seen`, which is `tile` with its overlap. What
    /// is left of the margin around it is not used.
    pub(super) fn add(&mut self, planes: &Planes, tile: &Tile, seen: &Tile) {
        let factor = self.factor;
        let (across, down) = seen.margin_of(planes, factor);
        let wide = self.size.0 * factor;
        let columns = self.weights((tile.left, tile.width), (seen.left, seen.width), self.size.0);
        let rows = self.weights((tile.top, tile.height), (seen.top, seen.height), self.size.1);
        for plane in 0..3 {
            for (row, row_weight) in rows.iter().enumerate() {
                let to = (plane * self.size.1 * factor + seen.top * factor + row) * wide
                    + seen.left * factor;
                let from = (plane * planes.height + down + row) * planes.width + across;
                let levels = planes.samples[from..].iter().zip(&columns);
                for (sum, (level, weight)) in self.sums[to..].iter_mut().zip(levels) {
                    *sum = sum.saturating_add(fixed(level * weight * row_weight));
                }
            }
        }
    }

    /// Returns how much each enlarged row or column of `seen` counts.
    fn weights(
        &self,
        (from, length): (usize, usize),
        (seen_from, seen_length): (usize, usize),
        all: usize,
    ) -> Vec<f32> {
        let ramp = number(2 * self.overlap * self.factor);
        let weight = |at: usize| {
            // Twice the middle of the enlarged pixel and twice the ends of the ramps.
            let middle = number(2 * (seen_from * self.factor + at) + 1);
            let near = middle - number(2 * from * self.factor) + ramp;
            let far = number(2 * (from + length) * self.factor) + ramp - middle;
            let near = if from == 0 { 1.0 } else { near / (2.0 * ramp) };
            let far = if from + length == all { 1.0 } else { far / (2.0 * ramp) };
            near.min(far).clamp(0.0, 1.0)
        };
        (0..seen_length * self.factor).map(weight).collect()
    }

    /// Returns the picture, once every tile has been added.
    pub(super) fn finish(self) -> Planes {
        let samples = self.sums.into_iter().map(|sum| level(sum) / ONE).collect();
        let (width, height) = (self.size.0 * self.factor, self.size.1 * self.factor);
        Planes { width, height, samples }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounds, and saturates beyond 128 times white")]
fn fixed(level: f32) -> i32 {
    (level * ONE).round() as i32
}

#[expect(clippy::cast_precision_loss, reason = "rounds to the 24 bits of a level")]
fn level(sum: i32) -> f32 {
    sum as f32
}

#[expect(clippy::cast_precision_loss, reason = "twice an edge of a result is below 2^24")]
fn number(position: usize) -> f32 {
    position as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(width: usize, height: usize, level: f32) -> Planes {
        Planes { width, height, samples: vec![level; 3 * width * height] }
    }

    #[test]
    fn weights_add_up_to_one_and_go_straight_from_tile_to_tile() {
        // Two tiles of 16 pixels, cut in the middle, each seen with 4 pixels of the other.
        let mut blend = Blend::new((32, 2), 2, 4);
        let tile = |left, width| Tile { left, top: 0, width, height: 2 };
        blend.add(&flat(40, 4, 0.0), &tile(0, 16), &tile(0, 20));
        blend.add(&flat(44, 8, 1.0), &tile(16, 16), &tile(12, 20));
        let row = &blend.finish().samples[..64];
        assert!(row[..24].iter().all(|level| *level == 0.0), "{row:?}");
        assert!(row[40..].iter().all(|level| *level > 1.0 - 1e-6), "{row:?}");
        let steps = row[23..41].windows(2).map(|pair| pair[1] - pair[0]);
        assert!(steps.clone().all(|step| step > 0.0 && step < 1.0 / 15.9), "{row:?}");
    }
}
