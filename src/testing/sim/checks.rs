//! The invariants of a world: what must hold in every life, and when a job is over.

use std::sync::PoisonError;

use jiff::Timestamp;

use super::{
    World,
    service::lock,
    world::{POLL_INTERVAL, PRICE, SUBMIT_RATE},
};
use crate::{
    clock::elapsed,
    core::{
        InDoubtPolicy, Item, MOST_DOUBTFUL_SUBMITS, Micros,
        invariant::{self, Violation},
    },
    limit::Pacer,
};

impl World {
    /// Looks at I3, I4 and the spacing of polls in the life that has just ended.
    pub(super) fn check_pace(&self) -> Result<(), Violation> {
        let books = lock(&self.books);
        let since = |at: Timestamp| elapsed(self.began, at);
        let calls: Vec<_> = books.arrivals().iter().map(|arrival| since(arrival.at)).collect();
        invariant::rate_holds(&calls, f64::from(Pacer::burst(SUBMIT_RATE)), SUBMIT_RATE)?;
        for asked in books.arrivals() {
            let (Some(heard), Some(pause)) = (asked.heard, asked.pause) else { continue };
            let opens = since(heard) + pause;
            for call in calls.iter().filter(|call| **call > since(heard)) {
                invariant::gate_holds(*call, opens)?;
            }
        }
        match books.closest_polls() {
            Some(gap) if gap < POLL_INTERVAL => Err(Violation {
                invariant: "cadence",
                evidence: format!("two polls of one request within {gap:?}"),
            }),
            _ => Ok(()),
        }
    }

    /// Looks at everything that must hold when a job is over.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        let items = self.items();
        let books = lock(&self.books);
        let accepted = books.accepted();
        let allowed = match self.scenario.in_doubt {
            InDoubtPolicy::Hold => 1,
            InDoubtPolicy::Resubmit => u64::from(MOST_DOUBTFUL_SUBMITS),
        };
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        for item in &items {
            let (times, paid) = accepted.get(&item.source).copied().unwrap_or_default();
            invariant::is_paid_once(&item.source, paid, allowed)?;
            if self.scenario.cap.is_none() {
                invariant::is_reported_once(item)?;
            }
            invariant::artifacts_exist(item, |path| disk.contains_key(path))?;
            if times > u64::from(item.attempts()) {
                let evidence =
                    format!("`{}`: {times} accepted, {} known", item.source, item.attempts());
                return Err(Violation { invariant: "I7", evidence });
            }
        }
        let paid: u64 = accepted.values().map(|(_, paid)| paid).sum();
        self.check_money(PRICE.times(paid), &items)
    }

    fn check_money(&self, taken: Micros, items: &[Item]) -> Result<(), Violation> {
        let charged = items.iter().map(|item| item.charged).sum();
        let possibly = items.iter().map(|item| item.possibly_charged).sum();
        invariant::money_adds_up(taken, charged, possibly)?;
        match self.scenario.cap.map(|requests| PRICE.times(requests)) {
            Some(cap) if taken > cap => {
                Err(Violation { invariant: "spend cap", evidence: format!("{taken} of {cap} USD") })
            }
            _ => Ok(()),
        }
    }
}
