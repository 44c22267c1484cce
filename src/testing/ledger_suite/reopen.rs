//! What survives when a ledger is dropped at any time and opened again.

use super::{
    Home,
    samples::{
        accepted, at, completed, header, intent, kept_at, lost, offered, rows, start, whole_life,
    },
};
use crate::{
    core::{Endpoint, ItemEvent, ItemId, ItemState},
    ledger::{LedgerError, LedgerResult, Pauses, RowFilter},
};

/// Everything that a ledger can tell is the same after it was opened again.
pub async fn what_was_acknowledged_is_there(home: &dyn Home) -> LedgerResult<()> {
    let ledger = home.open().await?;
    let mut job = start(ledger.as_ref(), rows(&["a", "b", "c", "d", "removed", "a"])).await?;
    ledger.bind_service(job.fence, "https://a.example".to_owned()).await?;
    job.advance_all(5, vec![intent(), accepted("removed")]).await?;
    job.read(rows(&["a", "b", "c", "d", "a", "e"])).await?;
    job.advance_all(1, whole_life()).await?;
    job.advance_all(2, vec![intent(), lost(), ItemEvent::Resubmit, intent()]).await?;
    job.advance_all(3, vec![intent(), lost()]).await?;
    job.advance_all(4, vec![intent(), accepted("d"), completed()]).await?;

    let mut told = Vec::new();
    let mut ledger = ledger;
    for _ in 0..3 {
        told.push((
            ledger.job().await?,
            ledger.totals().await?,
            ledger.audit().await?,
            ledger.open_items(ItemState::ALL.to_vec(), ItemId(0), 100).await?,
            ledger.rows(RowFilter::All, 0, 100).await?,
            ledger.settled_rows(0, 100).await?,
        ));
        drop(ledger);
        ledger = home.open().await?;
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    assert_eq!(told[0].3.len(), 6);
    Ok(())
}

/// A pause is there for the next session, which can extend it and not shorten it.
pub async fn a_pause_outlives_who_heard_of_it(home: &dyn Home) -> LedgerResult<()> {
    let ledger = home.open().await?;
    let fence = ledger.begin_session().await?;
    ledger.pause(fence, Endpoint::Submit, at(30)).await?;
    ledger.pause(fence, Endpoint::Poll, at(20)).await?;
    drop(ledger);

    let ledger = home.open().await?;
    let fence = ledger.begin_session().await?;
    let kept = Pauses { submit: Some(kept_at(30)), poll: Some(kept_at(20)) };
    assert_eq!(ledger.job().await?.paused, kept);
    ledger.pause(fence, Endpoint::Submit, at(10)).await?;
    ledger.pause(fence, Endpoint::Poll, at(50)).await?;
    drop(ledger);
    let kept = Pauses { poll: Some(kept_at(50)), ..kept };
    assert_eq!(home.open().await?.job().await?.paused, kept);
    Ok(())
}

/// Ids, settlements, editions and fences go on where they were.
pub async fn numbers_are_never_given_twice(home: &dyn Home) -> LedgerResult<()> {
    let ledger = home.open().await?;
    let job = start(ledger.as_ref(), rows(&["a", "b"])).await?;
    let (fence, edition) = (job.fence, job.edition);
    job.advance_all(1, whole_life()).await?;
    job.advance_all(2, vec![intent(), lost()]).await?;
    let last = ledger.settled_rows(0, 10).await?[1].settlement;
    // The item with the highest number is not settled any more.
    job.advance(2, ItemEvent::Resubmit).await?;
    drop(ledger);

    let ledger = home.open().await?;
    let mut job = start(ledger.as_ref(), rows(&["a", "b", "c"])).await?;
    assert!(job.fence > fence && job.edition > edition);
    assert_eq!(offered(ledger.as_ref(), &ItemState::ALL).await?, [1, 2, 3]);
    job.advance_all(3, whole_life()).await?;
    let settled = ledger.settled_rows(0, 10).await?;
    assert!(settled.iter().all(|row| row.settlement > last), "{settled:?}");
    job.read(rows(&["A"])).await?;
    assert_eq!(ledger.item(ItemId(4)).await?.ordinal, 1);
    Ok(())
}

/// An edition that a crash has cut off is current until the next one begins.
pub async fn an_import_that_was_cut_off_starts_over(home: &dyn Home) -> LedgerResult<()> {
    let ledger = home.open().await?;
    let job = start(ledger.as_ref(), rows(&["a"])).await?;
    let finished = ledger.job().await?.finished;
    let cut_off = ledger.begin_edition(job.fence, header()).await?;
    ledger.import(job.fence, cut_off, rows(&["b", "c"])).await?;
    let totals = ledger.totals().await?;
    drop(ledger);

    let ledger = home.open().await?;
    assert_eq!(ledger.job().await?.finished, finished);
    assert_eq!(ledger.totals().await?, totals);
    assert_eq!(offered(ledger.as_ref(), &ItemState::ALL).await?, [2, 3]);
    start(ledger.as_ref(), rows(&["b", "c", "a"])).await?;
    assert_eq!(offered(ledger.as_ref(), &ItemState::ALL).await?, [1, 2, 3]);
    Ok(())
}

/// A session that is still there when another opens the ledger cannot write.
pub async fn an_old_session_stays_shut_out(home: &dyn Home) -> LedgerResult<()> {
    let old = home.open().await?;
    let job = start(old.as_ref(), rows(&["a", "b"])).await?;
    job.advance(1, intent()).await?;

    let new = home.open().await?;
    let fence = new.begin_session().await?;
    new.advance(fence, ItemId(1), accepted("r"), at(0)).await?;
    assert_eq!(job.advance(2, intent()).await, Err(LedgerError::StaleFence));
    assert_eq!(new.item(ItemId(2)).await?.state, ItemState::Staged);

    // A third session through the old handle knows what the second has done.
    let fence = old.begin_session().await?;
    old.advance(fence, ItemId(1), completed(), at(1)).await?;
    let totals = old.totals().await?;
    assert_eq!((totals.submits, totals.count(ItemState::Ready)), (1, 1));
    assert_eq!(totals.money.charged, old.audit().await?.counted.money.charged);
    Ok(())
}
