//! The invariants of a world: what must hold in every life, after it, and when a job is
//! over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Ending, World,
    books::{Accepted, Books, Call, Course, picture_of},
    fetcher::facts,
    scenario::{ERROR_TRIES, GRACE, POLL_INTERVAL, POLL_RATE, POLLS_AT_ONCE, PRICE, SUBMIT_RATE},
    scene::lock,
    service::REQUEST_TIMEOUT,
    witness::Witness,
};
use crate::{
    core::{
        Endpoint, InDoubtPolicy, Item, ItemId, MOST_DOUBTFUL_SUBMITS,
        invariant::{self, FileFacts, Violation},
    },
    ledger::Ledger,
    limit::Pacer,
    run::StopLevel,
};

pub(super) type Verdict = Result<(), Violation>;

/// Requests of one picture, by name.
type Requests<'a> = Vec<(&'a str, &'a Accepted)>;

impl World {
    /// Looks at the life that has just ended, at `ended`.
    pub(super) fn check_life(&mut self, ending: &Ending, ended: Duration) -> Verdict {
        let mut books = lock(&self.books);
        for life in books.lives() {
            check_pace(&books, life)?;
            self.check_slots(&books, life)?;
            check_account(&books, life)?;
            self.check_wishes(&books, life)?;
        }
        self.check_drain(&books, ending, ended)?;
        let explained = self.check_ending(&books, ending);
        // What was heard a moment before the end was written by then, unless the disk failed;
        // another life's clock shows another time where clocks are wrong.
        if !self.scenario.wall_jumps && self.scenario.faults.ledger_down.seconds == 0 {
            books.remember_pauses(self.lives, ended);
        }
        books.forget_calls();
        drop(books);
        lock(&self.asked).clear();
        self.check_facts().and(explained)
    }

    /// Looks at everything that must hold when a test is done with the world.
    pub(super) fn check_end(&self) -> Verdict {
        self.check_facts()?;
        if !self.finished {
            return Ok(());
        }
        self.check_results()
    }

    /// I3: requests at the service, and status requests at once.
    fn check_slots(&self, books: &Books, life: u32) -> Verdict {
        let polls = books.calls_of(life, Endpoint::Poll);
        let mut over: BTreeMap<&str, Option<Duration>> = BTreeMap::new();
        for call in polls.iter().filter(|call| call.over) {
            over.entry(&call.about).or_insert(call.heard);
        }
        let submits: Vec<_> = books
            .calls_of(life, Endpoint::Submit)
            .iter()
            .map(|call| match &call.named {
                Some(id) => (call.at, over.get(id.as_str()).copied().flatten()),
                None => (call.at, call.heard),
            })
            .collect();
        invariant::slots_hold(&submits, self.scenario.in_flight)?;
        let polls: Vec<_> = polls.iter().map(|call| (call.at, call.heard)).collect();
        invariant::slots_hold(&polls, POLLS_AT_ONCE)
    }

    /// Nothing is submitted that the manifest no longer has.
    fn check_wishes(&self, books: &Books, life: u32) -> Verdict {
        if !self.scenario.edited {
            return Ok(());
        }
        let wanted = self.version().pictures(self.scenario.items);
        let submits = books.calls_of(life, Endpoint::Submit);
        match submits.iter().find(|call| !wanted.contains(&call.about)) {
            Some(Call { about, at, .. }) => {
                let evidence = format!("`{about}` is not in the manifest, and submitted at {at:?}");
                Err(Violation::new("unwanted", evidence))
            }
            None => Ok(()),
        }
    }

    /// I8: who is asked to drain submits nothing more and ends in time.
    fn check_drain(&self, books: &Books, ending: &Ending, ended: Duration) -> Verdict {
        let asked = lock(&self.asked);
        let Some(first) = asked.first() else { return Ok(()) };
        let submits = books.calls_of(self.lives, Endpoint::Submit);
        if let Some(late) = submits.iter().find(|call| call.at > first.at) {
            let evidence = format!("asked to drain at {:?}, submitted at {:?}", first.at, late.at);
            return Err(Violation::new("I8", evidence));
        }
        if matches!(ending, Ending::Crashed | Ending::Endless) {
            return Ok(());
        }
        for asked in asked.iter() {
            let patient = asked.submitting || self.scenario.faults.ledger_down.seconds > 0;
            let grace = match asked.level {
                StopLevel::Stop => Duration::ZERO,
                StopLevel::Drain if patient => GRACE.max(REQUEST_TIMEOUT),
                StopLevel::Drain => GRACE,
            };
            invariant::drain_ends(asked.at, ended, grace)?;
        }
        Ok(())
    }

