//! Chance that a seed repeats.

use crate::core::jitter;

/// What a roll is about: rolls about different things do not depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    SubmitFault,
    PollFault,
    FetchFault,
    Course,
    Accepted,
    Arrives,
    Latency,
    LatencyTail,
    Processing,
    Status,
    Body,
    Pause,
    PauseForm,
    Skew,
    Words,
    Media,
    Window,
    Stop,
    StopLevel,
    Wall,
    Import,
    Write,
    HookFate,
    Forged,
    Belied,
}

/// Rolls that depend on the seed and their arguments only, never on the order in which
/// tasks run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Returns a fraction in `0.0..1.0`.
    pub(super) fn roll(self, what: What, number: u32) -> f64 {
        jitter(self.0, i64::from(number), what as u32)
    }

    /// Returns true with this probability.
    pub(super) fn hit(self, what: What, number: u32, probability: f64) -> bool {
        probability > 0.0 && self.roll(what, number) < probability
    }

    /// Returns one of `all`, each as likely as the others.
    pub(super) fn pick<T: Copy>(self, what: What, number: u32, all: &[T]) -> T {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let length = all.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below length")]
        let index = (self.roll(what, number) * length) as usize;
        all[index.min(all.len() - 1)]
    }

    /// Returns a whole number from `from` to `to`, both included.
    pub(super) fn between(self, what: What, number: u32, from: u64, to: u64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "seconds and milliseconds")]
        let width = (to - from + 1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
        let more = (self.roll(what, number) * width) as u64;
        from + more
    }

    /// Draws from a table of probabilities, which together are at most one.
    pub(super) fn draw<T: Copy>(self, what: What, number: u32, table: &[(f64, T)]) -> Option<T> {
        let mut left = self.roll(what, number);
        for (probability, drawn) in table {
            if left < *probability {
                return Some(*drawn);
            }
            left -= probability;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn_from_in_its_proportions() {
        let table = [(0.1, 'a'), (0.0, 'b'), (0.3, 'c')];
        let drawn: Vec<_> =
            (0..10_000).map(|number| Dice(7).draw(What::Course, number, &table)).collect();
        let count = |wanted| drawn.iter().filter(|drawn| **drawn == wanted).count();
        assert!((900..1_100).contains(&count(Some('a'))), "{}", count(Some('a')));
        assert_eq!(count(Some('b')), 0);
        assert!((2_800..3_200).contains(&count(Some('c'))), "{}", count(Some('c')));
    }

    #[test]
    fn whole_numbers_reach_both_ends() {
        let rolled: Vec<_> =
            (0..1_000).map(|number| Dice(3).between(What::Pause, number, 1, 4)).collect();
        assert_eq!((rolled.iter().min(), rolled.iter().max()), (Some(&1), Some(&4)));
    }
}
