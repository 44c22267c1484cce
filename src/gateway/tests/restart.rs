//! What a gateway still knows after it was started again.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use futures::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::bench::{Bench, CrashingEngine, assert_error, png, settings};
use crate::{
    api::wire::SUBMIT_PATH,
    core::Micros,
    engine::InstantEngine,
    gateway::{Gateway, GatewayError, GatewaySettings, Retention, StateError, store::State},
    sqlite::writer_options,
    testing::{
        HeldEngine,
        scripted_server::{Reply, ScriptedServer},
    },
};

fn in_folder(folder: &Path) -> GatewaySettings {
    GatewaySettings { state: Some(folder.to_owned()), ..settings() }
}

/// A server with a picture that outlives every gateway.
async fn source() -> (ScriptedServer, String) {
    let server = ScriptedServer::start(Vec::new()).await.on("GET /a.png", Reply::ok(png()));
    let img = server.url("/a.png");
    (server, img)
}

async fn accepted(bench: &Bench, img: &str) -> String {
    let reply = bench.submit(img).await;
    assert_eq!(reply.status(), 202);
    request_id(reply).await
}

async fn request_id(reply: Response) -> String {
    let reply: Value = reply.json().await.unwrap();
    reply["request_id"].as_str().unwrap().to_owned()
}

/// Submits `img` with an idempotency key.
async fn submit_with_key(bench: &Bench, img: &str, key: &str) -> Response {
    let submit = bench.post(SUBMIT_PATH).header("Idempotency-Key", key);
    submit.json(&json!({ "img": img })).send().await.unwrap()
}

#[tokio::test]
async fn what_was_accepted_is_done_and_stays_done() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let held = Arc::new(HeldEngine::default());
    let bench = Bench::with_engine(in_folder(folder.path()), held as _).await;
    let mut before = Vec::new();
    for _ in 0..6 {
        let id = accepted(&bench, &img).await;
        before.push((bench.status(&id).await["created_at"].clone(), id));
    }
    bench.until(&before[0].1, &["PROCESSING"]).await;
    bench.stop().await;

    let bench = Bench::start(in_folder(folder.path())).await;
    let mut results = Vec::new();
    for (created_at, id) in &before {
        let status = bench.ended(id).await;
        assert_eq!((&status["status"], &status["created_at"]), (&"COMPLETED".into(), created_at));
        results.push(bench.get(&format!("/media/{id}/output.png")).send().await.unwrap());
    }
    let first = results.remove(0).bytes().await.unwrap();
    assert_eq!(bench.handle.stats().charged, Micros(6 * 3_100));
    bench.stop().await;

    let bench =
        Bench::with_engine(in_folder(folder.path()), Arc::new(CrashingEngine::default())).await;
    let id = &before[0].1;
    assert_eq!(bench.status(id).await["status"], "COMPLETED");
    let media = bench.get(&format!("/media/{id}/output.png")).send().await.unwrap();
    assert_eq!(media.bytes().await.unwrap(), first);
    let stats = bench.handle.stats();
    assert_eq!((stats.completed, stats.charged), (6, Micros(6 * 3_100)));
    bench.stop().await;
}

#[tokio::test]
async fn a_result_that_is_there_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let held = Arc::new(HeldEngine::default());
    let bench = Bench::with_engine(in_folder(folder.path()), held as _).await;
    let [whole, cut] = [accepted(&bench, &img).await, accepted(&bench, &img).await];
    bench.stop().await;
    // As if the process had been killed between the result and the row.
    let result = |id: &str| folder.path().join("results").join(id).with_extension("png");
    std::fs::write(result(&whole), png()).unwrap();
    std::fs::write(result(&cut), &png()[..20]).unwrap();

    let bench =
        Bench::with_engine(in_folder(folder.path()), Arc::new(CrashingEngine::default())).await;
    assert_eq!(bench.status(&whole).await["status"], "COMPLETED");
    let media = bench.get(&format!("/media/{whole}/output.png")).send().await.unwrap();
    assert_eq!(media.bytes().await.unwrap(), png());
    assert_eq!(bench.ended(&cut).await["status"], "ERROR");
    assert_eq!(bench.handle.stats().charged, Micros(3_100));
    bench.stop().await;
}

