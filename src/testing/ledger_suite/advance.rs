//! Events: what they change, and what many of them at once do.

use futures::future::join_all;

use super::samples::{
    Job, PRICE, accepted, artifact, at, bad, completed, failure, intent, kept_at, lost, published,
    row, rows, start, whole_life,
};
use crate::{
    core::{Edition, FailureCode, Item, ItemEvent, ItemId, ItemState, Micros, RequestId},
    ledger::{Ledger, LedgerError, LedgerResult, Totals},
};

/// An event that the table does not have leaves the item, money and totals alone.
pub async fn an_illegal_event_changes_nothing(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a"])).await?;
    job.advance(1, intent()).await?;
    let before = (ledger.item(ItemId(1)).await?, ledger.totals().await?, ledger.audit().await?);
    for event in [intent(), completed(), published(), ItemEvent::RetryPoll] {
        let kind = event.kind();
        let Err(LedgerError::Illegal { item, source }) = job.advance(1, event).await else {
            panic!("{kind:?} must be illegal");
        };
        assert_eq!((item, source.state, source.event), (ItemId(1), ItemState::Submitting, kind));
    }
    let after = (ledger.item(ItemId(1)).await?, ledger.totals().await?, ledger.audit().await?);
    assert_eq!(before, after);
    Ok(())
}

/// An item that was never imported cannot be advanced.
pub async fn unknown_items_are_refused(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a"])).await?;
    for id in [-1, 0, 2, i64::MAX] {
        let answer = job.advance(id, intent()).await;
        assert_eq!(answer, Err(LedgerError::UnknownItem(ItemId(id))));
    }
    Ok(())
}

/// The item that a call returns is the one that is read back, through a life in which
/// every field is used; times are cut to milliseconds.
pub async fn every_fact_comes_back(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut local = row(2, "a");
    local.item.state = Ok(ItemState::Pending);
    let job = start(ledger, vec![local]).await?;
    let staged = ItemEvent::Staged { url: Some("https://bucket/a?signature=\u{0}".to_owned()) };
    let error =
        ItemEvent::ServiceError { failure: failure(FailureCode::ServiceError), not_before: at(60) };
    let postponed = ItemEvent::Postponed {
        failure: failure(FailureCode::StatusUnavailable),
        not_before: at(90),
    };
    let artifacts = vec![artifact("images/a.png"), artifact("images/a-2.png")];
    let life = [
        staged,
        intent(),
        accepted("first"),
        error,
        intent(),
        lost(),
        ItemEvent::RequestNamed { request_id: RequestId("second \"\u{0}\"".to_owned()) },
        postponed,
        completed(),
        ItemEvent::LinkExpired(failure(FailureCode::MediaUnavailable)),
        completed(),
        ItemEvent::Published { artifacts },
    ];
    let mut item = ledger.item(ItemId(1)).await?;
    for (second, event) in (0..).zip(life) {
        let kind = event.kind();
        item = ledger.advance(job.fence, ItemId(1), event, at(second)).await?;
        assert_eq!(ledger.item(ItemId(1)).await?, item, "after {kind:?}");
        for time in [item.submitted_at, item.not_before].into_iter().flatten() {
            assert_eq!(time.subsec_nanosecond(), 123_000_000, "after {kind:?}");
        }
    }
    assert_eq!(item.settled_at, Some(kept_at(11)));
    assert_eq!((item.service_errors, item.refreshes), (1, 1));
    assert_eq!(item.submitted_at, Some(kept_at(4)));
    Ok(())
}

/// Each attempt is counted once, with the booking it ended in.
pub async fn every_attempt_is_booked(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a", "b", "c", "d"])).await?;
    let gave_up = ItemEvent::PollGaveUp(failure(FailureCode::Deadline));
    let refused = ItemEvent::NotAccepted { failure: failure(FailureCode::Throttled) };
    job.advance_all(1, vec![intent(), lost(), ItemEvent::Resubmit]).await?;
    job.advance_all(1, whole_life()).await?;
    job.advance_all(2, vec![intent(), refused, intent(), accepted("b")]).await?;
    job.advance_all(3, vec![intent(), accepted("c"), gave_up]).await?;
    job.advance_all(4, vec![intent(), accepted("d"), completed()]).await?;

    let audit = ledger.audit().await?;
    assert_eq!(audit.attempts, 6);
    assert_eq!(audit.counted.money.charged, PRICE.times(2));
    assert_eq!(audit.counted.money.possibly_charged, PRICE.times(2));
    assert_eq!(audit.counted.money.reserved, PRICE);
    let totals = ledger.totals().await?;
    assert_eq!(totals.submits, 4);
    assert_eq!(totals.money.committed(), PRICE.times(5));
    let item = ledger.item(ItemId(1)).await?;
    assert_eq!((item.attempts(), item.charged, item.possibly_charged), (2, PRICE, PRICE));
    Ok(())
}

