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
//! With a service that lives and dies with this program (`--local`), what an earlier
//! run submitted is gone and was free, so it is simply submitted again.

use jiff::Timestamp;

use super::{settings::RunSettings, worker::LOAD};
use crate::{
    core::{
        Failure, FailureClass, FailureCode, Fence, InDoubtPolicy, Item, ItemEvent, ItemId,
        ItemState, MOST_DOUBTFUL_SUBMITS,
    },
    ledger::{Ledger, LedgerResult},
};

/// Puts every item of an earlier run where this run can take it up, and returns those
/// the service owes us: `Submitted` and `Ready`, and what has just fallen in doubt; at most
/// as many as were in flight.
///
/// # Errors
///
/// When the ledger cannot be used.
pub async fn recover(
    ledger: &dyn Ledger,
    fence: Fence,
    rules: &RunSettings,
    now: Timestamp,
) -> LedgerResult<Vec<Item>> {
    let mut doubtful = Vec::new();
    for item in all(ledger, ItemState::Submitting).await? {
        tracing::warn!(item.id = %item.id, "an earlier run stopped while submitting: in doubt");
        doubtful.push(ledger.advance(fence, item.id, interrupted(), now).await?);
    }
    let mut owed = all(ledger, ItemState::Submitted).await?;
    owed.extend(all(ledger, ItemState::Ready).await?);
    if rules.volatile_service {
        for item in std::mem::take(&mut owed) {
            ledger.advance(fence, item.id, ItemEvent::RequestForgotten, now).await?;
        }
    }
    if rules.volatile_service || rules.in_doubt == InDoubtPolicy::Resubmit {
        resubmit_doubtful(ledger, fence, rules, now).await?;
    } else {
        owed.extend(doubtful);
    }
    Ok(owed.into_iter().map(|item| not_from_the_future(item, now)).collect())
}

/// A clock that was set back since leaves submits in the future, which would reach their
/// deadline that much later: in this run they count from its start.
fn not_from_the_future(mut item: Item, now: Timestamp) -> Item {
    item.submitted_at = item.submitted_at.map(|at| at.min(now));
    item
}

async fn resubmit_doubtful(
    ledger: &dyn Ledger,
    fence: Fence,
    rules: &RunSettings,
    now: Timestamp,
) -> LedgerResult<()> {
    let mut after = ItemId(0);
    loop {
        let page = ledger.open_items(vec![ItemState::InDoubt], after, LOAD).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for item in page {
            if rules.volatile_service || item.attempts() < MOST_DOUBTFUL_SUBMITS {
                ledger.advance(fence, item.id, ItemEvent::Resubmit, now).await?;
            }
        }
    }
}

fn interrupted() -> ItemEvent {
    ItemEvent::AnswerLost(Failure::new(
        FailureClass::InDoubt,
        FailureCode::InDoubt,
        "the program stopped between sending the request and hearing the answer",
    ))
}

async fn all(ledger: &dyn Ledger, state: ItemState) -> LedgerResult<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    loop {
        let after = items.last().map_or(ItemId(0), |item| item.id);
        let page = ledger.open_items(vec![state], after, LOAD).await?;
        if page.is_empty() {
            return Ok(items);
        }
        items.extend(page);
    }
}

/// Returns true when [`retry_failed`] would take something up.
///
/// # Errors
///
/// When the ledger cannot be used.
pub async fn has_retriable(ledger: &dyn Ledger) -> LedgerResult<bool> {
    let mut after = ItemId(0);
    loop {
        let page = ledger.open_items(vec![ItemState::Failed], after, LOAD).await?;
        if page.iter().any(|item| item.retry_event(false).is_some()) {
            return Ok(true);
        }
        match page.last() {
            Some(last) => after = last.id,
            None => return Ok(false),
        }
    }
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
    let mut after = ItemId(0);
    loop {
        let states = vec![ItemState::Failed, ItemState::InDoubt];
        let page = ledger.open_items(states, after, LOAD).await?;
        let Some(last) = page.last() else { return Ok(taken_up) };
        after = last.id;
        for item in page {
            if let Some(event) = item.retry_event(in_doubt_too) {
                ledger.advance(fence, item.id, event, now).await?;
                taken_up += 1;
            }
        }
    }
}