#[tokio::test]
async fn money_is_remembered_and_a_larger_grant_tops_up() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let settings =
        |balance| GatewaySettings { balance: Some(Micros(balance)), ..in_folder(folder.path()) };
    let bench = Bench::with_engine(settings(6_200), Arc::new(CrashingEngine::default())).await;
    let refunded = accepted(&bench, &img).await;
    assert_eq!(bench.ended(&refunded).await["status"], "ERROR");
    bench.stop().await;
    let bench = Bench::start(settings(6_200)).await;
    assert_eq!(bench.handle.stats().charged, Micros(0));
    for _ in 0..2 {
        let id = accepted(&bench, &img).await;
        bench.ended(&id).await;
    }
    bench.stop().await;
    let bench = Bench::start(settings(6_200)).await;
    assert_error(bench.submit(&img).await, 402, "Insufficient Balance").await;
    bench.stop().await;
    let bench = Bench::start(settings(9_300)).await;
    accepted(&bench, &img).await;
    assert_error(bench.submit(&img).await, 402, "Insufficient Balance").await;
    assert_eq!(bench.handle.stats().charged, Micros(9_300));
    bench.stop().await;
}

#[tokio::test]
async fn the_same_submit_twice_is_one_request_also_later_and_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let bench = Bench::start(in_folder(folder.path())).await;
    let replies = join_all((0..8).map(|_| submit_with_key(&bench, &img, "a"))).await;
    let ids = join_all(replies.into_iter().map(request_id)).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let other = request_id(submit_with_key(&bench, &img, "b").await).await;
    assert_ne!(other, ids[0]);
    bench.ended(&ids[0]).await;
    bench.stop().await;

    let bench = Bench::start(in_folder(folder.path())).await;
    let again = submit_with_key(&bench, &img, "a").await;
    assert_eq!(again.status(), 202);
    assert_eq!(request_id(again).await, ids[0]);
    let conflict = submit_with_key(&bench, "http://127.0.0.1:9/b", "a").await;
    assert_error(conflict, 422, "Unprocessable Content").await;
    assert_error(submit_with_key(&bench, &img, "a b").await, 400, "Bad Request").await;
    assert_eq!(bench.handle.stats().charged, Micros(2 * 3_100));
    bench.stop().await;
}

#[tokio::test]
async fn a_key_is_forgotten_with_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let retention = Retention { requests: 1, ..Retention::default() };
    let settings = || GatewaySettings { retention, ..in_folder(folder.path()) };
    let bench = Bench::start(settings()).await;
    let first = request_id(submit_with_key(&bench, &img, "a").await).await;
    bench.ended(&first).await;
    let second = accepted(&bench, &img).await;
    bench.ended(&second).await;
    bench.handle.shared.sweep().await;
    let again = request_id(submit_with_key(&bench, &img, "a").await).await;
    assert_ne!(again, first);
    bench.ended(&again).await;
    bench.stop().await;
    let bench = Bench::start(settings()).await;
    let names: Vec<_> = bench.handle.shared.requests.booked();
    let names: Vec<_> = names.iter().map(|request| request.request_id.as_str()).collect();
    assert_eq!(names, [again.as_str()]);
    bench.stop().await;
}

#[tokio::test]
async fn what_could_not_be_swept_is_swept_later_and_its_key_is_known_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let retention = Retention { requests: 1, ..Retention::default() };
    let bench = Bench::start(GatewaySettings { retention, ..in_folder(folder.path()) }).await;
    let mut database = connect(folder.path()).await;
    let refuse = "CREATE TRIGGER no BEFORE DELETE ON requests BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::raw_sql(refuse).execute(&mut database).await.unwrap();
    let first = request_id(submit_with_key(&bench, &img, "a").await).await;
    bench.ended(&first).await;
    let second = accepted(&bench, &img).await;
    bench.ended(&second).await;
    let shared = &bench.handle.shared;
    shared.sweep().await;
    let file = shared.requests.result_path(&first);
    assert!(file.exists());
    assert_eq!(request_id(submit_with_key(&bench, &img, "a").await).await, first);
    sqlx::raw_sql("DROP TRIGGER no").execute(&mut database).await.unwrap();
    shared.sweep().await;
    assert!(!file.exists() && shared.requests.result_path(&second).exists());
    assert_ne!(request_id(submit_with_key(&bench, &img, "a").await).await, first);
    bench.stop().await;
}

