//! Imports into the ledger on disk, held against the one in memory; and ledgers of earlier
//! versions of the program.

use proptest::prelude::*;
use restore_batch::{
    core::{Edition, Fence, ItemId, ItemState},
    ledger::{Ledger, MemoryLedger, NewRow, RowFilter, SqliteLedger},
    testing::ledger_suite::samples::{
        Job, accepted, bad, completed, header, intent, lost, row, rows, start, whole_life,
    },
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::sqlite::TempHome;

/// What one row of a generated manifest is about.
#[derive(Debug, Clone)]
struct Spec {
    picture: u8,
    stem: u8,
    bad: bool,
}

#[derive(Debug, Clone)]
enum Action {
    Import(Vec<Spec>),
    Settle(u8),
    /// The edition is read to its end, and the next one begins.
    Finish,
    /// The program ends without notice in the middle of an edition, and starts again.
    Crash,
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let spec = (0_u8..60, 0_u8..8, prop::bool::weighted(0.1))
        .prop_map(|(picture, stem, bad)| Spec { picture, stem, bad });
    prop::collection::vec(spec, 0..12)
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        12 => specs().prop_map(Action::Import),
        3 => (0_u8..60).prop_map(Action::Settle),
        1 => Just(Action::Finish),
        1 => Just(Action::Crash),
    ];
    prop::collection::vec(action, 1..80)
}

fn manifest_rows(line: &mut i64, specs: &[Spec]) -> Vec<NewRow> {
    let mut rows = Vec::new();
    for spec in specs {
        *line += 1;
        let mut new = row(*line, &format!("picture-{}", spec.picture));
        new.item.stem = format!("stem-{}", spec.stem);
        rows.push(if spec.bad { bad(new) } else { new });
    }
    rows
}

/// Everything the ledger tells.
async fn told(ledger: &dyn Ledger) -> String {
    let items = ledger.open_items(ItemState::ALL.to_vec(), ItemId(0), 1_000).await.unwrap();
    let mut known = Vec::new();
    for id in 1..=60 {
        known.push(ledger.item(ItemId(id)).await.ok());
    }
    let rows = ledger.rows(RowFilter::All, 0, 10_000).await.unwrap();
    let settled = ledger.settled_rows(0, 10_000).await.unwrap();
    let (totals, audit) = (ledger.totals().await.unwrap(), ledger.audit().await.unwrap());
    assert_eq!(totals, audit.counted);
    format!("{items:#?}\n{known:#?}\n{rows:#?}\n{settled:#?}\n{totals:?}\n{audit:?}")
}

/// Applies the same to both ledgers and compares what they answer.
struct Both {
    home: TempHome,
    disk: SqliteLedger,
    memory: MemoryLedger,
    fence: Fence,
    edition: Edition,
    line: i64,
}

impl Both {
    async fn new() -> Self {
        let home = TempHome::new();
        let (disk, memory) = (home.ledger().await, MemoryLedger::new());
        let mut both = Self { home, disk, memory, fence: Fence(0), edition: Edition(0), line: 0 };
        both.begin().await;
        both
    }

    async fn begin(&mut self) {
        let disk: &dyn Ledger = &self.disk;
        for ledger in [disk, &self.memory] {
            self.fence = ledger.begin_session().await.unwrap();
            self.edition = ledger.begin_edition(self.fence, header()).await.unwrap();
        }
        self.line = 1;
    }

    async fn apply(&mut self, action: Action) {
        match action {
            Action::Import(specs) => {
                let rows = manifest_rows(&mut self.line, &specs);
                let disk = self.disk.import(self.fence, self.edition, rows.clone()).await;
                let memory = self.memory.import(self.fence, self.edition, rows).await;
                assert_eq!(disk, memory);
            }
            Action::Settle(id) => {
                let id = i64::from(id);
                for ledger in [&self.disk as &dyn Ledger, &self.memory] {
                    let job = Job { ledger, fence: self.fence, edition: self.edition };
                    // Items that are not there, or not waiting, stay what they are.
                    let _ = job.advance_all(id, whole_life()).await;
                }
            }
            Action::Finish => {
                for ledger in [&self.disk as &dyn Ledger, &self.memory] {
                    ledger.finish_edition(self.fence, self.edition, "x".to_owned()).await.unwrap();
                }
                self.begin().await;
            }
            Action::Crash => {
                self.disk = self.home.ledger().await;
                self.begin().await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn both_ledgers_make_the_same_of_any_manifests(actions in actions()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut both = Both::new().await;
            for action in actions {
                both.apply(action).await;
            }
            assert_eq!(told(&both.disk).await, told(&both.memory).await);
            both.disk.close().await;
        });
    }
}

/// Long manifests are dropped in pieces, and none is forgotten.
#[tokio::test]
async fn rows_of_older_editions_are_dropped() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    let many = (2..9_002).map(|line| row(line, &format!("picture-{line}"))).collect();
    let mut job = start(&ledger, many).await.unwrap();
    job.read(rows(&["other"])).await.unwrap();
    ledger.close().await;
    let mut file = SqliteConnectOptions::new().filename(home.path()).connect().await.unwrap();
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM rows").fetch_one(&mut file).await.unwrap();
    assert_eq!(rows, 1);
}