    /// What must hold at any moment, after a crash too.
    fn check_facts(&self) -> Verdict {
        let books = lock(&self.books);
        let witness = lock(&self.witness);
        if let Some(violation) = witness.violation() {
            return Err(violation.clone());
        }
        let mut requests = books.by_picture();
        let mut paths = BTreeSet::new();
        for item in self.items_seen_by(&witness) {
            let of_item = requests.remove(picture_of(&item.source).as_str()).unwrap_or_default();
            self.check_money(&item, &of_item, &witness)?;
            self.check_artifacts(&item, &of_item, &mut paths)?;
        }
        if let Some((picture, requests)) = requests.first_key_value() {
            let ids: Vec<_> = requests.iter().map(|(id, _)| *id).collect();
            invariant::is_explained(picture, &ids, &[])?;
        }
        drop((books, witness));
        self.check_sums()
    }

    /// I2, I7, and the money of one item.
    fn check_money(&self, item: &Item, requests: &Requests<'_>, witness: &Witness) -> Verdict {
        let paid = requests.iter().filter(|(_, request)| request.is_paid()).count() as u64;
        let licences = witness.licences_of(item.id);
        let by_policy = self.scenario.in_doubt == InDoubtPolicy::Resubmit;
        if self.scenario.retry.is_none()
            && (licences.retries > 0 || (licences.resubmits > 0 && !by_policy))
        {
            let evidence = format!("item {} was sent again by nobody's wish", item.id);
            return Err(Violation::new("I2", evidence));
        }
        let resubmits = match self.scenario.retry {
            Some(_) => licences.resubmits,
            None => licences.resubmits.min(MOST_DOUBTFUL_SUBMITS - 1),
        };
        // Of what the service ended without a picture, and took the money for.
        let failed = requests.iter().filter(|(_, request)| request.course == Course::Failed);
        let anew = u64::from(licences.retries).min(failed.count() as u64);
        let allowed = 1 + anew + u64::from(resubmits);
        invariant::is_paid_once(&item.source, paid, allowed)?;
        let free = requests.len() as u64 - paid;
        if free > u64::from(ERROR_TRIES) * u64::from(1 + licences.retries + resubmits) {
            let evidence = format!("item {}: {free} requests that ended in ERROR", item.id);
            return Err(Violation::new("money", evidence));
        }
        let ids: Vec<_> = requests.iter().map(|(id, _)| *id).collect();
        invariant::is_explained(&item.source, &ids, &witness.attempts_of(item.id))?;
        let uncertain = item.committed() - item.charged;
        let what = format!("item {}", item.id);
        invariant::money_adds_up(what, PRICE.times(paid), item.charged, uncertain)
    }

    /// I5, for one item: its files are whole, its own, and nobody else's.
    fn check_artifacts(
        &self,
        item: &Item,
        requests: &Requests<'_>,
        paths: &mut BTreeSet<String>,
    ) -> Verdict {
        let disk = lock(&self.disk);
        invariant::artifacts_are_whole(item, |path| {
            let (bytes, blake3) = facts(disk.get(path)?);
            Some(FileFacts { bytes, blake3 })
        })?;
        for artifact in &item.artifacts {
            let own = requests.iter().any(|(id, _)| {
                artifact.media_url.starts_with(&format!("https://cdn.example/{id}/"))
            });
            if !own || !paths.insert(artifact.path.clone()) {
                let evidence = format!("`{}` is not item {}'s alone", artifact.path, item.id);
                return Err(Violation::new("I5", evidence));
            }
        }
        Ok(())
    }