/// Opens a gateway's database beside it.
async fn connect(folder: &Path) -> SqliteConnection {
    writer_options(&folder.join("gateway.db"), "test").connect().await.unwrap()
}

#[tokio::test]
async fn results_outlive_a_database_that_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let bench = Bench::start(in_folder(folder.path())).await;
    let id = accepted(&bench, &img).await;
    bench.ended(&id).await;
    let file = bench.handle.shared.requests.result_path(&id);
    let result = std::fs::read(&file).unwrap();
    bench.stop().await;
    std::fs::remove_file(folder.path().join("gateway.db")).unwrap();
    let bench = Bench::start(in_folder(folder.path())).await;
    let orphan = folder.path().join("results/orphaned").join(file.file_name().unwrap());
    bench.handle.shared.sweep_orphans().await;
    assert_eq!(std::fs::read(&orphan).unwrap(), result);
    assert!(!file.exists());
    bench.stop().await;
    let age = Duration::ZERO;
    let retention = Retention { age, ..Retention::default() };
    let bench = Bench::start(GatewaySettings { retention, ..in_folder(folder.path()) }).await;
    bench.handle.shared.sweep_orphans().await;
    assert!(!orphan.exists());
    bench.stop().await;
}

#[tokio::test]
async fn two_gateways_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(in_folder(folder.path())).await;
    let second = || Gateway::bind(in_folder(folder.path()), Arc::new(InstantEngine));
    let error = second().await.unwrap_err();
    assert!(matches!(error, GatewayError::State(StateError::InUse(_))), "{error}");
    bench.stop().await;
    second().await.unwrap();
}

#[tokio::test]
async fn another_program_s_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.db");
    std::fs::write(&file, "no database at all, and longer than a header needs to be").unwrap();
    let error = Gateway::bind(in_folder(folder.path()), Arc::new(InstantEngine)).await.unwrap_err();
    assert!(matches!(error, GatewayError::State(StateError::Database { .. })), "{error}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("no database"));
}

