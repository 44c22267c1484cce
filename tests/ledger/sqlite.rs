//! What only a ledger on disk can get wrong: files, versions, damage, processes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::BoxFuture;
use restore_batch::{
    core::{FailureCode, ItemEvent, ItemId, ItemState, Micros},
    ledger::{Ledger, LedgerError, LedgerResult, RowFilter, SqliteLedger},
    testing::ledger_suite::{
        Home,
        samples::{accepted, at, bad, failure, intent, row, rows, start, whole_life},
    },
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// A folder for one ledger, gone at the end.
pub(crate) struct TempHome(tempfile::TempDir);

impl TempHome {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn ledger(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path()).await.unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("deep/.restore-batch/ledger.db")
    }

    /// Leaves a closed ledger with `items` items, the first of them done.
    async fn fill(&self, items: usize) {
        let ledger = self.ledger().await;
        let names: Vec<String> = (0..items).map(|n| format!("picture-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        start(&ledger, rows(&names)).await.unwrap().advance_all(1, whole_life()).await.unwrap();
        ledger.close().await;
    }
}

impl Home for TempHome {
    fn open(&self) -> BoxFuture<'_, LedgerResult<Box<dyn Ledger>>> {
        Box::pin(async { Ok(Box::new(SqliteLedger::open(&self.path()).await?) as Box<dyn Ledger>) })
    }
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn assert_refused(path: &Path, is_expected: fn(&LedgerError) -> bool) {
    for result in [SqliteLedger::open(path).await, SqliteLedger::open_read_only(path).await] {
        let error = result.err().unwrap();
        assert!(is_expected(&error), "{error}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let home = TempHome::new();
    home.fill(1).await;
    let mut connection = raw(&home.path()).await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let before = std::fs::read(home.path()).unwrap();
    assert_refused(&home.path(), |error| *error == LedgerError::Newer { found: 99, known: 4 })
        .await;
    assert_eq!(std::fs::read(home.path()).unwrap(), before);
}

#[tokio::test]
async fn bytes_that_are_no_database_are_refused_and_left_alone() {
    let home = TempHome::new();
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    let mut bytes = vec![0; 20_000];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    std::fs::write(home.path(), &bytes).unwrap();
    assert_refused(&home.path(), |error| {
        let text = error.to_string();
        matches!(error, LedgerError::Corrupt(_))
            && text.contains("ledger.db`")
            && text.contains("keep the file")
    })
    .await;
    assert_eq!(std::fs::read(home.path()).unwrap(), bytes);
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused() {
    let home = TempHome::new();
    home.fill(2_000).await;
    let whole = std::fs::read(home.path()).unwrap();
    for share in [2, 10] {
        std::fs::write(home.path(), &whole[..whole.len() / share]).unwrap();
        assert_refused(&home.path(), |error| matches!(error, LedgerError::Corrupt(_))).await;
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let home = TempHome::new();
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    let mut connection = raw(&home.path()).await;
    sqlx::raw_sql("CREATE TABLE items (id)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(home.path()).unwrap();
    assert_refused(&home.path(), |error| matches!(error, LedgerError::Corrupt(_))).await;
    assert_eq!(std::fs::read(home.path()).unwrap(), before);
}

#[tokio::test]
async fn a_missing_file_is_not_created_by_reading() {
    let home = TempHome::new();
    let error = SqliteLedger::open_read_only(&home.path()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    assert!(!home.path().exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let home = TempHome::new();
    std::fs::write(home.0.path().join("deep"), "a file").unwrap();
    let error = SqliteLedger::open(&home.path()).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Unavailable(text) if text.contains("ledger.db`")));
}

#[tokio::test]
async fn stored_nonsense_is_damage_and_not_a_crash() {
    let home = TempHome::new();
    home.fill(3).await;
    let mut connection = raw(&home.path()).await;
    sqlx::raw_sql(
        "UPDATE items SET scale = 70000 WHERE id = 1; \
         UPDATE items SET failure = '{' WHERE id = 2; UPDATE items SET tries = -1 WHERE id = 3",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let ledger = home.ledger().await;
    for id in 1..=3 {
        let error = ledger.item(ItemId(id)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Corrupt(_)), "{error}");
    }
}

#[tokio::test]
async fn closing_folds_the_log_into_the_file() {
    let home = TempHome::new();
    home.fill(10).await;
    let files: Vec<_> = std::fs::read_dir(home.path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["ledger.db"]);
}

#[tokio::test]
async fn status_reads_while_a_run_writes() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    let job = start(&ledger, rows(&["a", "b"])).await.unwrap();
    let status = SqliteLedger::open_read_only(&home.path()).await.unwrap();
    for event in whole_life() {
        job.advance(1, event).await.unwrap();
        assert_eq!(status.totals().await.unwrap(), ledger.totals().await.unwrap());
        let item = status.item(ItemId(1)).await.unwrap();
        assert_eq!(item, ledger.item(ItemId(1)).await.unwrap());
    }
    assert_eq!(status.rows(RowFilter::Finished, 0, 10).await.unwrap().len(), 1);

    let refused = status.begin_session().await.unwrap_err();
    assert!(matches!(refused, LedgerError::Unavailable(_)), "{refused}");
    status.close().await;
    ledger.close().await;

    // And after the run has ended.
    let status = SqliteLedger::open_read_only(&home.path()).await.unwrap();
    assert_eq!(status.totals().await.unwrap().count(ItemState::Done), 1);
}

/// Each task takes one item from `Staged` to `Done`, with every event sent twice by a
/// rival: each is acknowledged exactly once, and to somebody.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_at_once() {
    const ITEMS: i64 = 100;
    let home = TempHome::new();
    let ledger = Arc::new(home.ledger().await);
    let names: Vec<String> = (0..ITEMS).map(|n| format!("picture-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fence = start(ledger.as_ref(), rows(&names)).await.unwrap().fence;

    let mut tasks = tokio::task::JoinSet::new();
    for id in (1..=ITEMS).flat_map(|id| [id, id]) {
        let ledger = Arc::clone(&ledger);
        tasks.spawn(async move {
            let mut acknowledged = 0;
            for event in whole_life() {
                match ledger.advance(fence, ItemId(id), event, at(0)).await {
                    Ok(_) => acknowledged += 1,
                    Err(LedgerError::Illegal { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        });
    }
    let acknowledged: usize = tasks.join_all().await.into_iter().sum();
    let totals = ledger.totals().await.unwrap();
    let audit = ledger.audit().await.unwrap();
    assert_eq!(totals.money.charged, audit.counted.money.charged);
    assert_eq!(audit.attempts, 100);
    assert_eq!(audit.counted.money.charged + audit.counted.money.reserved, Micros(3_100 * ITEMS));
    let steps = |state| match state {
        ItemState::Submitting => 1,
        ItemState::Submitted => 2,
        ItemState::Ready => 3,
        ItemState::Done => 4,
        _ => 0,
    };
    let items = ledger.open_items(ItemState::ALL.to_vec(), ItemId(0), 1_000).await.unwrap();
    assert_eq!(items.into_iter().map(|item| steps(item.state)).sum::<usize>(), acknowledged);
}

/// Ends the process's part in the middle of writes, as far as that can be done without
/// ending the process: the runtime goes, and with it the writer, at any await point.
#[test]
fn a_runtime_that_goes_away_loses_nothing_acknowledged() {
    let home = TempHome::new();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let crashed = runtime();
    let acknowledged = crashed.block_on(async {
        let ledger = Arc::new(home.ledger().await);
        let names: Vec<String> = (0..500).map(|n| format!("picture-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let fence = start(ledger.as_ref(), rows(&names)).await.unwrap().fence;
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
        for id in 1..=500 {
            let (ledger, sender) = (Arc::clone(&ledger), sender.clone());
            tokio::spawn(async move {
                ledger.advance(fence, ItemId(id), intent(), at(0)).await.unwrap();
                sender.send(id).await.unwrap();
                ledger.advance(fence, ItemId(id), accepted("r"), at(0)).await.unwrap();
            });
        }
        let mut acknowledged = Vec::new();
        receiver.recv_many(&mut acknowledged, 40).await;
        acknowledged
    });
    crashed.shutdown_background();

    runtime().block_on(async {
        let ledger = home.ledger().await;
        for id in acknowledged {
            assert!(ledger.item(ItemId(id)).await.unwrap().state.is_owed(), "item {id}");
        }
        ledger.begin_session().await.unwrap();
        let (totals, audit) = (ledger.totals().await.unwrap(), ledger.audit().await.unwrap());
        assert_eq!(totals.money.reserved, audit.counted.money.reserved);
        assert_eq!(totals.count(ItemState::Staged) + audit.attempts, 500);
    });
}

/// When the database fails, every waiting call hears it, nothing is half-written, and
/// the ledger goes on once the cause is gone.
#[tokio::test]
async fn a_failed_commit_acknowledges_nothing() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    let job = start(&ledger, rows(&["a", "b", "c"])).await.unwrap();
    let before = ledger.totals().await.unwrap();
    let mut saboteur = raw(&home.path()).await;
    sqlx::raw_sql(
        "CREATE TRIGGER full BEFORE INSERT ON attempts WHEN new.item = 2 \
         BEGIN SELECT raise(ABORT, 'no space'); END",
    )
    .execute(&mut saboteur)
    .await
    .unwrap();

    let calls = (1..=3).map(|id| job.advance(id, intent()));
    for answer in futures::future::join_all(calls).await {
        assert!(matches!(answer, Err(LedgerError::Unavailable(_))), "{answer:?}");
    }
    assert_eq!(ledger.audit().await.unwrap().attempts, 0);
    assert_eq!(ledger.totals().await.unwrap(), before);

    sqlx::raw_sql("DROP TRIGGER full").execute(&mut saboteur).await.unwrap();
    saboteur.close().await.unwrap();
    for id in 1..=3 {
        job.advance(id, intent()).await.unwrap();
    }
    assert_eq!(ledger.totals().await.unwrap().money.reserved, Micros(9_300));
    assert_eq!(ledger.audit().await.unwrap().counted.money.reserved, Micros(9_300));
}

/// A ledger from before totals were kept has none until its next session.
#[tokio::test]
async fn what_is_not_kept_is_counted_once() {
    let home = TempHome::new();
    home.fill(3).await;
    let kept = async || {
        let mut connection = raw(&home.path()).await;
        let kept = sqlx::query_scalar("SELECT totals FROM job");
        kept.fetch_one(&mut connection).await.unwrap()
    };
    let before: Option<String> = kept().await;
    assert!(before.is_some());
    let mut connection = raw(&home.path()).await;
    sqlx::raw_sql("UPDATE job SET totals = NULL").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    for is_kept in [false, true] {
        let ledger = home.ledger().await;
        assert_eq!(ledger.totals().await.unwrap(), ledger.audit().await.unwrap().counted);
        assert_eq!(ledger.totals().await.unwrap().count(ItemState::Done), 1);
        assert_eq!(kept().await, before.clone().filter(|_| is_kept));
        ledger.begin_session().await.unwrap();
        ledger.close().await;
    }
}

#[tokio::test]
async fn a_copy_is_a_ledger_of_its_own() {
    let home = TempHome::new();
    home.fill(3).await;
    let run = home.ledger().await;
    let path = home.0.path().join("it's a copy.db");
    let looker = SqliteLedger::open_read_only(&home.path()).await.unwrap();
    looker.copy_to(&path).await.unwrap();
    let again = looker.copy_to(&path).await;
    assert!(matches!(again, Err(LedgerError::Unavailable(_))), "{again:?}");
    let copy = SqliteLedger::open(&path).await.unwrap();
    assert_eq!(copy.totals().await, run.totals().await);
    assert_eq!(copy.item(ItemId(1)).await, run.item(ItemId(1)).await);

    let before = run.totals().await.unwrap();
    start(&copy, rows(&["other"])).await.unwrap().advance(4, intent()).await.unwrap();
    assert_eq!(run.totals().await.unwrap(), before);
    assert_eq!(looker.totals().await.unwrap(), before);
}

/// What the look at the file says is what each item says of itself.
#[tokio::test]
async fn a_retry_has_something_to_do_unless_only_bad_rows_have_failed() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    let mut page = rows(&["a", "b"]);
    page.extend((4..40).map(|line| bad(row(line, &format!("bad-{line}")))));
    let job = start(&ledger, page).await.unwrap();
    assert!(!ledger.has_retriable().await.unwrap());
    job.advance_all(1, whole_life()).await.unwrap();
    for code in FailureCode::ALL {
        let item = job.advance(2, ItemEvent::SourceRejected(failure(code))).await.unwrap();
        let expected = item.retry_event(false).is_some();
        assert_eq!(ledger.has_retriable().await.unwrap(), expected, "{code}");
        job.advance(2, ItemEvent::RetrySubmit).await.unwrap();
    }
    ledger.close().await;
}
