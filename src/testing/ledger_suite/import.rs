//! Editions, rows and new items.

use super::samples::{
    Job, accepted, bad, completed, failure, header, intent, lost, offered, row, rows, start,
    whole_life,
};
use crate::{
    core::{Edition, FailureCode, Item, ItemEvent, ItemId, ItemState, Micros},
    ledger::{Imported, Ledger, LedgerError, LedgerResult, NewRow, RowFilter},
};

async fn lines(ledger: &dyn Ledger) -> LedgerResult<Vec<(i64, i64, bool)>> {
    let rows = ledger.rows(RowFilter::All, 0, usize::MAX).await?;
    Ok(rows.into_iter().map(|row| (row.line, row.item.id.0, row.first)).collect())
}

/// Ids are given in the order of rows, over all batches.
pub async fn ids_grow_in_row_order(ledger: &dyn Ledger) -> LedgerResult<()> {
    let fence = ledger.begin_session().await?;
    let edition = ledger.begin_edition(fence, header()).await?;
    let mut last = 0;
    for batch in 0..3 {
        let names: Vec<String> = (0..700).rev().map(|n| format!("{batch}-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows: Vec<NewRow> =
            (batch * 700 + 1..).zip(names).map(|(line, name)| row(line, name)).collect();
        let imported = ledger.import(fence, edition, rows).await?;
        assert_eq!(imported, Imported { rows: 700, new_items: 700, duplicates: 0 });
    }
    for (line, item, first) in lines(ledger).await? {
        assert!(item > last && first, "line {line}");
        assert_eq!(line, last + 1);
        last = item;
    }
    assert_eq!(last, 2_100);
    Ok(())
}

/// Rows with one identity name one item, within a batch and over batches.
pub async fn duplicates_share_an_item(ledger: &dyn Ledger) -> LedgerResult<()> {
    let fence = ledger.begin_session().await?;
    let edition = ledger.begin_edition(fence, header()).await?;
    let mut again = row(4, "a");
    "other".clone_into(&mut again.item.stem);
    let imported = ledger.import(fence, edition, vec![row(2, "a"), row(3, "b"), again]).await?;
    assert_eq!(imported, Imported { rows: 3, new_items: 2, duplicates: 1 });
    let imported = ledger.import(fence, edition, vec![row(5, "b"), row(6, "c")]).await?;
    assert_eq!(imported, Imported { rows: 2, new_items: 1, duplicates: 1 });
    assert_eq!(
        lines(ledger).await?,
        [(2, 1, true), (3, 2, true), (4, 1, false), (5, 2, false), (6, 3, true)]
    );
    assert_eq!(ledger.item(ItemId(1)).await?.stem, "a");
    let totals = ledger.totals().await?;
    assert_eq!((totals.rows, totals.all(), totals.count(ItemState::Staged)), (5, 3, 3));
    Ok(())
}

/// A bad row is an item that has failed, with its reason, from the start.
pub async fn bad_rows_have_failed_at_once(ledger: &dyn Ledger) -> LedgerResult<()> {
    start(ledger, vec![row(2, "a"), bad(row(3, "b"))]).await?;
    let item = ledger.item(ItemId(2)).await?;
    assert_eq!(item.state, ItemState::Failed);
    assert_eq!(item.failure, Some(failure(FailureCode::BadRow)));
    let settled = ledger.settled_rows(0, 10).await?;
    assert_eq!(settled.iter().map(|row| row.row.line).collect::<Vec<_>>(), [3]);
    assert_eq!(ledger.totals().await?.settled(), 1);
    Ok(())
}

/// A bad row that was corrected in the manifest becomes an item like any other, and
/// its name was not lost to it; one that was not corrected stays failed.
pub async fn a_corrected_row_starts_over(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut job = start(ledger, vec![bad(row(2, "a")), bad(row(3, "b"))]).await?;
    let mut corrected = row(2, "a");
    corrected.item.scale = 4;
    job.read(vec![corrected, bad(row(3, "b"))]).await?;
    let item = ledger.item(ItemId(1)).await?;
    assert_eq!((item.state, item.scale, item.failure), (ItemState::Staged, 4, None));
    assert_eq!(ledger.item(ItemId(1)).await?.ordinal, 0);
    assert_eq!(offered(ledger, &[ItemState::Staged]).await?, [1]);
    assert_eq!(offered(ledger, &[ItemState::Failed]).await?, [2]);
    assert_eq!(ledger.settled_rows(0, 10).await?.len(), 1);
    job.advance_all(1, whole_life()).await
}

/// The same item as `row`, at another address and with other wishes.
fn edited(mut row: NewRow, source: &str, state: ItemState) -> NewRow {
    source.clone_into(&mut row.item.source);
    row.item.scale = 4;
    "v2".clone_into(&mut row.item.version);
    "other".clone_into(&mut row.item.stem);
    row.item.state = Ok(state);
    row
}

/// Puts items 1 to 9 into each state once, and those that can have one give a staged URL.
async fn one_item_in_each_state(job: &Job<'_>) -> LedgerResult<()> {
    let staged = || ItemEvent::Staged { url: Some("https://files.example.org/old".to_owned()) };
    let lives = [
        vec![],
        vec![],
        vec![intent()],
        vec![intent(), accepted("r")],
        vec![intent(), accepted("r"), completed()],
        whole_life(),
        vec![intent(), ItemEvent::Rejected(failure(FailureCode::Rejected))],
        vec![intent(), lost()],
        vec![ItemEvent::Skipped { artifacts: vec![] }],
    ];
    for (id, life) in (1..).zip(lives) {
        job.advance_all(id, vec![ItemEvent::StageExpired, staged()]).await?;
        job.advance_all(id, life).await?;
    }
    job.advance(1, ItemEvent::StageExpired).await.map(drop)
}

/// A known item that is submitted later is submitted as its row says now; one that was
/// submitted stays what it was. Money, request and name stay in any case.
pub async fn what_a_row_says_now_counts_until_it_is_submitted(
    ledger: &dyn Ledger,
) -> LedgerResult<()> {
    let mut names: Vec<&str> = ItemState::ALL.iter().map(|state| state.as_str()).collect();
    names.push("unreadable");
    let mut job = start(ledger, rows(&names)).await?;
    one_item_in_each_state(&job).await?;
    for (source, state) in
        [("https://example.org/new?sig=2", ItemState::Staged), ("new/a.jpg", ItemState::Pending)]
    {
        let mut before = Vec::new();
        for id in 1..=10 {
            before.push(ledger.item(ItemId(id)).await?);
        }
        let mut next: Vec<NewRow> =
            rows(&names).into_iter().map(|row| edited(row, source, state)).collect();
        let unreadable = next.pop().map(bad);
        let later = edited(row(99, names[1]), "https://example.org/later", ItemState::Staged);
        next.extend(unreadable.into_iter().chain([later]));
        job.read(next).await?;
        for old in before {
            let new = ledger.item(old.id).await?;
            assert_eq!(new, renewed(old, job.edition, source, state));
        }
        let totals = ledger.totals().await?;
        let waiting = [ItemState::Pending, ItemState::Staged].map(|state| totals.count(state));
        // The unreadable one stays staged.
        let expected = if state == ItemState::Pending { [2, 1] } else { [0, 3] };
        assert_eq!(waiting, expected);
        assert_eq!(totals.all(), 10);
        assert_eq!(offered(ledger, &[state]).await?[..2], [1, 2]);
    }
    job.advance_all(2, vec![ItemEvent::Staged { url: None }]).await?;
    job.advance_all(2, whole_life()).await
}

/// What becomes of `old` when a row with this source moves it.
fn renewed(old: Item, edition: Edition, source: &str, row_state: ItemState) -> Item {
    let waits = matches!(old.state, ItemState::Pending | ItemState::Staged);
    let ended = matches!(old.state, ItemState::Failed | ItemState::InDoubt);
    if old.id == ItemId(10) || !(waits || ended) {
        return Item { edition, ..old };
    }
    let doubtful = old.state == ItemState::InDoubt && row_state == ItemState::Pending;
    Item {
        edition,
        source: source.to_owned(),
        scale: 4,
        version: "v2".to_owned(),
        state: if waits { row_state } else { old.state },
        staged_url: doubtful.then(|| source.to_owned()),
        ..old
    }
}

/// An edited manifest: new rows, removed rows, and rows that were there before.
pub async fn an_edited_manifest_replaces_rows_and_keeps_money(
    ledger: &dyn Ledger,
) -> LedgerResult<()> {
    let mut job = start(ledger, rows(&["done", "removed", "removed-done", "stays"])).await?;
    job.advance_all(1, whole_life()).await?;
    job.advance_all(3, whole_life()).await?;
    let before = ledger.item(ItemId(1)).await?;

    job.read(rows(&["new", "done", "stays", "done"])).await?;
    assert_eq!(lines(ledger).await?, [(2, 5, true), (3, 1, true), (4, 4, true), (5, 1, false)]);
    assert_eq!(offered(ledger, &ItemState::ALL).await?, [1, 4, 5]);
    let totals = ledger.totals().await?;
    assert_eq!((totals.rows, totals.all(), totals.count(ItemState::Done)), (4, 3, 1));
    assert_eq!(totals.money.charged, Micros(6_200));
    assert_eq!(totals.submits, 2);
    let after = ledger.item(ItemId(1)).await?;
    assert_eq!(after.edition, job.edition);
    assert_eq!(crate::core::Item { edition: before.edition, ..after }, before);
    Ok(())
}

/// Items that money is out for are offered although no row names them any more, and
/// only for as long.
pub async fn what_is_owed_is_offered_for_ever(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut job = start(ledger, rows(&["a", "b", "c"])).await?;
    job.advance(1, intent()).await?;
    job.advance_all(2, vec![intent(), accepted("r")]).await?;
    job.read(rows(&["d"])).await?;
    assert_eq!(offered(ledger, &ItemState::ALL).await?, [1, 2, 4]);
    assert_eq!(ledger.totals().await?.all(), 3);

    job.advance_all(2, whole_life().split_off(2)).await?;
    assert_eq!(offered(ledger, &ItemState::ALL).await?, [1, 4]);
    let totals = ledger.totals().await?;
    assert_eq!((totals.all(), totals.count(ItemState::Done)), (2, 0));
    assert_eq!(totals.money.charged, Micros(3_100));
    assert_eq!(totals.money.reserved, Micros(3_100));
    Ok(())
}

/// A manifest that was not read to its end is read again from its first row.
pub async fn an_unfinished_edition_is_replaced(ledger: &dyn Ledger) -> LedgerResult<()> {
    let fence = ledger.begin_session().await?;
    let cut_off = ledger.begin_edition(fence, header()).await?;
    ledger.import(fence, cut_off, rows(&["a", "b", "c"])).await?;
    assert_eq!(offered(ledger, &ItemState::ALL).await?, [1, 2, 3]);

    let edition = ledger.begin_edition(fence, header()).await?;
    assert_eq!(ledger.totals().await?.all(), 0);
    assert!(offered(ledger, &ItemState::ALL).await?.is_empty());
    let imported = ledger.import(fence, edition, rows(&["a", "b"])).await?;
    assert_eq!(imported, Imported { rows: 2, new_items: 0, duplicates: 0 });
    assert_eq!(ledger.job().await?.finished, None);
    ledger.finish_edition(fence, edition, "hash".to_owned()).await?;
    assert_eq!(offered(ledger, &ItemState::ALL).await?, [1, 2]);
    assert_eq!(ledger.job().await?.finished, Some((edition, "hash".to_owned())));
    Ok(())
}

/// Rows cannot be added to an edition that has ended or was replaced.
pub async fn rows_need_an_edition_that_is_being_read(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut job = start(ledger, rows(&["a"])).await?;
    let first = job.edition;
    job.read(rows(&["b"])).await?;
    for edition in [first, job.edition, Edition(job.edition.0 + 1)] {
        let refused = || Err(LedgerError::NotReading(edition));
        let imported = ledger.import(job.fence, edition, rows(&["c"])).await;
        assert_eq!(imported.map(drop), refused());
        let finished = ledger.finish_edition(job.fence, edition, String::new()).await;
        assert_eq!(finished, refused());
    }
    assert_eq!(lines(ledger).await?, [(2, 2, true)]);
    Ok(())
}

/// The same name on some file system counts as the same, in import order, for ever.
pub async fn stems_are_counted_without_regard_to_case(ledger: &dyn Ledger) -> LedgerResult<()> {
    let named = |line, stem: &str| {
        let mut row = row(line, &format!("source-{line}"));
        stem.clone_into(&mut row.item.stem);
        row
    };
    let fence = ledger.begin_session().await?;
    let edition = ledger.begin_edition(fence, header()).await?;
    let first =
        vec![named(1, "x/Photo"), named(2, "x/photo"), named(3, "photo"), named(1, "x/Photo")];
    let first = first.into_iter().zip(1..).map(|(row, line)| NewRow { line, ..row }).collect();
    ledger.import(fence, edition, first).await?;
    let second =
        vec![named(5, "X/PHOTO"), named(6, "stra\u{df}e/\u{e9}"), named(7, "STRA\u{df}E/e\u{301}")];
    ledger.import(fence, edition, second).await?;
    let mut job = Job { ledger, fence, edition };
    job.read(vec![named(9, "X/photo")]).await?;

    let mut ordinals = Vec::new();
    for id in 1..=7 {
        ordinals.push(ledger.item(ItemId(id)).await?.ordinal);
    }
    assert_eq!(ordinals, [0, 1, 0, 2, 0, 1, 3]);
    let unknown = ledger.item(ItemId(8)).await;
    assert_eq!(unknown, Err(LedgerError::UnknownItem(ItemId(8))));
    Ok(())
}

/// Cells and sources come back as they were, whatever is in them.
pub async fn any_text_comes_back(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut texts: Vec<String> = (0..=0x2FF).filter_map(char::from_u32).map(String::from).collect();
    texts.extend(
        ["", "null", "[1]", "\"", "\\u0000", "a\u{0}b", "\r\n", "\u{10FFFF}\u{1F5BC}"]
            .map(String::from),
    );
    let given: Vec<NewRow> = (1..)
        .zip(&texts)
        .map(|(line, text)| {
            let mut row = row(line, &format!("picture-{line}"));
            row.item.source.clone_from(text);
            row.cells = vec![text.clone(), String::new(), format!("{text}{text}")];
            row
        })
        .collect();
    start(ledger, given.clone()).await?;
    for (given, kept) in given.iter().zip(ledger.rows(RowFilter::All, 0, usize::MAX).await?) {
        assert_eq!((given.line, &given.cells), (kept.line, &kept.cells));
        assert_eq!(given.item.source, kept.item.source);
    }
    Ok(())
}
