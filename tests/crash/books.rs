//! The end of a job: its ledger and its files against the gateway's books, request by
//! request, to the micro-dollar.

use std::collections::BTreeMap;

use restore_batch::{
    core::{FailureCode, InDoubtPolicy, Item, ItemState, Micros},
    gateway::BookedRequest,
    ledger::{Ledger as _, RowFilter, SqliteLedger},
};
use serde_json::Value;

use crate::{
    draws::Draws,
    history::History,
    service::GatewayProcess,
    support::{World, audit},
};

/// Price of one request on both sides.
const PRICE: Micros = Micros(3_100);

/// What a job has come to.
#[derive(Debug)]
pub(crate) struct JobEnd {
    pub(crate) history: History,
    pub(crate) photos: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) in_doubt: u64,
    /// Most submits that can have left doubt: by the gateway's doing, and by kills.
    pub(crate) doubts: u64,
    /// Requests that the gateway accepted.
    pub(crate) accepted: u64,
    /// Requests that ended in ERROR and cost nothing.
    pub(crate) refunded: u64,
    /// Requests paid for although an earlier one of the same photo was accepted.
    pub(crate) twice: u64,
    /// Results that were paid for and known, and are not there.
    pub(crate) lost: u64,
    /// By the gateway's books.
    pub(crate) charged: Micros,
    /// By the ledger.
    pub(crate) known: Micros,
    /// By the ledger: what may have been charged besides.
    pub(crate) possibly: Micros,
}

/// One photo with everything the gateway has accepted for it.
struct Photo<'a> {
    item: &'a Item,
    accepted: Vec<&'a BookedRequest>,
    /// Those of them that did not end in ERROR.
    paid: Vec<&'a BookedRequest>,
}

impl JobEnd {
    /// Compares everything and counts.
    ///
    /// # Panics
    ///
    /// When anything does not add up.
    pub(crate) fn check(
        world: &World,
        service: &GatewayProcess,
        summary: &Value,
        history: History,
        draws: &Draws,
    ) -> Self {
        let (stats, books, items) = (service.stats(), service.books(), items(world));
        let rows = items.len();
        audit(world, "photos.restored").every_row_ended_once(rows);
        let count = |wanted: ItemState| {
            u64::try_from(items.iter().filter(|item| item.state == wanted).count()).unwrap()
        };
        let photos: Vec<Photo<'_>> = items.iter().map(|item| Photo::new(item, &books)).collect();
        for photo in &photos {
            photo.was_paid_for_as_permitted(&history, draws);
        }
        history.left_alone_what_was_done(&books);
        for request in &books {
            assert!(draws.accepts(request.submit), "other draws than the gateway's: {request:?}");
        }
        // Every POST is an attempt in the ledger first.
        let submits = items.iter().map(|item| u64::from(item.attempts())).sum();
        let unseen = photos.iter().filter(|photo| photo.is_in_doubt_unseen(&history, draws));
        let (unseen, drops) = (unseen.count() as u64, draws.drops_among(submits));
        assert!(unseen <= drops, "{unseen} photos in doubt for {drops} requests not accepted");
        let lost = photos.iter().filter(|photo| photo.lost_its_result()).count();
        let end = Self {
            photos: u64::try_from(rows).unwrap(),
            done: count(ItemState::Done),
            failed: count(ItemState::Failed),
            in_doubt: count(ItemState::InDoubt),
            doubts: draws.doubts_among(submits) + history.doubts(),
            accepted: u64::try_from(books.len()).unwrap(),
            refunded: stats.errors,
            twice: photos.iter().map(Photo::duplicates).sum(),
            lost: u64::try_from(lost).unwrap(),
            charged: stats.charged,
            known: items.iter().map(|item| item.charged).sum(),
            possibly: items.iter().map(|item| item.possibly_charged).sum(),
            history,
        };
        end.adds_up(summary);
        end
    }

    /// Checks the sums against the gateway and against what the program has printed.
    fn adds_up(&self, summary: &Value) {
        assert_eq!(self.lost, 0, "{self:#?}");
        assert_eq!(self.charged, PRICE.times(self.accepted - self.refunded), "{self:#?}");
        let most = self.known + self.possibly;
        assert!(self.known <= self.charged && self.charged <= most, "{self:#?}");
        let (in_doubt, doubts) = (PRICE.times(self.in_doubt), PRICE.times(self.doubts));
        assert!(in_doubt <= self.possibly && self.possibly <= doubts, "{self:#?}");
        if self.history.policy == InDoubtPolicy::Hold && !self.history.retried_doubts {
            assert_eq!(self.twice, 0, "{self:#?}");
        }
        let count = |name: &str| summary[name].as_u64().unwrap();
        let money = |name: &str| summary[name].as_str().unwrap().parse::<Micros>().unwrap();
        let counts = ["rows", "done", "failed", "in_doubt"].map(count);
        assert_eq!(counts, [self.photos, self.done, self.failed, self.in_doubt], "{summary:#}");
        assert_eq!(self.done + self.failed + self.in_doubt, self.photos, "{summary:#}");
        let sums = ["charged_usd", "possibly_charged_usd", "reserved_usd"].map(money);
        assert_eq!(sums, [self.known, self.possibly, Micros::ZERO], "{summary:#}");
    }
}