/// Turns the ledger in a file into what version 2 of its schema would hold, with the keys of
/// these rows and of no others.
async fn make_old(home: &TempHome, known: &[NewRow]) {
    const TABLES: &str = include_str!("../../src/ledger/migrations/0001_ledger.sql");
    const SECRET: &str = include_str!("../../src/ledger/migrations/0002_callbacks_and_pauses.sql");
    const COPY: &str = "INSERT INTO editions SELECT * FROM new.editions; \
         INSERT INTO rows SELECT * FROM new.rows; \
         INSERT INTO attempts SELECT * FROM new.attempts; \
         UPDATE job SET (fence, settlement, service, callback_secret) = \
         (SELECT fence, settlement, service, callback_secret FROM new.job); \
         INSERT INTO stems SELECT lower(stem), max(ordinal) + 1 FROM new.items \
         WHERE failure IS NULL OR failure ->> '$.code' <> 'bad-row' GROUP BY lower(stem); \
         INSERT INTO items SELECT id, randomblob(16), edition, source, scale, version, stem, \
         ordinal, state, settlement, staged_url, tries, service_errors, refreshes, not_before, \
         request_id, polling_url, media, submitted_at, settled_at, attempt, booking, price, \
         charged, possibly_charged, failure, artifacts FROM new.items";
    let path = home.path().with_extension("old");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut old = options.connect().await.unwrap();
    sqlx::raw_sql(TABLES).execute(&mut old).await.unwrap();
    sqlx::raw_sql(SECRET).execute(&mut old).await.unwrap();
    let new = home.path();
    sqlx::query("ATTACH ?1 AS new").bind(new.to_str()).execute(&mut old).await.unwrap();
    sqlx::raw_sql(COPY).execute(&mut old).await.unwrap();
    for row in known {
        sqlx::query("UPDATE items SET key = ?1 WHERE source = ?2")
            .bind(row.item.key.0.to_vec())
            .bind(&row.item.source)
            .execute(&mut old)
            .await
            .unwrap();
    }
    old.close().await.unwrap();
    std::fs::copy(path, home.path()).unwrap();
}

/// A ledger of version 2 with items in all states, duplicates, a bad row and two editions.
#[tokio::test]
async fn a_ledger_of_an_older_version_is_brought_up_to_date() {
    let home = TempHome::new();
    let ledger = home.ledger().await;
    let mut first = rows(&["pending", "b", "c", "d", "e", "f", "g", "removed", "b", "x/B"]);
    first[9].item.stem = "B".to_owned();
    first.push(bad(row(40, "unreadable")));
    let mut job = start(&ledger, first.clone()).await.unwrap();
    for (id, life) in (2..).zip([
        vec![intent()],
        vec![intent(), accepted("r")],
        vec![intent(), accepted("s"), completed()],
        whole_life(),
        vec![intent(), lost()],
    ]) {
        job.advance_all(id, life).await.unwrap();
    }
    job.advance_all(8, vec![intent(), accepted("removed")]).await.unwrap();
    let mut second = first.clone();
    second.remove(7);
    job.read(second).await.unwrap();
    let before = told(&ledger).await;
    ledger.close().await;

    make_old(&home, &first).await;
    for _ in 0..2 {
        let ledger = home.ledger().await;
        assert_eq!(told(&ledger).await, before);
        ledger.close().await;
    }
    let ledger = home.ledger().await;
    let mut again = first.clone();
    let mut new = row(41, "new");
    new.item.stem = "b".to_owned();
    again.push(new);
    let fence = ledger.begin_session().await.unwrap();
    let edition = ledger.begin_edition(fence, header()).await.unwrap();
    let imported = ledger.import(fence, edition, again).await.unwrap();
    assert_eq!((imported.rows, imported.new_items, imported.duplicates), (12, 1, 1));
    assert_eq!(ledger.item(ItemId(11)).await.unwrap().ordinal, 2);
    ledger.close().await;
}
