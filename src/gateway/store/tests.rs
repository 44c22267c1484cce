use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use super::{Callback, Ended, IdempotencyKey, Record, ResultFacts, State, rows::Kept};
use crate::{api::wire::Status, core::Micros, gateway::StateError};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(id: &str) -> Record {
    Record {
        id: id.to_owned(),
        account: "one".into(),
        submit: 7,
        img: "https://h/ä.png".to_owned(),
        scale: 3,
        version: "v1.3".to_owned(),
        status: Status::Queued,
        created_at: at(1),
        updated_at: at(1),
        completed_at: None,
        error: None,
        result: None,
        report: None,
        starts: 0,
        charged: Micros(10),
        idempotency: Some(IdempotencyKey { key: format!("k-{id}"), body: blake3::hash(b"b") }),
        callback: Some(Callback { url: "https://c/?t=1".to_owned(), attempts: 0, due: None }),
    }
}

fn completed() -> Ended {
    Ended {
        at: at(5),
        status: Status::Completed,
        error: None,
        result: Some(ResultFacts { bytes: 99, blake3: blake3::hash(b"r") }),
        report: Some(json!({ "engine": "local", "noise": 1.5 })),
    }
}

fn failed(status: Status) -> Ended {
    let error = Some("why".to_owned());
    Ended { at: at(5), status, error, result: None, report: None }
}

async fn open(folder: &Path) -> (State, Kept) {
    State::open(Some(folder)).await.unwrap()
}

/// Returns the one request and what its account has spent.
fn one(kept: &Kept) -> (Record, Micros) {
    let ([record], [(name, spent)]) = (&kept.records[..], &kept.spent[..]) else {
        panic!("{kept:?}");
    };
    assert_eq!(**name, *"one");
    (record.clone(), *spent)
}

#[tokio::test]
async fn a_request_is_kept_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (state, kept) = open(folder.path()).await;
    assert!(kept.records.is_empty() && kept.spent.is_empty());
    let bare = Record { idempotency: None, callback: None, ..record("bare") };
    state.store.accept(bare.clone()).await.unwrap();
    state.close().await;
    let (state, kept) = open(folder.path()).await;
    assert_eq!(one(&kept), (bare, Micros(10)));
    state.store.remove(vec!["bare".to_owned()]).await.unwrap();
    state.store.accept(record("whole")).await.unwrap();
    state.close().await;
    let (state, kept) = open(folder.path()).await;
    assert_eq!(one(&kept), (record("whole"), Micros(20)), "what was spent is not forgotten");

    state.store.starts("whole", 2).await.unwrap();
    state.close().await;
    let (state, kept) = open(folder.path()).await;
    assert_eq!(one(&kept).0, Record { starts: 2, ..record("whole") });
    state.store.starts("whole", 0).await.unwrap();

    let mut ended = record("whole");
    assert_eq!(ended.end(completed()), Micros(0));
    state.store.end(ended.clone(), Micros(0)).await.unwrap();
    state.close().await;
    let (state, kept) = open(folder.path()).await;
    assert_eq!(ended.callback.as_ref().unwrap().due, Some(at(5)), "in the same transaction");
    assert_eq!(one(&kept), (ended.clone(), Micros(20)));

    state.store.callback("whole", 2, Some(at(9))).await.unwrap();
    state.close().await;
    let (state, kept) = open(folder.path()).await;
    let callback = one(&kept).0.callback.unwrap();
    assert_eq!((callback.attempts, callback.due), (2, Some(at(9))));
    state.store.callback("whole", 2, None).await.unwrap();
    state.close().await;
    let (_state, kept) = open(folder.path()).await;
    assert_eq!(one(&kept).0.callback.unwrap().due, None);
}

#[tokio::test]
async fn an_error_is_refunded_once_and_a_failure_never() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = open(folder.path()).await;
    for id in ["error", "failed"] {
        state.store.accept(record(id)).await.unwrap();
    }
    let mut error = record("error");
    let refund = error.end(failed(Status::Error));
    assert_eq!((refund, error.charged), (Micros(10), Micros(0)));
    for _ in 0..2 {
        state.store.end(error.clone(), refund).await.unwrap();
    }
    let mut failure = record("failed");
    let refund = failure.end(failed(Status::Failed));
    assert_eq!((refund, failure.charged), (Micros(0), Micros(10)));
    state.store.end(failure.clone(), refund).await.unwrap();
    state.close().await;
    let (_state, kept) = open(folder.path()).await;
    assert_eq!(kept.records, [error, failure]);
    assert_eq!(kept.spent, [("one".into(), Micros(10))]);
}

#[tokio::test]
async fn many_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = open(folder.path()).await;
    let ids: Vec<String> = (0..300).map(|number| format!("id-{number:03}")).collect();
    let accepts = ids.iter().map(|id| state.store.accept(record(id)));
    for accepted in futures::future::join_all(accepts).await {
        accepted.unwrap();
    }
    state.close().await;
    state.store.accept(record("late")).await.unwrap_err();
    let (_state, kept) = open(folder.path()).await;
    assert!(kept.records.iter().map(|record| &record.id).eq(&ids));
    assert_eq!(kept.spent, [("one".into(), Micros(3_000))]);
}

#[tokio::test]
async fn a_key_names_one_request_whatever_was_heard_of_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = open(folder.path()).await;
    assert_eq!(state.store.accept(record("first")).await, Ok(None));
    let again = Record { id: "again".to_owned(), ..record("first") };
    assert_eq!(state.store.accept(again.clone()).await, Ok(Some(Box::new(record("first")))));
    let another = Record { account: "two".into(), ..again };
    assert_eq!(state.store.accept(another.clone()).await, Ok(None), "of another account");
    state.close().await;
    let (_state, kept) = open(folder.path()).await;
    assert_eq!(kept.records, [another, record("first")]);
    assert_eq!(kept.spent, [("one".into(), Micros(10)), ("two".into(), Micros(10))]);
}

#[tokio::test]
async fn one_folder_one_gateway_and_nobody_else_s_business() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let (state, _) = open(&inner).await;
    let mode = std::fs::metadata(&inner).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
    let error = State::open(Some(&inner)).await.unwrap_err();
    assert!(matches!(error, StateError::InUse(_)), "{error}");
    state.close().await;
    open(&inner).await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    use sqlx::{ConnectOptions as _, Connection as _};
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.0.close().await;
    let file = folder.path().join("gateway.db");
    let options = crate::sqlite::writer_options(&file, "test");
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = State::open(Some(folder.path())).await.unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("update restore-batch"), "{error}");
}
