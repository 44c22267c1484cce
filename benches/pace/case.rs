//! What is measured: jobs against services of different kinds.

use restore_batch::core::jitter;

use crate::limit::{Counting, Limit};

/// How long a service takes for a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Times {
    /// Log-normal: median in seconds, sigma.
    LogNormal(f64, f64),
    /// Half of the requests of one kind, half of the other: medians; sigma is 0.2.
    TwoKinds(f64, f64),
    /// The median goes from one to the other while the job lasts; sigma is 0.4.
    Drifting(f64, f64),
}

impl Times {
    /// Returns the time of the request number `index` of `all`, in seconds.
    pub(crate) fn draw(self, seed: u64, index: u32, all: u32) -> f64 {
        let dice = |number| jitter(seed, i64::from(index), number);
        // Box and Muller.
        let angle = std::f64::consts::TAU * dice(1);
        let normal = (-2.0 * (1.0 - dice(2)).ln()).sqrt() * angle.cos();
        match self {
            Self::LogNormal(median, sigma) => median * (sigma * normal).exp(),
            Self::TwoKinds(quick, slow) => {
                let median = if dice(3) < 0.5 { quick } else { slow };
                median * (0.2 * normal).exp()
            }
            Self::Drifting(from, to) => {
                let part = f64::from(index) / f64::from(all);
                (from + (to - from) * part) * (0.4 * normal).exp()
            }
        }
    }
}

/// What becomes of the service's calls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// It is not asked to call.
    None,
    /// All of them come.
    All,
    /// Every second one is lost.
    Half,
}

/// One job and its service.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) images: u32,
    /// Images of an earlier run of the job, whose times are not measured.
    pub(crate) before: u32,
    pub(crate) times: Times,
    /// The service says how long it took.
    pub(crate) says: bool,
    pub(crate) calls: Calls,
    pub(crate) submits: Limit,
    pub(crate) polls: Limit,
    pub(crate) in_flight: usize,
}

impl Case {
    fn new(name: &'static str, images: u32, times: Times) -> Self {
        Self {
            name,
            images,
            before: 0,
            times,
            says: true,
            calls: Calls::None,
            submits: Limit::steady(20.0, Counting::AnySecond),
            polls: Limit::steady(50.0, Counting::AnySecond),
            in_flight: 1_000,
        }
    }
}

/// The distributions of the table, of 200 images and of 2,000.
pub(crate) fn all() -> Vec<Case> {
    let usual = Times::LogNormal(8.0, 0.4);
    let both = |name, times| [200, 2_000].map(|images| Case::new(name, images, times));
    let with = |name, change: fn(Case) -> Case| both(name, usual).map(change);
    let slow = Times::LogNormal(120.0, 0.4);
    [
        both("log-normal, 8 s, sigma 0.4", usual),
        both("fast: log-normal, 1 s, 0.4", Times::LogNormal(1.0, 0.4)),
        both("slow: log-normal, 120 s, 0.4", slow),
        both("two kinds: 2 s and 60 s", Times::TwoKinds(2.0, 60.0)),
        both("drifting: 8 s to 30 s", Times::Drifting(8.0, 30.0)),
        both("heavy tail: log-normal, 8 s, 1.2", Times::LogNormal(8.0, 1.2)),
        with("8 s, and the service says no times", |case| Case { says: false, ..case }),
        both("slow, after an earlier run", slow).map(|case| Case { before: 100, ..case }),
        both("slow, 200 in flight", slow).map(|case| Case { in_flight: 200, ..case }),
        with("8 s, 5 polls a second", |case| Case {
            polls: Limit::steady(5.0, Counting::AnySecond),
            ..case
        }),
        with("8 s, 5 polls a second, 200 in flight", |case| Case {
            polls: Limit::steady(5.0, Counting::AnySecond),
            in_flight: 200,
            ..case
        }),
        with("8 s, webhooks", |case| Case { calls: Calls::All, ..case }),
        both("slow, webhooks", slow).map(|case| Case { calls: Calls::All, ..case }),
        with("8 s, half of the webhooks lost", |case| Case { calls: Calls::Half, ..case }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The jobs whose rate of submits is looked at: 20/s for a minute, then 5/s for three, then
/// 20/s again.
pub(crate) fn rates() -> Vec<Case> {
    let ways = [
        ("any second", Counting::AnySecond),
        ("seconds of the clock", Counting::ClockSeconds),
        ("bucket of 2", Counting::Bucket(2.0)),
        ("bucket of 5", Counting::Bucket(5.0)),
        ("bucket of 20", Counting::Bucket(20.0)),
    ];
    let case = |(name, counting)| Case {
        submits: Limit::changing([(0, 20.0), (60, 5.0), (240, 20.0)], counting),
        ..Case::new(name, 4_600, Times::LogNormal(2.0, 0.4))
    };
    ways.into_iter().map(case).collect()
}
