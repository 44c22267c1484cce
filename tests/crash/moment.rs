//! When to kill.

use std::{fmt, time::Duration};

use restore_batch::gateway::GatewayStats;
use tokio::time::Instant;

use crate::{dice::Dice, service::GatewayProcess, support::Running};

/// Longest wait for a moment that may never come: the service does what it likes.
const LONGEST: Duration = Duration::from_secs(6);

/// A moment in the life of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// So long after its start.
    After(Duration),
    /// The service has accepted so many more submits.
    Submits(u64),
    /// The service was asked for so many more states.
    Polls(u64),
    /// The service was asked for so many more pictures.
    Downloads(u64),
}

impl Moment {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        match dice.below(4) {
            0 => Self::After(Duration::from_millis(dice.below(700).into())),
            1 => Self::Submits((1 + dice.below(30)).into()),
            2 => Self::Polls((1 + dice.below(60)).into()),
            _ => Self::Downloads((1 + dice.below(30)).into()),
        }
    }

    /// Waits for the moment, or for the end of the run if that comes first.
    pub(crate) fn wait(self, service: &GatewayProcess, running: &mut Running<'_>) {
        let started = Instant::now();
        let before = service.stats();
        let come = |now: &GatewayStats| match self {
            Self::After(time) => started.elapsed() >= time,
            Self::Submits(count) => accepted(now) >= accepted(&before) + count,
            Self::Polls(count) => now.polls >= before.polls + count,
            Self::Downloads(count) => now.downloads >= before.downloads + count,
        };
        while !running.has_ended() && started.elapsed() < LONGEST && !come(&service.stats()) {}
    }
}

fn accepted(stats: &GatewayStats) -> u64 {
    stats.accepted.values().sum()
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) => write!(f, "after {} ms", time.as_millis()),
            Self::Submits(count) => write!(f, "after {count} submits"),
            Self::Polls(count) => write!(f, "after {count} polls"),
            Self::Downloads(count) => write!(f, "after {count} downloads"),
        }
    }
}
