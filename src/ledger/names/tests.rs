use std::collections::BTreeMap;

use proptest::prelude::*;
use sqlx::{Connection as _, SqliteConnection};

use super::{Entry, Name, Names, filter::Filter, segment::Segment};

const TABLES: &str = "CREATE TABLE segments (id INTEGER PRIMARY KEY, entries INTEGER NOT NULL, \
     buckets INTEGER NOT NULL, built INTEGER NOT NULL, target INTEGER) STRICT; \
     CREATE TABLE buckets (id INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT";

async fn database() -> SqliteConnection {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(TABLES).execute(&mut connection).await.unwrap();
    connection
}

/// The names table beside a map that says what should be in it.
struct Pair {
    connection: SqliteConnection,
    names: Names,
    slice: u64,
    expected: BTreeMap<Name, u64>,
}

impl Pair {
    async fn new(slice: u64) -> Self {
        let mut connection = database().await;
        let mut names = Names::load(&mut connection).await.unwrap();
        names.begin_edition();
        names.slice = slice;
        Self { connection, names, slice, expected: BTreeMap::new() }
    }

    async fn add(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            let value = self.expected.entry(entry.name).or_default();
            *value = entry.value.max(*value);
        }
        self.names.add(&mut self.connection, entries).await.unwrap();
    }

    async fn tidy(&mut self) -> bool {
        self.names.tidy(&mut self.connection).await.unwrap()
    }

    /// What a crash leaves: the tables of the last commit.
    async fn reopen(&mut self) {
        self.names = Names::load(&mut self.connection).await.unwrap();
        self.names.slice = self.slice;
    }

    async fn check(&mut self, unknown: &[Name]) {
        let asked = self.expected.keys().copied().chain(unknown.iter().copied());
        let asked: Vec<Name> = asked.collect();
        let found = self.names.find(&mut self.connection, asked.into_iter()).await.unwrap();
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), self.expected);
    }

    async fn names_kept(&mut self) -> i64 {
        let bytes = "SELECT coalesce(sum(length(entries)), 0) / 22 FROM buckets";
        sqlx::query_scalar(bytes).fetch_one(&mut self.connection).await.unwrap()
    }
}

/// Names that are spread as hashes are.
fn spread(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|n| Entry { name: Name::of_stem(&n.to_string()), value: n + 1 }).collect()
}

#[derive(Debug, Clone)]
enum Action {
    Add(Vec<(u128, u64)>),
    Tidy,
    Reopen,
}

/// Few names, so that they meet again; some at both ends of what there is, and many in one
/// bucket.
fn names() -> impl Strategy<Value = u128> {
    prop_oneof![
        (0_u128..40).prop_map(|n| n * (u128::MAX / 40)),
        0_u128..6,
        (0_u128..6).prop_map(|n| u128::MAX - n),
        (0_u128..6).prop_map(|n| (7 << 100) + n),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let entry = (names(), 0_u64..1 << 48);
    let action = prop_oneof![
        6 => prop::collection::vec(entry, 0..80).prop_map(Action::Add),
        6 => Just(Action::Tidy),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn names_are_kept_whatever_is_merged_when(actions in actions(), slice in 1_u64..4) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new(slice).await;
            let unknown: Vec<Name> = (50..60).map(|n| Name(n << 64)).collect();
            for action in actions {
                match action {
                    Action::Add(entries) => {
                        let entry = |(name, value)| Entry { name: Name(name), value };
                        pair.add(entries.into_iter().map(entry).collect()).await;
                    }
                    Action::Tidy => drop(pair.tidy().await),
                    Action::Reopen => pair.reopen().await,
                }
                pair.check(&unknown).await;
            }
            pair.names.end_edition();
            while pair.tidy().await {}
            pair.check(&unknown).await;
        });
    }
}

#[tokio::test]
async fn segments_stay_few_and_names_are_kept_once() {
    let mut pair = Pair::new(8).await;
    let mut most = 0;
    for batch in 0..400 {
        pair.add(spread(batch * 50..(batch + 1) * 50)).await;
        pair.tidy().await;
        most = most.max(pair.names.segments.len());
    }
    assert!(most < 60, "{most}");
    pair.check(&[]).await;
    pair.names.end_edition();
    while pair.tidy().await {}
    assert_eq!(pair.names.segments.len(), 1);
    assert_eq!(pair.names_kept().await, 20_000);
    pair.check(&[]).await;
    // A few more do not move the many.
    pair.add(spread(20_000..20_010)).await;
    assert!(!pair.tidy().await);
    pair.add(spread(20_010..20_020)).await;
    while pair.tidy().await {}
    assert_eq!(pair.names.segments.len(), 2);
    pair.check(&[]).await;
}

#[tokio::test]
async fn a_merge_that_was_cut_off_goes_on() {
    let mut pair = Pair::new(1).await;
    pair.add(spread(0..300)).await;
    pair.add(spread(200..500)).await;
    let mut slices = 0;
    loop {
        pair.reopen().await;
        pair.check(&[]).await;
        if !pair.tidy().await {
            break;
        }
        slices += 1;
    }
    assert_eq!(slices, 600_u64.div_ceil(40));
    assert_eq!(pair.names_kept().await, 500);
}

#[tokio::test]
async fn a_bucket_that_was_cut_is_damage() {
    let mut pair = Pair::new(1).await;
    pair.add(spread(0..10)).await;
    let cut = "UPDATE buckets SET entries = substr(entries, 1, length(entries) - 1)";
    sqlx::raw_sql(cut).execute(&mut pair.connection).await.unwrap();
    let asked = spread(0..1).into_iter().map(|entry| entry.name);
    let error = pair.names.find(&mut pair.connection, asked).await.unwrap_err();
    assert!(error.to_string().contains("a bucket of names is cut off"), "{error}");
}

#[test]
fn buckets_share_out_all_hashes_in_order() {
    for entries in [1, 39, 40, 41, 4_097, 1 << 40] {
        let segment = Segment::sized(3, entries);
        let first = segment.buckets.saturating_sub(200);
        let mut end = segment.tops(&(0..first)).end;
        for number in first..segment.buckets {
            let tops = segment.tops(&(number..number + 1));
            assert_eq!(tops.start, end, "without a gap");
            assert_eq!(segment.number(tops.start), number);
            assert_eq!(segment.number(tops.end - 1), number);
            end = tops.end;
        }
        assert_eq!(end, 1 << 64);
        assert_eq!(segment.number(end), segment.buckets);
        assert!(segment.row(segment.buckets) <= Segment::sized(4, 1).row(0));
    }
}

#[test]
fn the_filter_holds_what_was_inserted_and_little_else() {
    let mut filter = Filter::new();
    for entry in spread(0..100_000) {
        filter.insert(entry.name);
    }
    assert!(spread(0..100_000).iter().all(|entry| filter.may_hold(entry.name)));
    let wrong = spread(100_000..200_000).iter().filter(|entry| filter.may_hold(entry.name)).count();
    assert!(wrong < 10, "{wrong}");
}
