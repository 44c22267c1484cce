//! How a service counts requests, and what it does with too many.

use std::{collections::VecDeque, time::Duration};

/// How a service counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Counting {
    /// No second, wherever it begins, may hold more than the limit.
    AnySecond,
    /// No second of the clock may.
    ClockSeconds,
    /// A bucket of so many tokens, filled at the limit.
    Bucket(f64),
}

/// A limit that may change without notice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limit {
    pub(crate) counting: Counting,
    /// From these seconds on, so many a second.
    pub(crate) steps: Vec<(u64, f64)>,
}

impl Limit {
    pub(crate) fn steady(per_second: f64, counting: Counting) -> Self {
        Self { counting, steps: vec![(0, per_second)] }
    }

    pub(crate) fn changing<const N: usize>(steps: [(u64, f64); N], counting: Counting) -> Self {
        Self { counting, steps: steps.into() }
    }

    /// Returns the limit at the beginning, which is what the client is told.
    pub(crate) fn at_first(&self) -> f64 {
        self.at(Duration::ZERO)
    }

    fn at(&self, now: Duration) -> f64 {
        let begun = self.steps.iter().rev().find(|(from, _)| *from <= now.as_secs());
        begun.map_or(f64::INFINITY, |(_, limit)| *limit)
    }
}

/// Counts what arrives. What is refused does not count.
#[derive(Debug)]
pub(crate) struct Counter {
    limit: Limit,
    /// What was accepted within the last second.
    recent: VecDeque<Duration>,
    tokens: f64,
    filled: Duration,
    pub(crate) accepted: Vec<Duration>,
    pub(crate) refused: Vec<Duration>,
}

impl Counter {
    pub(crate) fn new(limit: Limit) -> Self {
        let tokens = match limit.counting {
            Counting::Bucket(tokens) => tokens,
            _ => 0.0,
        };
        Self {
            limit,
            recent: VecDeque::new(),
            tokens,
            filled: Duration::ZERO,
            accepted: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// A request arrives. Returns false when it is one too many.
    pub(crate) fn takes(&mut self, now: Duration) -> bool {
        let taken = self.fits(now);
        if taken {
            self.accepted.push(now);
        } else {
            self.refused.push(now);
        }
        taken
    }

    fn fits(&mut self, now: Duration) -> bool {
        let limit = self.limit.at(now);
        let second = Duration::from_secs(1);
        match self.limit.counting {
            Counting::Bucket(most) => {
                let time = now.saturating_sub(self.filled).as_secs_f64();
                self.filled = now;
                self.tokens = (self.tokens + time * limit).min(most);
                let fits = self.tokens >= 1.0;
                self.tokens -= f64::from(u8::from(fits));
                fits
            }
            Counting::AnySecond => self.within(limit, now, now.saturating_sub(second)),
            Counting::ClockSeconds => {
                let begun = Duration::from_secs(now.as_secs());
                self.within(limit, now, begun.saturating_sub(Duration::from_nanos(1)))
            }
        }
    }

    /// Counts what came after `from`.
    fn within(&mut self, limit: f64, now: Duration, from: Duration) -> bool {
        while self.recent.front().is_some_and(|at| *at <= from && !from.is_zero()) {
            self.recent.pop_front();
        }
        let fits = (self.recent.len() + 1) as f64 <= limit;
        if fits {
            self.recent.push_back(now);
        }
        fits
    }
}