#[tokio::test]
async fn without_its_database_it_accepts_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let bench = Bench::start(in_folder(folder.path())).await;
    let ready = async || {
        let reply = bench.request("GET", "/readyz").send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    let (status, body) = ready().await;
    assert_eq!((status, &body["status"]), (200, &"ready".into()), "{body}");
    std::fs::remove_file(folder.path().join("gateway.db")).unwrap();
    bench.handle.shared.readiness.forget().await;
    let (status, body) = ready().await;
    assert_eq!((status, &body["status"]), (503, &"not ready".into()));
    assert_eq!(body["checks"]["store"], "it cannot be written");
    assert_eq!(body["checks"]["workers"], "ok");
    assert_error(bench.submit(&img).await, 503, "Service Unavailable").await;
    let books = bench.handle.stats();
    assert_eq!((books.charged, books.queued, books.completed), (Micros(0), 0, 0));
    assert_eq!(bench.request("GET", "/healthz").send().await.unwrap().status(), 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_picture_that_ends_the_gateway_again_and_again_is_given_up_and_refunded() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let held = Arc::new(HeldEngine::default());
    let bench = Bench::with_engine(in_folder(folder.path()), held as _).await;
    let [third, second] = [accepted(&bench, &img).await, accepted(&bench, &img).await];
    while bench.handle.shared.requests.starts(&third) != Some(1) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bench.stop().await;
    let (state, kept) = State::open(Some(folder.path())).await.unwrap();
    let starts: Vec<_> = kept.records.iter().map(|record| record.starts).collect();
    assert_eq!(starts, [0, 0], "an end in good order is no crash");
    // As if the process had been killed so often.
    state.store.starts(&third, 3).await.unwrap();
    state.store.starts(&second, 2).await.unwrap();
    state.close().await;

    let bench = Bench::start(in_folder(folder.path())).await;
    let status = bench.ended(&third).await;
    assert_eq!(status["status"], "ERROR", "{status}");
    assert!(status["error"].as_str().unwrap().contains("ended the gateway 3 times"), "{status}");
    assert_eq!(bench.ended(&second).await["status"], "COMPLETED");
    assert_eq!(bench.handle.stats().charged, Micros(3_100));
    bench.stop().await;
}

#[tokio::test]
async fn a_picture_that_may_have_ended_the_gateway_is_restored_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let workers = NonZeroUsize::new(3).unwrap();
    let settings = || GatewaySettings { workers, ..in_folder(folder.path()) };
    let held = || Arc::new(HeldEngine::default());
    let bench = Bench::with_engine(settings(), held() as _).await;
    let ids = [accepted(&bench, &img).await, accepted(&bench, &img).await];
    bench.stop().await;
    let (state, _) = State::open(Some(folder.path())).await.unwrap();
    for id in &ids {
        state.store.starts(id, 1).await.unwrap();
    }
    state.close().await;

    let engine = held();
    let bench = Bench::with_engine(settings(), Arc::clone(&engine) as _).await;
    let starts = |id: &String| bench.handle.shared.requests.starts(id).unwrap();
    for id in &ids {
        bench.until(id, &["PROCESSING"]).await;
    }
    while ids.iter().map(starts).sum::<u32>() < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let other = accepted(&bench, &img).await;
    bench.until(&other, &["PROCESSING"]).await;
    assert_eq!((ids.iter().map(starts).sum::<u32>(), starts(&other)), (3, 0), "one is alone");
    engine.let_all_pass();
    for id in ids.iter().chain([&other]) {
        assert_eq!(bench.ended(id).await["status"], "COMPLETED");
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_was_certainly_not_kept_may_come_again_and_what_was_kept_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, img) = source().await;
    let bench = Bench::start(in_folder(folder.path())).await;
    let mut database = connect(folder.path()).await;
    // Refused before the commit.
    let before = "CREATE TRIGGER no BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::raw_sql(before).execute(&mut database).await.unwrap();
    let refused = submit_with_key(&bench, &img, "a").await;
    assert_error(refused, 503, "Service Unavailable").await;
    sqlx::raw_sql("DROP TRIGGER no").execute(&mut database).await.unwrap();
    // Refused by the commit, which checks what is deferred.
    let at_commit = "CREATE TABLE one (id INTEGER PRIMARY KEY); CREATE TABLE other \
         (one INTEGER REFERENCES one (id) DEFERRABLE INITIALLY DEFERRED); \
         CREATE TRIGGER no AFTER INSERT ON requests BEGIN INSERT INTO other VALUES (7); END";
    sqlx::raw_sql(at_commit).execute(&mut database).await.unwrap();
    let unknown = submit_with_key(&bench, &img, "a").await;
    assert_error(unknown, 500, "Internal Server Error").await;
    sqlx::raw_sql("DROP TRIGGER no").execute(&mut database).await.unwrap();
    assert_eq!(bench.handle.stats().charged, Micros(0));

    // As if that commit had gone through.
    let first = request_id(submit_with_key(&bench, &img, "b").await).await;
    bench.ended(&first).await;
    let change = "UPDATE requests SET idempotency_key = 'a', id = 'gfpgan_kept', state = 'QUEUED', \
         completed_at = NULL, result_bytes = NULL, result_blake3 = NULL";
    sqlx::raw_sql(change).execute(&mut database).await.unwrap();
    let conflict = submit_with_key(&bench, "http://127.0.0.1:9/b", "a").await;
    assert_error(conflict, 422, "Unprocessable Content").await;
    assert_eq!(request_id(submit_with_key(&bench, &img, "a").await).await, "gfpgan_kept");
    assert_eq!(bench.ended("gfpgan_kept").await["status"], "COMPLETED");
    assert_eq!(request_id(submit_with_key(&bench, &img, "a").await).await, "gfpgan_kept");
    bench.stop().await;
    // It was charged with the row that it was made of.
    let bench = Bench::start(in_folder(folder.path())).await;
    assert_eq!((bench.handle.stats().completed, bench.handle.stats().charged.0), (1, 3_100));
    bench.stop().await;
}

#[tokio::test]
async fn a_picture_larger_than_the_memory_for_pixels_is_restored_alone() {
    let bench = Bench::start(GatewaySettings { memory_pixels: 1, ..settings() }).await;
    let ids = [bench.accepted().await, bench.accepted().await];
    for id in ids {
        assert_eq!(bench.ended(&id).await["status"], "COMPLETED");
    }
}
