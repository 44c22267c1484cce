use super::*;
use crate::{
    core::{EventKind, ItemId, RequestId},
    testing::samples::{failure, ready, rules, submitted as at_service},
};

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn kind(verdict: &Verdict) -> Option<EventKind> {
    verdict.event.as_ref().map(ItemEvent::kind)
}

fn poll_after(age: Duration, outcome: StatusOutcome) -> Verdict {
    polled(&at_service(1, T0), outcome, &rules(), later(T0, age))
}

fn poll(outcome: StatusOutcome) -> Verdict {
    poll_after(secs(10), outcome)
}

fn not_before(verdict: &Verdict) -> Timestamp {
    match &verdict.event {
        Some(
            ItemEvent::Postponed { not_before, .. } | ItemEvent::ServiceError { not_before, .. },
        ) => *not_before,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_answer_to_a_submit() {
    use FailureCode as Code;
    let pause = Some(secs(7));
    let accepted = SubmitOutcome::Accepted {
        request_id: RequestId("r".into()),
        polling_url: Some("https://h.org/r".into()),
    };
    let unavailable =
        SubmitOutcome::Unavailable { failure: failure(Code::Throttled), retry_after: pause };
    let throttled =
        SubmitOutcome::Throttled { failure: failure(Code::Throttled), retry_after: pause };
    let balance = failure(Code::InsufficientBalance);
    for (outcome, event, signal) in [
        (accepted, EventKind::Accepted, Signal::Sane),
        (
            SubmitOutcome::NotSent(failure(Code::NotSent)),
            EventKind::NotAccepted,
            Signal::Down { failure: failure(Code::NotSent), retry_after: None },
        ),
        (
            unavailable,
            EventKind::NotAccepted,
            Signal::Down { failure: failure(Code::Throttled), retry_after: pause },
        ),
        (
            throttled,
            EventKind::NotAccepted,
            Signal::Throttled { failure: failure(Code::Throttled), retry_after: pause },
        ),
        (SubmitOutcome::Rejected(failure(Code::Rejected)), EventKind::Rejected, Signal::Sane),
        (SubmitOutcome::Account(balance.clone()), EventKind::NotAccepted, Signal::Account(balance)),
        (
            SubmitOutcome::InDoubt(failure(Code::InDoubt)),
            EventKind::AnswerLost,
            Signal::Doubtful(failure(Code::InDoubt)),
        ),
    ] {
        let verdict = submitted(outcome.clone());
        assert_eq!((kind(&verdict), &verdict.signal), (Some(event), &signal), "{outcome:?}");
        assert_eq!(verdict.retrying, None, "the service's trouble is no retry of the item");
    }
}

#[test]
fn an_acceptance_keeps_name_and_address() {
    let request_id = RequestId("r".into());
    let polling_url = Some("https://h.org/r".to_owned());
    let outcome = SubmitOutcome::Accepted {
        request_id: request_id.clone(),
        polling_url: polling_url.clone(),
    };
    assert_eq!(submitted(outcome).event, Some(ItemEvent::Accepted { request_id, polling_url }));
}

#[test]
fn every_answer_to_a_poll() {
    use FailureCode as Code;
    let down = |code, retry_after| Signal::Down { failure: failure(code), retry_after };
    let out_of_order = Failure { class: FailureClass::Transient, ..failure(Code::Throttled) };
    let pause = Some(secs(7));
    for (outcome, event, signal, retrying) in [
        (StatusOutcome::Waiting { word: "QUEUED".into() }, None, Signal::Sane, None),
        (
            StatusOutcome::Completed { media: vec!["m".into()], took: None },
            Some(EventKind::Completed),
            Signal::Sane,
            None,
        ),
        (
            StatusOutcome::NoMedia(failure(Code::NoMedia)),
            Some(EventKind::Postponed),
            Signal::Sane,
            Some(Code::NoMedia),
        ),
        (
            StatusOutcome::Failed(failure(Code::ServiceFailed)),
            Some(EventKind::ServiceFailed),
            Signal::Sane,
            None,
        ),
        (
            StatusOutcome::Error(failure(Code::ServiceError)),
            Some(EventKind::ServiceError),
            Signal::Sane,
            Some(Code::ServiceError),
        ),
        (StatusOutcome::Unknown(failure(Code::UnknownRequest)), None, Signal::Sane, None),
        (
            StatusOutcome::Throttled { failure: failure(Code::Throttled), retry_after: pause },
            None,
            Signal::Throttled { failure: failure(Code::Throttled), retry_after: pause },
            Some(Code::Throttled),
        ),
        (
            StatusOutcome::Throttled { failure: out_of_order.clone(), retry_after: pause },
            None,
            Signal::Down { failure: out_of_order, retry_after: pause },
            Some(Code::Throttled),
        ),
        (
            StatusOutcome::Account(failure(Code::KeyRefused)),
            None,
            Signal::Account(failure(Code::KeyRefused)),
            None,
        ),
        (
            StatusOutcome::Unavailable(failure(Code::StatusUnavailable)),
            None,
            down(Code::StatusUnavailable, None),
            Some(Code::StatusUnavailable),
        ),
    ] {
        let verdict = poll(outcome.clone());
        assert_eq!((kind(&verdict), &verdict.signal), (event, &signal), "{outcome:?}");
        assert_eq!(verdict.retrying.map(|failure| failure.code), retrying, "{outcome:?}");
    }
}

#[test]
fn the_deadline_ends_a_wait_at_its_very_moment() {
    let waiting = || StatusOutcome::Waiting { word: "PROCESSING".into() };
    let deadline = rules().deadline;
    assert_eq!(poll_after(deadline.saturating_sub(secs(1)), waiting()).event, None);
    let Some(ItemEvent::PollGaveUp(failure)) = poll_after(deadline, waiting()).event else {
        panic!("goes on after the deadline")
    };
    assert_eq!(failure.code, FailureCode::Deadline);
    assert_eq!(failure.message, "still PROCESSING after 3600 s");
}

#[test]
fn the_deadline_does_not_run_while_the_service_gives_no_answer() {
    use FailureCode as Code;
    let throttled = failure(Code::Throttled);
    for outcome in [
        StatusOutcome::Unavailable(failure(Code::StatusUnavailable)),
        StatusOutcome::Throttled { failure: throttled, retry_after: None },
        StatusOutcome::Account(failure(Code::KeyRefused)),
    ] {
        assert_eq!(poll_after(rules().deadline * 10, outcome).event, None);
    }
    let media = vec!["m".to_owned()];
    let late = poll_after(rules().deadline * 10, StatusOutcome::Completed { media, took: None });
    assert_eq!(kind(&late), Some(EventKind::Completed), "what comes late is paid for too");
}

#[test]
fn a_fresh_id_may_be_unknown_for_a_while() {
    let unknown = || StatusOutcome::Unknown(failure(FailureCode::UnknownRequest));
    let grace = rules().unknown_grace;
    assert_eq!(poll_after(grace.saturating_sub(secs(1)), unknown()).event, None);
    let verdict = poll_after(grace, unknown());
    assert_eq!(verdict.event, Some(ItemEvent::PollGaveUp(failure(FailureCode::UnknownRequest))));
}

#[test]
fn a_wall_clock_that_went_back_makes_nobody_late() {
    let item = at_service(1, later(T0, secs(100_000)));
    let waiting = StatusOutcome::Waiting { word: "QUEUED".into() };
    assert_eq!(polled(&item, waiting, &rules(), T0).event, None);
}

#[test]
fn errors_are_submitted_again_as_often_as_the_policy_says() {
    let mut item = at_service(1, T0);
    let error = || StatusOutcome::Error(failure(FailureCode::ServiceError));
    for (errors, longest) in [(0, 10), (1, 20)] {
        item.service_errors = errors;
        let verdict = polled(&item, error(), &rules(), T0);
        let wait = elapsed(T0, not_before(&verdict));
        assert!(wait >= secs(longest) / 2 && wait <= secs(longest), "{wait:?}");
        assert_eq!(verdict, polled(&item, error(), &rules(), T0), "jitter is stable");
    }
    item.service_errors = 2;
    let verdict = polled(&item, error(), &rules(), T0);
    assert_eq!((kind(&verdict), verdict.retrying), (Some(EventKind::ServiceErrorAgain), None));
}

#[test]
fn items_that_fail_together_do_not_come_back_together() {
    let times: std::collections::BTreeSet<_> = (0..50)
        .map(|id| {
            let item = Item { id: ItemId(id), ..at_service(1, T0) };
            let error = StatusOutcome::Error(failure(FailureCode::ServiceError));
            not_before(&polled(&item, error, &rules(), T0))
        })
        .collect();
    assert!(times.len() > 45, "{}", times.len());
}

#[test]
fn completed_without_a_picture_is_asked_a_few_times() {
    let mut item = at_service(1, T0);
    for expected in [EventKind::Postponed, EventKind::Postponed, EventKind::PollGaveUp] {
        let verdict =
            polled(&item, StatusOutcome::NoMedia(failure(FailureCode::NoMedia)), &rules(), T0);
        assert_eq!((kind(&verdict), &verdict.signal), (Some(expected), &Signal::Sane));
        item = item.apply(verdict.event.unwrap(), T0).unwrap();
    }
    assert_eq!(item.failure.unwrap().code, FailureCode::NoMedia);
}

fn fetch(item: &Item, error: FetchError) -> Verdict {
    fetched(item, Err(error), &rules(), T0)
}

#[test]
fn every_end_of_a_download() {
    let item = ready(1, T0);
    let done = fetched(&item, Ok(Vec::new()), &rules(), T0);
    assert_eq!(done.event, Some(ItemEvent::Published { artifacts: Vec::new() }));
    let blocked = failure(FailureCode::MediaBlocked);
    let full = failure(FailureCode::NotWritable);
    for (error, event, signal) in [
        (
            FetchError::Retry {
                failure: failure(FailureCode::MediaUnavailable),
                retry_after: None,
            },
            Some(EventKind::Postponed),
            Signal::Down { failure: failure(FailureCode::MediaUnavailable), retry_after: None },
        ),
        (
            FetchError::LinkExpired(failure(FailureCode::MediaUnavailable)),
            Some(EventKind::LinkExpired),
            Signal::None,
        ),
        (FetchError::Permanent(blocked), Some(EventKind::FetchGaveUp), Signal::None),
        (FetchError::Output(full.clone()), None, Signal::Output(full)),
    ] {
        let verdict = fetch(&item, error.clone());
        assert_eq!((kind(&verdict), &verdict.signal), (event, &signal), "{error:?}");
    }
}

#[test]
fn a_download_is_tried_as_often_as_the_policy_says() {
    let mut item = ready(1, T0);
    let mut kinds = Vec::new();
    while item.state == crate::core::ItemState::Ready {
        let error = FetchError::Retry {
            failure: failure(FailureCode::MediaUnavailable),
            retry_after: None,
        };
        let verdict = fetch(&item, error);
        kinds.extend(kind(&verdict));
        item = item.apply(verdict.event.unwrap(), T0).unwrap();
    }
    let mut expected = [EventKind::Postponed; 4];
    expected[3] = EventKind::FetchGaveUp;
    assert_eq!(kinds, expected);
}

#[test]
fn a_download_waits_as_long_as_its_server_asks_but_not_for_ever() {
    for (asked, least, most) in [(0, 0, 1), (40, 40, 40), (1_000_000, 3_600, 3_600)] {
        let error = FetchError::Retry {
            failure: failure(FailureCode::MediaUnavailable),
            retry_after: Some(secs(asked)),
        };
        let wait = elapsed(T0, not_before(&fetch(&ready(1, T0), error)));
        assert!(wait >= secs(least) && wait <= secs(most), "{asked}: {wait:?}");
    }
}

#[test]
fn fresh_addresses_are_asked_for_a_few_times() {
    let mut item = ready(1, T0);
    let expired = || FetchError::LinkExpired(failure(FailureCode::MediaUnavailable));
    for (refreshes, expected) in
        [(0, EventKind::LinkExpired), (1, EventKind::LinkExpired), (2, EventKind::FetchGaveUp)]
    {
        item.refreshes = refreshes;
        assert_eq!(kind(&fetch(&item, expired())), Some(expected));
    }
}