/// Under a long sequence of events, legal or not, and edits of the manifest, the
/// totals equal a count of the items, and their money that of the attempts.
pub async fn totals_equal_a_recount(ledger: &dyn Ledger) -> LedgerResult<()> {
    let names: Vec<String> = (0..24).map(|n| format!("picture-{n}")).collect();
    let edition = |keep: fn(usize) -> bool| {
        let kept = (2..).zip(&names).enumerate().filter(|(index, _)| keep(*index));
        kept.map(|(_, (line, name))| row(line, name)).collect::<Vec<_>>()
    };
    let mut job = start(ledger, edition(|_| true)).await?;
    let editions: [fn(usize) -> bool; 3] = [|n| n % 2 == 0, |n| n < 18, |_| true];
    let mut applied = 0;
    for (round, keep) in editions.into_iter().enumerate() {
        for step in 0..300 {
            let id = ItemId(1 + i64::from(pick(&format!("item {round} {step}"), 24)));
            let state = ledger.item(id).await?.state;
            let event = random_event(&format!("{round} {step}"), state);
            match job.advance(id.0, event).await {
                Ok(_) => applied += 1,
                Err(LedgerError::Illegal { .. }) => {}
                Err(error) => return Err(error),
            }
            if step % 30 == 0 {
                assert_recount(&job).await?;
            }
        }
        job.read(edition(keep)).await?;
        assert_recount(&job).await?;
    }
    assert!(applied > 500, "only {applied} events were legal");
    Ok(())
}

/// What an event has changed is counted, though a session begins in the same moment.
pub async fn a_session_that_begins_at_once_counts_what_came_before(
    ledger: &dyn Ledger,
) -> LedgerResult<()> {
    let job = start(ledger, vec![row(2, "a")]).await?;
    let sending = job.advance(1, intent());
    let (sent, fence) = futures::join!(sending, ledger.begin_session());
    sent?;
    fence?;
    assert_eq!(ledger.totals().await?, ledger.audit().await?.counted);
    Ok(())
}

/// Returns a number below `below` that depends only on `seed`.
fn pick(seed: &str, below: u16) -> u16 {
    let hash = blake3::hash(seed.as_bytes());
    u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]) % below
}

/// Returns an event that is mostly, but not always, possible in `state`.
fn random_event(seed: &str, state: ItemState) -> ItemEvent {
    let failed = || failure(FailureCode::MediaInvalid);
    let mut events = vec![
        intent(),
        accepted("r"),
        lost(),
        completed(),
        published(),
        ItemEvent::NotAccepted { failure: failed() },
        ItemEvent::Rejected(failed()),
        ItemEvent::ServiceFailed(failed()),
        ItemEvent::ServiceError { failure: failed(), not_before: at(1) },
        ItemEvent::PollGaveUp(failed()),
        ItemEvent::LinkExpired(failed()),
        ItemEvent::Resubmit,
        ItemEvent::RequestNamed { request_id: RequestId("n".to_owned()) },
        ItemEvent::RetryPoll,
        ItemEvent::RequestForgotten,
        ItemEvent::RetrySubmit,
        ItemEvent::Staged { url: None },
    ];
    let anything_goes = pick(&format!("any {seed}"), 8) == 0;
    events.retain(|event| anything_goes || state.after(event.kind()).is_ok());
    let Some(most) = u16::try_from(events.len()).ok().filter(|most| *most > 0) else {
        // Done is final.
        return completed();
    };
    events.swap_remove(usize::from(pick(&format!("event {seed}"), most)))
}

async fn assert_recount(job: &Job<'_>) -> LedgerResult<()> {
    let mut counted = Totals { rows: job.ledger.totals().await?.rows, ..Totals::default() };
    for id in 1..=24 {
        let item = job.ledger.item(ItemId(id)).await?;
        if item.edition == job.edition || item.state.is_owed() {
            counted.items[item.state as usize] += 1;
        }
        count_money(&mut counted, &item);
    }
    let (totals, audit) = (job.ledger.totals().await?, job.ledger.audit().await?);
    assert_eq!((totals.items, totals.money), (counted.items, counted.money));
    assert_eq!(audit.counted, totals);
    assert_eq!(audit.by_items, totals.money);
    let settled = job.ledger.settled_rows(0, usize::MAX).await?;
    assert_eq!(settled.len() as u64, totals.settled());
    Ok(())
}

