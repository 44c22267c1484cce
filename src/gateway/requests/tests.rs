use std::time::Duration;

use super::*;
use crate::gateway::{
    accounts::Accounts,
    settings::GatewaySettings,
    store::{Callback, ResultFacts},
};

fn account() -> AccountId {
    let accounts = Accounts::new(&GatewaySettings::default(), Vec::new());
    accounts.authenticate(&http::HeaderMap::new()).unwrap()
}

fn book(retention: Retention) -> Requests {
    Requests::new(retention, 10, false, "/results".into())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(number: i64) -> Record {
    Record {
        id: format!("gfpgan_{number}"),
        account: "".into(),
        submit: number,
        img: "http://h/a".to_owned(),
        scale: 2,
        version: "v1.4".to_owned(),
        status: Status::Queued,
        created_at: at(0),
        updated_at: at(0),
        completed_at: None,
        error: None,
        result: None,
        report: None,
        starts: 0,
        charged: Micros(5),
        idempotency: None,
        callback: None,
    }
}

fn ended(status: Status, bytes: Option<u64>, second: i64) -> Ended {
    let error = (status != Status::Completed).then(|| "why".to_owned());
    let result = bytes.map(|bytes| ResultFacts { bytes, blake3: blake3::hash(b"") });
    Ended { at: at(second), status, error, result, report: None }
}

fn accept(requests: &Requests, record: Record) -> String {
    let id = record.id.clone();
    requests.accept(requests.reserve(account()).unwrap(), record);
    id
}

/// Passes the request with this number through.
fn pass(requests: &Requests, number: i64, ended: Ended) -> String {
    let id = accept(requests, record(number));
    assert_eq!(requests.try_take(at(1)).unwrap().id, id);
    let (_, record, _) = requests.as_ended(&id, ended).unwrap();
    requests.finish(record);
    id
}

fn completed(requests: &Requests, number: i64, bytes: u64) -> String {
    pass(requests, number, ended(Status::Completed, Some(bytes), 2))
}

fn swept(requests: &Requests) -> Vec<i64> {
    swept_at(requests, 3)
}

fn swept_at(requests: &Requests, second: i64) -> Vec<i64> {
    let forgotten = requests.forget(&requests.overdue(at(second)));
    forgotten.iter().map(|(_, record)| record.submit).collect()
}

#[test]
fn a_request_passes_through_its_states() {
    let requests = book(Retention::default());
    let id = accept(&requests, record(0));
    let seen = requests.look_up(&id, account()).unwrap();
    assert_eq!((seen.status, seen.created_at, seen.completed_at), (Status::Queued, at(0), None));

    let order = requests.try_take(at(11)).unwrap();
    assert_eq!((order.id.as_str(), order.scale), (id.as_str(), 2));
    assert_eq!(requests.try_take(at(12)), None);
    let seen = requests.look_up(&id, account()).unwrap();
    assert_eq!((seen.status, seen.updated_at), (Status::Processing, at(11)));
    assert_eq!(requests.result(&id), None);

    requests.put_back(&id, at(12));
    let seen = requests.look_up(&id, account()).unwrap();
    assert_eq!((seen.status, seen.updated_at), (Status::Queued, at(12)));
    assert_eq!(requests.try_take(at(13)).unwrap(), order);

    let end = ended(Status::Completed, Some(5), 14);
    let (_, record, refund) = requests.as_ended(&id, end).unwrap();
    assert_eq!(requests.look_up(&id, account()).unwrap().status, Status::Processing);
    assert_eq!((record.charged, refund), (Micros(5), Micros(0)));
    requests.finish(record);
    let seen = requests.look_up(&id, account()).unwrap();
    assert_eq!((seen.status, seen.created_at), (Status::Completed, at(0)));
    assert_eq!((seen.updated_at, seen.completed_at), (at(14), Some(at(14))));
    let result = requests.result(&id).unwrap();
    assert_eq!((result.bytes, result.path), (5, "/results/gfpgan_0.png".into()));
}

#[test]
fn endings_are_counted_explained_and_refunded_if_ours() {
    let requests = book(Retention::default());
    let failed = pass(&requests, 0, ended(Status::Failed, None, 2));
    let id = accept(&requests, record(1));
    requests.try_take(at(1)).unwrap();
    let (_, record_1, refund) = requests.as_ended(&id, ended(Status::Error, None, 2)).unwrap();
    assert_eq!((record_1.charged, refund), (Micros(0), Micros(5)));
    requests.finish(record_1);
    completed(&requests, 2, 1);
    accept(&requests, record(3));
    let seen = requests.look_up(&failed, account()).unwrap();
    assert_eq!((seen.status, seen.error.as_deref()), (Status::Failed, Some("why")));
    let expected = Counts { queued: 1, processing: 0, completed: 1, failed: 1, errors: 1 };
    assert_eq!(requests.counts(), expected);
    assert_eq!(requests.next_submit(), 4);
}

#[test]
fn the_queue_counts_what_waits_and_what_is_about_to() {
    let requests = Requests::new(Retention::default(), 2, false, "/results".into());
    accept(&requests, record(0));
    let place = requests.reserve(account()).unwrap();
    assert_eq!(requests.reserve(account()).unwrap_err(), Full::Whole);
    drop(place);
    accept(&requests, record(1));
    assert!(requests.reserve(account()).is_err());
    requests.try_take(at(1)).unwrap();
    assert!(requests.reserve(account()).is_ok());
}

#[test]
fn what_was_kept_is_taken_up_in_order() {
    let first = book(Retention { requests: 1, ..Retention::default() });
    completed(&first, 0, 7);
    completed(&first, 1, 8);
    let kept: Vec<_> = [0, 1].map(|n| first.book().requests[&record(n).id].record.clone()).into();
    let one = Retention { requests: 1, ..Retention::default() };
    let again = Requests::new(one, 1, false, "/r".into());
    again.restore(kept.into_iter().chain([record(2), record(3)]).map(|kept| (account(), kept)));
    assert_eq!(again.counts(), Counts { queued: 2, completed: 2, ..Counts::default() });
    assert!(again.reserve(account()).is_err(), "more than the queue takes");
    assert_eq!(again.try_take(at(1)).unwrap().submit, 2);
    assert_eq!(again.try_take(at(1)).unwrap().submit, 3);
    assert_eq!(swept(&again), [0]);
}

#[test]
fn what_may_have_ended_the_process_is_taken_last() {
    let requests = book(Retention::default());
    let kept = [(0, 1), (1, 0), (2, 2), (3, 0)];
    let kept = kept.map(|(number, starts)| (account(), Record { starts, ..record(number) }));
    requests.restore(kept);
    let taken = std::iter::from_fn(|| requests.try_take(at(1)));
    let taken: Vec<_> = taken.map(|order| (order.submit, order.starts)).collect();
    assert_eq!(taken, [(1, 0), (3, 0), (0, 1), (2, 2)]);
    requests.set_starts("gfpgan_0", 0);
    requests.put_back("gfpgan_0", at(2));
    assert_eq!(requests.try_take(at(3)).unwrap().starts, 0);
}

#[test]
fn a_fault_strikes_a_request_once() {
    let requests = book(Retention::default());
    let id = accept(&requests, record(0));
    assert!(requests.strike(&id, Fault::MediaCut));
    assert!(!requests.strike(&id, Fault::MediaCut));
    assert!(requests.strike(&id, Fault::MediaExpired));
    assert!(!requests.strike("another", Fault::MediaCut));
}

#[test]
fn the_books_name_each_request_with_its_result() {
    let requests = book(Retention::default());
    let done = completed(&requests, 0, 1);
    accept(&requests, record(1));
    let booked = requests.booked();
    let statuses: Vec<_> = booked.iter().map(|request| request.status.as_str()).collect();
    assert_eq!(statuses, ["COMPLETED", "QUEUED"]);
    assert_eq!((&booked[0].request_id, &booked[1].blake3), (&done, &None));
    assert_eq!(booked[0].blake3, Some(blake3::hash(b"").to_hex().to_string()));
}

#[test]
fn the_oldest_finished_requests_are_swept_by_count() {
    let requests = book(Retention { requests: 2, bytes: 1_000, ..Retention::default() });
    let first = completed(&requests, 1, 1);
    pass(&requests, 2, ended(Status::Failed, None, 2));
    let last = completed(&requests, 3, 3);
    let waiting = accept(&requests, record(0));
    assert_eq!(swept(&requests), [1]);
    assert!(requests.look_up(&first, account()).is_none());
    assert!(requests.look_up(&last, account()).is_some());
    assert!(requests.look_up(&waiting, account()).is_some());
    assert!(swept(&requests).is_empty());
}

#[test]
fn what_could_not_be_removed_is_found_again() {
    let requests = book(Retention { requests: 1, ..Retention::default() });
    for number in 0..4 {
        completed(&requests, number, 1);
    }
    let overdue = requests.overdue(at(3));
    assert_eq!(overdue.len(), 3);
    assert_eq!(requests.overdue(at(3)), overdue, "nothing is forgotten yet");
    let out_of_order = [overdue[1].clone()];
    assert_eq!(requests.forget(&out_of_order).len(), 1);
    assert!(requests.forget(&out_of_order).is_empty(), "only once");
    assert_eq!(requests.overdue(at(3)), [overdue[0].clone(), overdue[2].clone()]);
    assert_eq!(swept(&requests), [0, 2]);
    assert!(requests.overdue(at(3)).is_empty());
}

#[test]
fn and_by_bytes_but_never_the_newest() {
    let requests = book(Retention { requests: 10, bytes: 100, ..Retention::default() });
    completed(&requests, 0, 60);
    completed(&requests, 1, 40);
    assert!(swept(&requests).is_empty());
    completed(&requests, 2, 1);
    assert_eq!(swept(&requests), [0]);
    let huge = completed(&requests, 3, 500);
    assert_eq!(swept(&requests), [1, 2]);
    assert!(requests.result(&huge).is_some());
    completed(&requests, 4, 2);
    assert_eq!(swept(&requests), [3]);
}

#[test]
fn and_by_age_and_then_also_the_newest() {
    let retention = Retention { age: Duration::from_secs(10), ..Retention::default() };
    let requests = book(retention);
    let waiting = accept(&requests, record(0));
    requests.try_take(at(1)).unwrap();
    completed(&requests, 1, 1);
    pass(&requests, 2, ended(Status::Failed, None, 5));
    assert!(swept_at(&requests, 12).is_empty());
    assert_eq!(swept_at(&requests, 13), [1]);
    assert_eq!(swept_at(&requests, 1_000), [2]);
    assert!(requests.look_up(&waiting, account()).is_some(), "it has not ended");
}

#[test]
fn a_request_stays_until_it_is_called_back_unless_there_is_no_room() {
    let retention = Retention { requests: 1, bytes: 100, age: Duration::from_secs(10) };
    let requests = book(retention);
    let pass = |number, bytes| {
        let url = format!("https://c/{number}");
        let callback = Some(Callback { url, attempts: 0, due: None });
        let id = accept(&requests, Record { callback, ..record(number) });
        requests.try_take(at(1)).unwrap();
        let end = ended(Status::Completed, Some(bytes), 2);
        requests.finish(requests.as_ended(&id, end).unwrap().1);
        id
    };
    let (first, second) = (pass(0, 40), pass(1, 40));
    completed(&requests, 2, 10);
    assert!(swept(&requests).is_empty(), "neither by number");
    assert_eq!(swept_at(&requests, 1_000), [2], "nor by age, and nobody else stays for it");
    assert_eq!(requests.callbacks_due(at(1_000)).len(), 2);
    requests.set_callback(&first, 1, Some(at(2_000)));
    assert!(swept_at(&requests, 1_000).is_empty());
    requests.set_callback(&second, 1, None);
    assert_eq!(swept_at(&requests, 1_000), [1]);
    completed(&requests, 3, 90);
    assert_eq!(swept(&requests), [0], "the disk comes first");
}

#[tokio::test]
async fn callbacks_are_due_once_until_they_are_settled() {
    let requests = book(Retention::default());
    let callback = Callback { url: "https://c/".to_owned(), attempts: 0, due: None };
    let id = accept(&requests, Record { callback: Some(callback), ..record(0) });
    requests.try_take(at(1)).unwrap();
    assert_eq!(requests.callbacks_due(at(1_000)), []);
    let (_, record, _) = requests.as_ended(&id, ended(Status::Failed, None, 5)).unwrap();
    requests.finish(record);
    assert_eq!(requests.callbacks_due(at(4)), []);
    let due = requests.due_callbacks(|| at(5)).await;
    assert_eq!((due.len(), &due[0].id, due[0].attempts), (1, &id, 0));
    assert_eq!((due[0].url.as_str(), due[0].seen.status), ("https://c/", Status::Failed));
    assert_eq!(requests.callbacks_due(at(1_000)), [], "it is being delivered");
    requests.set_callback(&id, 1, Some(at(9)));
    assert_eq!(requests.callbacks_due(at(8)), []);
    assert_eq!(requests.callbacks_due(at(9))[0].attempts, 1);
    requests.set_callback(&id, 1, None);
    assert_eq!(requests.callbacks_due(at(1_000)), []);
}