    /// What the ledger says of all money together.
    fn check_sums(&self) -> Verdict {
        let read = async { (self.ledger.totals().await, self.ledger.audit().await) };
        let (Ok(totals), Ok(audit)) = futures::executor::block_on(read) else {
            return Err(Violation::new("life", "the ledger cannot be read"));
        };
        let money = totals.money;
        invariant::sums_agree("charged", money.charged, audit.counted.money.charged)?;
        invariant::sums_agree(
            "possibly",
            money.possibly_charged,
            audit.counted.money.possibly_charged,
        )?;
        invariant::sums_agree("reserved", money.reserved, audit.counted.money.reserved)?;
        totals.counts_agree(&audit.counted)?;
        invariant::cap_holds(money.committed(), self.scenario.cap())?;
        let taken = PRICE.times(lock(&self.books).paid());
        invariant::money_adds_up("job", taken, money.charged, money.committed() - money.charged)?;
        invariant::cap_holds(taken, self.scenario.cap())
    }

    pub(super) fn items_seen_by(&self, witness: &Witness) -> Vec<Item> {
        let named = self.items().into_iter().map(|item| item.id);
        let all: BTreeSet<ItemId> = named.chain(witness.items()).collect();
        let read = |id| futures::executor::block_on(self.ledger.item(id)).ok();
        all.into_iter().filter_map(read).collect()
    }
}

/// I3 and I4 for submits and polls, and the spacing of polls.
fn check_pace(books: &Books, life: u32) -> Verdict {
    for (endpoint, rate) in [(Endpoint::Submit, SUBMIT_RATE), (Endpoint::Poll, POLL_RATE)] {
        let calls = books.calls_of(life, endpoint);
        let times: Vec<_> = calls.iter().map(|call| call.at).collect();
        invariant::rate_holds(&times, f64::from(Pacer::burst(rate)), rate)?;
        for call in &calls {
            let what = format!("{} of {}", endpoint.as_str(), call.about);
            invariant::gate_holds(what, call.at, books.paused_before(endpoint))?;
        }
        for asked in &calls {
            let (Some(heard), Some(pause)) = (asked.heard, asked.pause) else { continue };
            for call in calls.iter().filter(|call| follows(call, asked)) {
                let (word, by) = (endpoint.as_str(), &asked.about);
                let what = format!("{word} of {} (asked to pause by {by})", call.about);
                invariant::gate_holds(what, call.at, heard + pause)?;
            }
        }
    }
    let mut last: BTreeMap<&str, Duration> = BTreeMap::new();
    for call in books.calls_of(life, Endpoint::Poll).iter().filter(|call| !call.is_probe()) {
        if let Some(before) = last.insert(&call.about, call.at)
            && call.at.saturating_sub(before) < POLL_INTERVAL
        {
            let evidence = format!("polls of {} at {before:?} and {:?}", call.about, call.at);
            return Err(Violation::new("cadence", evidence));
        }
    }
    Ok(())
}

/// Returns true when a call was decided on after the answer to another was heard. A submit
/// that leaves in the same instant was decided on when its intent was written; a poll
/// writes none.
fn follows(call: &Call, asked: &Call) -> bool {
    match call.endpoint {
        Endpoint::Submit => call.is_decided_after(asked),
        _ => asked.heard.is_some_and(|heard| call.at > heard),
    }
}

/// Once the account is refused nothing more is submitted, and once the key is refused to a
/// poll nothing more is asked.
fn check_account(books: &Books, life: u32) -> Verdict {
    let submits = books.calls_of(life, Endpoint::Submit);
    let polls = books.calls_of(life, Endpoint::Poll);
    let refused = |calls: &[&Call]| {
        let refused = calls.iter().filter(|call| call.refused && call.heard.is_some());
        refused.min_by_key(|call| call.heard_order).map(|call| (*call).clone())
    };
    let (by_submit, by_poll) = (refused(&submits), refused(&polls));
    for refused in [&by_submit, &by_poll].into_iter().flatten() {
        for call in &submits {
            let what = format!("a submit of {} at {:?}", call.about, call.at);
            invariant::account_halts(what, call.is_decided_after(refused))?;
        }
    }
    let Some(by_poll) = by_poll else { return Ok(()) };
    match polls.iter().find(|call| follows(call, &by_poll)) {
        Some(call) => {
            let evidence =
                format!("a poll of {} at {:?} after the key was refused", call.about, call.at);
            Err(Violation::new("account", evidence))
        }
        None => Ok(()),
    }
}
