//! What a restart does with each state.
//!
//! | State | What is done |
//! |---|---|
//! | Pending, Staged | nothing: the supply reads them again |
//! | Submitting | in doubt: nobody knows whether the POST left; its callback is waited for |
//! | Submitted | polled |
//! | Ready | fetched |
//! | `InDoubt` | held until a callback names its request, or sent again by policy |
//! | Done, Failed, Skipped | nothing |
//!
//! However many items there are, a page of them is in memory at a time; what a page becomes
//! is written at once, in few commits.
//!
//! With a service that lives and dies with this program (`--local`), what an earlier
//! run submitted is gone and was free, so it is simply submitted again.

use futures::future::try_join_all;
use jiff::Timestamp;

use super::{settings::RunSettings, worker::LOAD};
use crate::{
    core::{
        Failure, FailureClass, FailureCode, Fence, InDoubtPolicy, Item, ItemEvent, ItemId,
        ItemState, MOST_DOUBTFUL_SUBMITS,
    },
    ledger::{Ledger, LedgerResult},
};

/// What earlier runs have left at the service.
#[derive(Debug, Default)]
pub struct Owed {
    /// Items to take up, in any order.
    pub items: Vec<Item>,
    /// Where the others begin, if these are not all: behind this one.
    pub more_after: Option<ItemId>,
}

/// States of items the service owes us.
pub(super) const OWED: [ItemState; 2] = [ItemState::Submitted, ItemState::Ready];

/// Puts every item of an earlier run where this run can take it up, and returns those
/// the service owes us: `Submitted` and `Ready`, as many as may be in flight at once, and
/// what has just fallen in doubt.
///
/// # Errors
///
/// When the ledger cannot be used.
pub async fn recover(
    ledger: &dyn Ledger,
    fence: Fence,
    rules: &RunSettings,
    now: Timestamp,
) -> LedgerResult<Owed> {
    let mut doubtful = Vec::new();
    each_page(ledger, &[ItemState::Submitting], async |page| {
        for item in &page {
            tracing::warn!(item.id = %item.id, "an earlier run stopped while submitting: in doubt");
        }
        let events = page.into_iter().map(|item| (item.id, interrupted()));
        doubtful.extend(advance_each(ledger, fence, events, now).await?);
        Ok(())
    })
    .await?;
    if rules.volatile_service {
        each_page(ledger, &OWED, async |page| {
            let events = page.into_iter().map(|item| (item.id, ItemEvent::RequestForgotten));
            advance_each(ledger, fence, events, now).await.map(drop)
        })
        .await?;
    }
    if rules.volatile_service || rules.in_doubt == InDoubtPolicy::Resubmit {
        resubmit_doubtful(ledger, fence, rules, now).await?;
        doubtful.clear();
    }
    let limit = rules.submit.at_once.max(LOAD);
    let mut items = ledger.open_items(OWED.to_vec(), ItemId(0), limit).await?;
    let more_after = items.last().filter(|_| items.len() == limit).map(|last| last.id);
    items.extend(doubtful);
    let items = items.into_iter().map(|item| not_from_the_future(item, now)).collect();
    Ok(Owed { items, more_after })
}

/// A clock that was set back since leaves submits in the future, which would reach their
/// deadline that much later: in this run they count from its start.
pub(super) fn not_from_the_future(mut item: Item, now: Timestamp) -> Item {
    item.submitted_at = item.submitted_at.map(|at| at.min(now));
    item
}

async fn resubmit_doubtful(
    ledger: &dyn Ledger,
    fence: Fence,
    rules: &RunSettings,
    now: Timestamp,
) -> LedgerResult<()> {
    let may_resubmit =
        |item: &Item| rules.volatile_service || item.attempts() < MOST_DOUBTFUL_SUBMITS;
    each_page(ledger, &[ItemState::InDoubt], async |page| {
        let events =
            page.into_iter().filter(may_resubmit).map(|item| (item.id, ItemEvent::Resubmit));
        advance_each(ledger, fence, events, now).await.map(drop)
    })
    .await
}

fn interrupted() -> ItemEvent {
    ItemEvent::AnswerLost(Failure::new(
        FailureClass::InDoubt,
        FailureCode::InDoubt,
        "the program stopped between sending the request and hearing the answer",
    ))
}

/// Hands over all items in `states`, a page at a time.
async fn each_page(
    ledger: &dyn Ledger,
    states: &[ItemState],
    mut act: impl AsyncFnMut(Vec<Item>) -> LedgerResult<()>,
) -> LedgerResult<()> {
    let mut after = ItemId(0);
    loop {
        let page = ledger.open_items(states.to_vec(), after, LOAD).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        act(page).await?;
    }
}

/// Applies an event to each of a page of items. All are handed over before one is waited
/// for, so that they share their commits.
async fn advance_each(
    ledger: &dyn Ledger,
    fence: Fence,
    events: impl Iterator<Item = (ItemId, ItemEvent)>,
    now: Timestamp,
) -> LedgerResult<Vec<Item>> {
    try_join_all(events.map(|(item, event)| ledger.advance(fence, item, event, now))).await
}

/// Takes failed items up again, and items in doubt when asked to. Returns how many.
///
/// # Errors
///
/// When the ledger cannot be used.
pub async fn retry_failed(
    ledger: &dyn Ledger,
    fence: Fence,
    in_doubt_too: bool,
    now: Timestamp,
) -> LedgerResult<u64> {
    let mut taken_up = 0;
    each_page(ledger, &[ItemState::Failed, ItemState::InDoubt], async |page| {
        let events =
            page.iter().filter_map(|item| Some((item.id, item.retry_event(in_doubt_too)?)));
        taken_up += advance_each(ledger, fence, events, now).await?.len() as u64;
        Ok(())
    })
    .await?;
    Ok(taken_up)
}
