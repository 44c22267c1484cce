//! How fast the ledger on disk is; for a person to run, on a machine that is idle:
//! `cargo test --release --test ledger -- --ignored --nocapture --test-threads 1`

use std::{sync::Arc, time::Duration};

use restore_batch::{
    core::{ItemId, ItemState},
    ledger::{Ledger, RowFilter, SqliteLedger},
    testing::ledger_suite::samples::{at, header, row, start, whole_life},
};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use tokio::time::Instant;

use crate::sqlite::TempHome;

const ROWS: i64 = 1_000_000;

#[expect(clippy::print_stderr, reason = "the numbers are the purpose")]
fn tell(what: &str, count: i64, took: Duration) {
    let times = f64::from(u32::try_from(count).unwrap());
    eprintln!("{what}: {count} in {took:.2?}, {:.0}/s", times / took.as_secs_f64());
}

/// Imports albums of `batch` pictures each, all of them twice.
async fn import(ledger: &SqliteLedger, batch: i64) {
    let fence = ledger.begin_session().await.unwrap();
    for round in ["new items", "known items"] {
        let edition = ledger.begin_edition(fence, header()).await.unwrap();
        let mut took = Duration::ZERO;
        for album in 0..ROWS / batch {
            let lines = album * batch..(album + 1) * batch;
            let rows =
                lines.map(|line| row(line, &format!("album-{album}/picture-{line}"))).collect();
            let begun = Instant::now();
            ledger.import(fence, edition, rows).await.unwrap();
            took += begun.elapsed();
        }
        tell(&format!("import of {round}, {batch} at a time"), ROWS, took);
        let begun = Instant::now();
        ledger.finish_edition(fence, edition, String::new()).await.unwrap();
        tell("finish", ROWS, begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn import_and_read_a_million_rows() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    import(&ledger, 10_000).await;
    ledger.close().await;
    let home = TempHome::new();
    let ledger = home.ledger().await;
    import(&ledger, 1_000).await;
    let begun = Instant::now();
    let mut after = 0;
    while let Some(last) = ledger.rows(RowFilter::All, after, 1_000).await.unwrap().last() {
        after = last.line;
    }
    tell("rows in pages of 1,000", ROWS, begun.elapsed());
    let begun = Instant::now();
    let mut after = ItemId(0);
    let states = vec![ItemState::Pending, ItemState::Staged];
    while let Some(last) = ledger.open_items(states.clone(), after, 500).await.unwrap().last() {
        after = last.id;
    }
    tell("open items in pages of 500", ROWS, begun.elapsed());
    ledger.close().await;
    let begun = Instant::now();
    let ledger = SqliteLedger::open(&home.path()).await.unwrap();
    tell("open", ROWS, begun.elapsed());
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn advance_from_many_tasks() {
    for tasks in [1, 16, 256] {
        let home = TempHome::new();
        let ledger = Arc::new(home.ledger().await);
        let items: i64 = if tasks == 1 { 2_000 } else { 20_480 };
        let rows = (1..=items).map(|line| row(line, &format!("picture-{line}"))).collect();
        let fence = start(ledger.as_ref(), rows).await.unwrap().fence;
        let begun = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for task in 0..tasks {
            let ledger = Arc::clone(&ledger);
            running.spawn(async move {
                for id in (1..=items).filter(|id| id % tasks == task) {
                    for event in whole_life() {
                        ledger.advance(fence, ItemId(id), event, at(0)).await.unwrap();
                    }
                }
            });
        }
        running.join_all().await;
        tell(&format!("advance from {tasks} tasks"), items * 4, begun.elapsed());
    }
}

/// What the end of a run of a million photos costs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn audit_a_million_items() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    import(&ledger, 10_000).await;
    let mut writer = SqliteConnectOptions::new().filename(home.path()).connect().await.unwrap();
    let finish = "UPDATE items SET state = 'done', charged = 3100, request_id = hex(randomblob(16)), \
         media = '[\"https://cdn.example.org/' || hex(randomblob(16)) || '.png\"]', \
         artifacts = '[{\"path\":\"images/' || stem || '.png\",\"blake3\":\"' || hex(randomblob(32)) || '\"}]', \
         attempt = 1, booking = 'charged', price = 3100; \
         INSERT INTO attempts SELECT id, 1, 'charged', 3100, request_id, 1, 1, 200 FROM items";
    sqlx::raw_sql(finish).execute(&mut writer).await.unwrap();
    for round in ["first", "second"] {
        let begun = Instant::now();
        let audit = ledger.audit().await.unwrap();
        tell(&format!("audit, {round} time"), ROWS, begun.elapsed());
        assert_eq!(
            (audit.attempts, audit.by_items.charged),
            (1_000_000, audit.counted.money.charged)
        );
    }
    ledger.close().await;
}
