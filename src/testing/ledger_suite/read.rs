//! Reading: settlements, pages, filters.

use std::time::Duration;

use super::samples::{accepted, at, failure, header, intent, lost, row, rows, start, whole_life};
use crate::{
    core::{FailureCode, ItemEvent, ItemId, ItemState},
    ledger::{Ledger, LedgerResult, RowFilter},
};

async fn settled_items(ledger: &dyn Ledger) -> LedgerResult<Vec<i64>> {
    let rows = ledger.settled_rows(0, usize::MAX).await?;
    assert!(rows.is_sorted_by(|a, b| a.settlement <= b.settlement));
    Ok(rows.into_iter().map(|row| row.row.item.id.0).collect())
}

/// Rows come in the order in which their items were settled, not in manifest order,
/// and a reader that goes on from the last number misses and repeats nothing.
pub async fn settlements_come_in_order(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a", "b", "c", "d"])).await?;
    job.advance_all(3, whole_life()).await?;
    job.advance_all(1, vec![intent(), lost()]).await?;
    let first = ledger.settled_rows(0, 10).await?;
    assert_eq!(first.iter().map(|row| row.row.item.id.0).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(first[0].row.line, 4);
    assert_eq!(first[0].row.item, ledger.item(ItemId(3)).await?);

    let last = first[1].settlement;
    assert_eq!(ledger.settled_rows(last, 10).await?, []);
    job.advance_all(4, whole_life()).await?;
    let next = ledger.settled_rows(last, 10).await?;
    assert_eq!(next.iter().map(|row| row.row.item.id.0).collect::<Vec<_>>(), [4]);
    Ok(())
}

/// An item that is taken up again is not settled, and settles with a new number.
pub async fn a_retry_takes_a_settlement_back(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a", "b"])).await?;
    job.advance_all(1, vec![intent(), lost()]).await?;
    job.advance_all(2, whole_life()).await?;
    assert_eq!(settled_items(ledger).await?, [1, 2]);
    let last = ledger.settled_rows(0, 10).await?[1].settlement;

    job.advance(1, ItemEvent::Resubmit).await?;
    assert_eq!(settled_items(ledger).await?, [2]);
    assert_eq!(ledger.item(ItemId(1)).await?.settled_at, None);
    job.advance_all(1, whole_life()).await?;
    assert_eq!(settled_items(ledger).await?, [2, 1]);
    assert!(ledger.settled_rows(last, 10).await?[0].settlement > last);
    Ok(())
}

/// The time until an item was done, the latest first; other ends take a place, too.
pub async fn recent_times_are_of_what_was_done_last(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut job = start(ledger, rows(&["a", "b", "c", "d"])).await?;
    assert!(ledger.recent_times(10).await?.is_empty());
    let done = |seconds: i64| {
        let events = whole_life().into_iter();
        events.zip([0, 1, 2, seconds]).map(|(event, second)| (event, at(second)))
    };
    for (item, seconds) in [(2, 30), (1, 8)] {
        for (event, at) in done(seconds) {
            ledger.advance(job.fence, ItemId(item), event, at).await?;
        }
    }
    let seconds = |times: Vec<Duration>| times.iter().map(Duration::as_secs).collect::<Vec<_>>();
    assert_eq!(seconds(ledger.recent_times(10).await?), [8, 30]);
    assert_eq!(seconds(ledger.recent_times(1).await?), [8]);
    job.advance_all(3, vec![intent(), lost()]).await?;
    assert_eq!(seconds(ledger.recent_times(2).await?), [8]);
    assert!(ledger.recent_times(0).await?.is_empty());
    // A clock that was set back says nothing.
    for (event, at) in done(-60) {
        ledger.advance(job.fence, ItemId(4), event, at).await?;
    }
    assert_eq!(seconds(ledger.recent_times(10).await?), [8, 30]);
    // Items that the manifest has dropped are left out.
    job.read(rows(&["b"])).await?;
    assert_eq!(seconds(ledger.recent_times(10).await?), [30]);
    Ok(())
}

/// A page never ends between two rows of one item, for the next one starts after it.
pub async fn settled_rows_stop_after_a_whole_item(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a", "b", "a", "a", "b"])).await?;
    job.advance_all(2, whole_life()).await?;
    job.advance_all(1, whole_life()).await?;
    let mut pages = Vec::new();
    for limit in [1, 2, 3] {
        let mut after = 0;
        loop {
            let page = ledger.settled_rows(after, limit).await?;
            let Some(last) = page.last() else { break };
            after = last.settlement;
            pages.push(page.iter().map(|row| row.row.line).collect::<Vec<_>>());
        }
    }
    let (a, b) = (vec![2, 4, 5], vec![3, 6]);
    assert_eq!(pages, [b.clone(), a.clone(), b.clone(), a.clone(), [b, a].concat()]);
    let duplicates = ledger.settled_rows(0, 1).await?;
    assert_eq!(duplicates.iter().map(|row| row.row.first).collect::<Vec<_>>(), [true, false]);
    assert_eq!(ledger.settled_rows(0, 0).await?, []);
    Ok(())
}

/// A reader who goes on through an edit of the manifest sees each settled row of the
/// new edition once, and none of the old one.
pub async fn settled_items_are_reported_again_in_a_new_edition(
    ledger: &dyn Ledger,
) -> LedgerResult<()> {
    let mut job = start(ledger, rows(&["a", "b", "c"])).await?;
    job.advance_all(1, whole_life()).await?;
    job.advance_all(3, whole_life()).await?;
    let last = ledger.settled_rows(0, 10).await?[1].settlement;

    job.edition = ledger.begin_edition(job.fence, header()).await?;
    assert_eq!(ledger.settled_rows(0, 10).await?, []);
    ledger.import(job.fence, job.edition, vec![row(7, "c"), row(8, "b")]).await?;
    let rows = ledger.settled_rows(last, 10).await?;
    assert_eq!(rows.iter().map(|row| row.row.line).collect::<Vec<_>>(), [7]);
    ledger.finish_edition(job.fence, job.edition, String::new()).await?;
    assert_eq!(ledger.settled_rows(0, 10).await?, rows);
    Ok(())
}

/// Pages of items in several states, in id order, without gaps.
pub async fn open_items_come_in_pages(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut given = rows(&["a", "b", "c", "d", "e", "f", "g"]);
    for index in [1, 4, 6] {
        given[index].item.state = Ok(ItemState::Pending);
    }
    let job = start(ledger, given).await?;
    job.advance_all(4, vec![intent(), accepted("r")]).await?;
    job.advance_all(6, whole_life()).await?;

    let states = vec![ItemState::Submitted, ItemState::Pending, ItemState::Staged];
    let (mut after, mut pages) = (ItemId(0), Vec::new());
    loop {
        let page = ledger.open_items(states.clone(), after, 2).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        pages.push(page.iter().map(|item| item.id.0).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5, 7]]);
    assert_eq!(ledger.open_items(vec![], ItemId(0), 10).await?, []);
    let page = ledger.open_items(states, ItemId(3), 1).await?;
    assert_eq!(page, [ledger.item(ItemId(4)).await?]);
    Ok(())
}

/// Rows in manifest order, of the wanted outcome, in pages.
pub async fn rows_are_filtered_and_come_in_pages(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = start(ledger, rows(&["a", "b", "c", "d", "b", "e", "a"])).await?;
    let skipped = ItemEvent::Skipped { artifacts: vec![] };
    job.advance_all(1, vec![intent(), lost()]).await?;
    job.advance_all(2, whole_life()).await?;
    job.advance(3, ItemEvent::SourceRejected(failure(FailureCode::SourceUnreadable))).await?;
    job.advance(5, skipped).await?;
    let cases: [(RowFilter, &[i64]); 4] = [
        (RowFilter::Finished, &[3, 6, 7]),
        (RowFilter::Unfinished, &[2, 4, 8]),
        (RowFilter::Settled, &[2, 3, 4, 6, 7, 8]),
        (RowFilter::All, &[2, 3, 4, 5, 6, 7, 8]),
    ];
    for (filter, expected) in cases {
        let (mut after, mut lines) = (0, Vec::new());
        loop {
            let page = ledger.rows(filter, after, 2).await?;
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = last.line;
            lines.extend(page.iter().map(|row| row.line));
        }
        assert_eq!(lines, expected, "{filter:?}");
    }
    Ok(())
}
