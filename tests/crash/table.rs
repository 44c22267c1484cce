//! What all jobs came to.

use std::fmt;

use restore_batch::core::{InDoubtPolicy, Micros};

use crate::books::JobEnd;

/// One line a job, and their sum.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<JobEnd>);

impl Table {
    pub(crate) fn add(&mut self, end: JobEnd) {
        self.0.push(end);
    }

    pub(crate) fn kills(&self) -> u32 {
        self.0.iter().map(|job| job.history.kills).sum()
    }

    fn sum(&self, of: impl Fn(&JobEnd) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }

    fn money(&self, of: impl Fn(&JobEnd) -> Micros) -> Micros {
        self.0.iter().map(of).sum()
    }
}

/// How photos in doubt were treated.
fn kind(job: &JobEnd) -> &'static str {
    match (job.history.policy, job.history.retried_doubts) {
        (InDoubtPolicy::Resubmit, _) => "resubmit",
        (InDoubtPolicy::Hold, false) => "hold",
        (InDoubtPolicy::Hold, true) => "hold, retried",
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>4} {:<13} {:>5} {:>6} {:>8} {:>8} {:>5} {:>8} {:>6} {:>4} {:>8} {:>19}",
            "job",
            "in doubt",
            "kills",
            "photos",
            "accepted",
            "refunded",
            "twice",
            "in doubt",
            "failed",
            "lost",
            "charged",
            "expected"
        )?;
        let expected = |known: Micros, possibly: Micros| format!("{known} to {}", known + possibly);
        for (number, job) in self.0.iter().enumerate() {
            writeln!(
                f,
                "{number:>4} {:<13} {:>5} {:>6} {:>8} {:>8} {:>5} {:>8} {:>6} {:>4} {:>8} {:>19}",
                kind(job),
                job.history.kills,
                job.photos,
                job.accepted,
                job.refunded,
                job.twice,
                job.in_doubt,
                job.failed,
                job.lost,
                job.charged.to_string(),
                expected(job.known, job.possibly)
            )?;
        }
        write!(
            f,
            "{:>4} {:<13} {:>5} {:>6} {:>8} {:>8} {:>5} {:>8} {:>6} {:>4} {:>8} {:>19}",
            "all",
            "",
            self.kills(),
            self.sum(|job| job.photos),
            self.sum(|job| job.accepted),
            self.sum(|job| job.refunded),
            self.sum(|job| job.twice),
            self.sum(|job| job.in_doubt),
            self.sum(|job| job.failed),
            self.sum(|job| job.lost),
            self.money(|job| job.charged).to_string(),
            expected(self.money(|job| job.known), self.money(|job| job.possibly))
        )
    }
}