fn count_money(counted: &mut Totals, item: &Item) {
    counted.money.charged += item.charged;
    counted.money.possibly_charged += item.possibly_charged;
    let reserved =
        item.attempt.as_ref().filter(|attempt| attempt.booking == crate::core::Booking::Reserved);
    counted.money.reserved += reserved.map_or(Micros::ZERO, |attempt| attempt.price);
}

/// Of the same event sent many times at once exactly one is acknowledged.
pub async fn events_sent_at_once_are_applied_once_each(ledger: &dyn Ledger) -> LedgerResult<()> {
    let names: Vec<String> = (0..50).map(|n| format!("picture-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let job = start(ledger, rows(&names)).await?;
    let calls = (0..8).flat_map(|_| 1..=50).map(|id| job.advance(id, intent()));
    let answers = join_all(calls).await;
    let acknowledged = answers.iter().filter(|answer| answer.is_ok()).count();
    let illegal =
        answers.iter().filter(|answer| matches!(answer, Err(LedgerError::Illegal { .. }))).count();
    assert_eq!((acknowledged, illegal), (50, 350));
    assert_eq!(ledger.audit().await?.attempts, 50);
    assert_eq!(ledger.totals().await?.money.reserved, PRICE.times(50));
    Ok(())
}

/// Events of one item that wait together take effect in the order of the calls.
pub async fn events_of_one_item_take_effect_in_order(ledger: &dyn Ledger) -> LedgerResult<()> {
    use ItemState as S;
    let job = start(ledger, rows(&["a", "b"])).await?;
    let mut events = vec![intent(), lost(), ItemEvent::Resubmit];
    events.extend(whole_life());
    let calls =
        events.into_iter().flat_map(|event| [job.advance(1, event.clone()), job.advance(2, event)]);
    let states: Vec<_> =
        join_all(calls).await.into_iter().map(|item| item.map(|item| item.state)).collect();
    let expected =
        [S::Submitting, S::InDoubt, S::Staged, S::Submitting, S::Submitted, S::Ready, S::Done];
    for (pair, state) in states.chunks(2).zip(expected) {
        assert_eq!(pair, [Ok(state), Ok(state)]);
    }
    assert_eq!(ledger.audit().await?.attempts, 4);
    assert_eq!(ledger.totals().await?.money.charged, PRICE.times(2));
    Ok(())
}

/// Refused calls of any kind do not touch those that wait with them.
pub async fn one_refused_event_of_many_fails_alone(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, vec![row(2, "a"), bad(row(3, "b")), row(4, "c")]).await?;
    let stale = Job { ledger, fence: crate::core::Fence(0), edition: Edition(0) };
    let answers = join_all([
        job.advance(1, intent()),
        job.advance(2, intent()),
        job.advance(99, intent()),
        stale.advance(3, intent()),
        job.advance(3, intent()),
        job.advance(1, accepted("r")),
    ])
    .await;
    assert!(answers[0].is_ok() && answers[4].is_ok() && answers[5].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(LedgerError::Illegal { item: ItemId(2), .. })));
    assert_eq!(answers[2], Err(LedgerError::UnknownItem(ItemId(99))));
    assert_eq!(answers[3], Err(LedgerError::StaleFence));
    assert_eq!(ledger.item(ItemId(1)).await?.state, ItemState::Submitted);
    assert_eq!(ledger.item(ItemId(3)).await?.state, ItemState::Submitting);
    Ok(())
}

/// A caller that goes away leaves its event applied wholly or not at all.
pub async fn a_call_that_is_not_awaited_breaks_nothing(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut job = start(ledger, rows(&["a", "b"])).await?;
    drop(ledger.advance(job.fence, ItemId(2), intent(), at(0)));
    let mut polled = ledger.advance(job.fence, ItemId(1), intent(), at(0));
    let _ = futures::poll!(&mut polled);
    drop(polled);
    // A write after it waits for it.
    job.read(rows(&["a", "b"])).await?;

    let states = [ledger.item(ItemId(1)).await?.state, ledger.item(ItemId(2)).await?.state];
    assert_eq!(states[1], ItemState::Staged);
    let begun = u64::from(states[0] == ItemState::Submitting);
    assert_eq!(ledger.audit().await?.attempts, begun);
    assert_eq!(ledger.totals().await?.money.reserved, PRICE.times(begun));
    Ok(())
}
