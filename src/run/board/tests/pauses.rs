//! Pauses that outlive the run that heard of them.

use super::*;
use crate::core::retry_after;

fn end(seconds: u64) -> Timestamp {
    now() + secs(seconds)
}

/// The table of a run that begins with these pauses in its ledger.
fn resumed(kept: Pauses, rules: RunSettings, items: Vec<Item>) -> Table {
    let mut table = Table::with_rules(rules, items);
    table.board.resume_pauses(kept);
    table
}

fn told_pauses(table: &mut Table) -> Vec<(Endpoint, u64)> {
    let told = mem::take(&mut table.board.told).into_iter();
    let pauses = told.filter_map(|event| match event {
        RunEvent::GateStillClosed { endpoint, pause } => Some((endpoint, pause.as_secs())),
        _ => None,
    });
    pauses.collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_in_words_is_kept_once_and_not_shortened() {
    let mut table = Table::with_rules(in_flight(10), (1..=5).map(staged).collect());
    table.adopt(submitted(8, now()));
    table.go();
    for (id, seconds) in [(1, 30), (2, 30), (3, 10)] {
        table.end_submit(id, not_accepted(), throttled(seconds));
        table.go();
    }
    assert_eq!((table.kept, table.pause_writes), (Pauses { submit: Some(end(30)), poll: None }, 1));
    let down =
        |pause| Signal::Down { failure: failure(FailureCode::Throttled), retry_after: pause };
    table.end_submit(4, not_accepted(), down(Some(secs(60))));
    table.end_submit(5, not_accepted(), down(None));
    table.go();
    assert_eq!((table.kept.submit, table.pause_writes), (Some(end(60)), 2));
    table.pass(secs(5)).await;
    table.go();
    table.end(8, Vec::new(), down(Some(secs(2))));
    table.go();
    assert_eq!((table.kept.poll, table.pause_writes), (Some(end(7)), 3));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_service_does_not_name_is_not_kept() {
    let mut table = Table::with(vec![staged(1)]);
    table.go();
    let unnamed = Signal::Throttled { failure: failure(FailureCode::Throttled), retry_after: None };
    table.end_submit(1, not_accepted(), unnamed);
    table.go();
    assert_eq!(table.pause_writes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_hears_of_the_pause_of_polls() {
    for signal in [
        throttled(60),
        Signal::Down { failure: failure(FailureCode::Throttled), retry_after: Some(secs(60)) },
    ] {
        let mut table = Table::with(vec![staged(1)]);
        table.go();
        table.end_submit(1, not_accepted(), down());
        table.pass(secs(2)).await;
        assert_eq!(table.go(), ["probe"]);
        table.probed(signal);
        table.go();
        assert_eq!(table.kept, Pauses { submit: None, poll: Some(end(62)) });
    }
}

/// The last answer about a request counts for all others, whatever becomes of that one.
#[tokio::test(start_paused = true)]
async fn the_answer_that_ends_an_item_may_ask_for_a_pause() {
    let mut table = Table::with(vec![]);
    table.adopt(submitted(8, now()));
    table.go();
    table.pass(rules().deadline).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), down());
    assert_eq!(table.go(), ["probe"]);
    table.probed(Signal::Sane);
    table.adopt(submitted(9, table.clock.now()));
    table.go();
    table.pass(secs(30)).await;
    assert_eq!(table.go(), ["poll 8", "poll 9"]);
    let busy = failure(FailureCode::Throttled);
    table.end(8, Vec::new(), Signal::Down { failure: busy, retry_after: Some(secs(120)) });
    assert_eq!(table.go(), ["give up 8"]);
    table.end(9, Vec::new(), Signal::Sane);
    table.pass(secs(119)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go(), ["poll 9"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_only_when_the_ledger_has_the_pause() {
    let mut table = Table::with(vec![staged(1)]);
    table.go();
    table.board.drain();
    table.end_submit(1, not_accepted(), throttled(60));
    assert!(!table.board.is_over(), "the ledger has not been told");
    let mut actions = Vec::new();
    table.board.start(&mut actions);
    assert!(matches!(actions[..], [Action::KeepPause { .. }]), "{actions:?}");
    assert!(!table.board.is_over(), "the write is on its way");
    table.board.pause_kept();
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn gates_are_closed_where_an_earlier_run_was_asked_for_it() {
    let kept = Pauses { submit: Some(end(30)), poll: Some(end(10)) };
    let mut table = resumed(kept, rules(), vec![staged(1)]);
    table.adopt(submitted(8, now()));
    assert_eq!(told_pauses(&mut table), [(Endpoint::Submit, 30), (Endpoint::Poll, 10)]);
    table.pass(secs(9)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.pass(secs(19)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go(), ["submit 1"]);
    table.end_submit(1, not_accepted(), throttled(5));
    table.go();
    assert_eq!((table.kept.submit, table.pause_writes), (Some(end(35)), 1), "a later end is kept");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_over_is_forgotten() {
    let kept = Pauses { submit: Some(end(0)), poll: Some(Timestamp::MIN) };
    let mut table = resumed(kept, rules(), vec![staged(1)]);
    assert_eq!(told_pauses(&mut table), []);
    assert_eq!(table.go(), ["submit 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_stops_a_job_for_no_longer_than_a_pause_can_last() {
    let patient = RunSettings { outage_limit: retry_after::LONGEST * 2, ..rules() };
    let kept = Pauses { submit: Some(Timestamp::MAX), poll: None };
    let mut table = resumed(kept, patient, vec![staged(1)]);
    table.pass(secs(retry_after::LONGEST.as_secs() - 1)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go(), ["submit 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_this_process_knows_nothing_of_earlier_pauses() {
    let local = RunSettings { volatile_service: true, ..rules() };
    let kept = Pauses { submit: Some(end(30)), poll: Some(end(30)) };
    let mut table = resumed(kept, local, vec![staged(1)]);
    assert_eq!(table.go(), ["submit 1"]);
    table.end_submit(1, not_accepted(), throttled(30));
    table.go();
    assert_eq!(table.pause_writes, 0);
}

/// A pause beyond the outage limit is waited for, by the run that hears of it and by the
/// next: the service has said when it will answer.
#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_outage_limit_is_waited_for() {
    let seconds = rules().outage_limit.as_secs() + 60;
    let mut hears = Table::with(vec![staged(1)]);
    hears.go();
    hears.end_submit(1, not_accepted(), throttled(seconds));
    hears.go();
    let kept = Pauses { submit: Some(end(seconds)), poll: None };
    assert_eq!(hears.kept, kept);
    submits_after(hears, seconds).await;
    submits_after(resumed(kept, rules(), vec![staged(1)]), seconds).await;
}

async fn submits_after(mut table: Table, seconds: u64) {
    let began = Instant::now();
    while table.go() != ["submit 1"] {
        assert_eq!(table.board.mode, Mode::Running);
        assert!(began.elapsed() < secs(seconds + 10), "it never goes on");
        table.pass(secs(1)).await;
    }
    assert!(began.elapsed() >= secs(seconds));
}
