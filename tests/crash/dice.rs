//! Seeded choices.

use restore_batch::core::jitter;

/// Choices that depend only on a seed, a job's number, and how many were made before.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    job: i64,
    thrown: u32,
}

impl Dice {
    pub(crate) fn new(seed: u64, job: i64) -> Self {
        Self { seed, job, thrown: 0 }
    }

    /// Returns a fraction in `0.0..1.0`.
    fn throw(&mut self) -> f64 {
        self.thrown += 1;
        jitter(self.seed, self.job, self.thrown)
    }

    /// Returns a number in `0..below`.
    pub(crate) fn below(&mut self, below: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 0..below")]
        let number = (self.throw() * f64::from(below)) as u32;
        number
    }

    /// Returns true with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.throw() < probability
    }
}
