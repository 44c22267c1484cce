//! The schedule of a client that knows when each request is done.
//!
//! It keeps the same limits: it submits in the same order, no faster than the limit and
//! never with more requests at the service than allowed; it polls each request once, so that
//! the poll arrives in the moment in which the request is done, and no faster than the poll
//! limit; it downloads each picture. What it need not do is leave time between two polls of
//! a request, or learn anything. The ways take their mean time.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::{
    case::Case,
    service::{DOWNLOAD, WAY},
};

/// When the last picture is here, and when the last submit left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ideal {
    pub(crate) wall: Duration,
    pub(crate) submits: Duration,
}

/// Returns the ideal schedule for the requests of a case.
pub(crate) fn of(case: &Case, seed: u64) -> Ideal {
    let between = |limit: f64| Duration::from_secs_f64(1.0 / limit);
    let between_submits = between(case.submits.at_first());
    let between_polls = between(case.polls.at_first());
    let mut open: BinaryHeap<Reverse<Duration>> = BinaryHeap::new();
    let (mut next_submit, mut next_poll) = (Duration::ZERO, Duration::ZERO);
    let (mut submits, mut wall) = (Duration::ZERO, Duration::ZERO);
    // Polls the request that is done first; returns when its place is free again.
    let mut poll = |open: &mut BinaryHeap<Reverse<Duration>>| {
        let Reverse(done) = open.pop()?;
        let left = done.saturating_sub(WAY).max(next_poll);
        next_poll = left + between_polls;
        let answered = left + 2 * WAY;
        wall = wall.max(answered + DOWNLOAD);
        Some(answered)
    };
    for index in case.before..case.before + case.images {
        if open.len() == case.in_flight {
            next_submit = next_submit.max(poll(&mut open).unwrap_or_default());
        }
        submits = next_submit;
        let took = Duration::from_secs_f64(case.times.draw(seed, index, case.images));
        open.push(Reverse(submits + WAY + took));
        next_submit = submits + between_submits;
    }
    while poll(&mut open).is_some() {}
    Ideal { wall, submits }
}