impl<'a> Photo<'a> {
    fn new(item: &'a Item, books: &'a [BookedRequest]) -> Self {
        let accepted: Vec<_> = books.iter().filter(|one| one.img == item.source).collect();
        let paid = accepted.iter().filter(|one| one.status != "ERROR").copied().collect();
        Self { item, accepted, paid }
    }

    fn is_known(&self, request: &BookedRequest) -> bool {
        self.item.request.as_ref().is_some_and(|known| known.id.0 == request.request_id)
    }

    /// Checks the ledger's money for this photo: what it calls charged was charged, and
    /// what was charged besides it suspects.
    fn was_paid_for_as_permitted(&self, history: &History, draws: &Draws) {
        let Item { id, state, charged, possibly_charged, failure, .. } = self.item;
        let paid = u64::try_from(self.paid.len()).unwrap();
        let what = format!("{id} is {state}, {failure:?}, {:#?}", self.paid);
        assert!(paid <= history.most_submits(), "paid {paid} times in {history:?}: {what}");
        history.explains(self.item, &self.paid, |submit| draws.loses_the_answer(submit));
        let cost = PRICE.times(paid);
        let most = *charged + *possibly_charged;
        assert!(*charged <= cost && cost <= most, "cost {cost}, not {charged} to {most}: {what}");
        // A completed request that is not the photo's own was never known to the program.
        let unknown =
            self.paid.iter().filter(|one| one.status == "COMPLETED" && !self.is_known(one));
        let unknown = PRICE.times(u64::try_from(unknown.count()).unwrap());
        assert!(unknown <= *possibly_charged, "a known request was forgotten: {what}");
        match state {
            ItemState::Done => {}
            ItemState::InDoubt => assert!(*possibly_charged >= PRICE, "{what}"),
            ItemState::Failed => {
                let code = failure.as_ref().unwrap().code;
                let by_fault = [FailureCode::ServiceFailed, FailureCode::ServiceError];
                assert!(by_fault.contains(&code), "{what}");
            }
            other => panic!("ended as {other}: {what}"),
        }
    }

    /// Returns true when the photo is in doubt, and neither an answer that the gateway kept
    /// back nor a kill is the reason: then it dropped the request.
    fn is_in_doubt_unseen(&self, history: &History, draws: &Draws) -> bool {
        let lost = |request: &&BookedRequest| draws.loses_the_answer(request.submit);
        self.item.state == ItemState::InDoubt
            && history.cut_off(&self.item.source) == 0
            && !self.accepted.iter().any(lost)
    }

    /// Returns true when the service is done with the photo's request and the photo has
    /// not exactly that result.
    fn lost_its_result(&self) -> bool {
        let completed =
            self.paid.iter().find(|one| one.status == "COMPLETED" && self.is_known(one));
        let artifact = self.item.artifacts.first().map(|artifact| artifact.blake3.0.as_str());
        match completed {
            Some(request) => artifact.is_none() || artifact != request.blake3.as_deref(),
            None => self.item.state == ItemState::Done,
        }
    }

    /// Returns how many requests were paid for besides one that the program knows, or
    /// besides another that it does not know either.
    fn duplicates(&self) -> u64 {
        let known = (self.item.charged.0 / PRICE.0).unsigned_abs();
        let unknown = u64::try_from(self.paid.len()).unwrap() - known;
        if known > 0 { unknown } else { unknown.saturating_sub(1) }
    }
}

/// Reads every item of the job from its ledger; none before there is one.
pub(crate) fn items(world: &World) -> Vec<Item> {
    let path = world.path("photos.restored/.restore-batch/ledger.db");
    if !path.exists() {
        return Vec::new();
    }
    let rows = world.block_on(async {
        let ledger = SqliteLedger::open_read_only(&path).await.unwrap();
        let rows = ledger.rows(RowFilter::All, 0, 10_000).await.unwrap();
        ledger.close().await;
        rows
    });
    let items: BTreeMap<_, _> = rows.into_iter().map(|row| (row.item.id, row.item)).collect();
    items.into_values().collect()
}
