//! The service calls back: early, late, twice, about something else, or not at all.

use super::*;
use crate::core::Callback;

const PATIENCE: Duration = Duration::from_mins(2);

fn called_back(rules: RunSettings, items: Vec<Item>) -> Table {
    let mut table = Table::expecting_calls(Micros::ZERO, rules, Some(PATIENCE));
    table.load(items);
    table
}

fn named(id: i64) -> ItemEvent {
    ItemEvent::RequestNamed { request_id: RequestId(format!("r{id}")) }
}

impl Table {
    fn call(&mut self, id: i64, attempt: u32, name: Option<&str>) {
        let request_id = name.map(|name| RequestId(name.into()));
        let callback = Callback { item: ItemId(id), attempt, request_id };
        self.board.called(callback, &mut self.actions);
    }

    /// Starts what may start, and what a callback has brought forward.
    async fn go_now(&mut self) -> Vec<String> {
        let mut words = self.go();
        self.pass(Duration::ZERO).await;
        words.extend(self.go());
        words
    }

    fn heard(&self, word: &str) -> usize {
        self.board.told.iter().filter(|event| format!("{event:?}").starts_with(word)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_wakes_a_poll_and_without_one_polls_are_rare() {
    let mut table = called_back(rules(), vec![staged(1), staged(2)]);
    assert_eq!(table.go(), ["submit 1", "submit 2"]);
    table.accept(1);
    table.accept(2);
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    table.call(1, 1, Some("r1"));
    // Twice is no more than once.
    table.call(1, 1, None);
    assert_eq!(table.go_now().await, ["poll 1"], "the first poll may come at once");
    table.call(1, 1, Some("r1"));
    table.complete(1);
    assert_eq!(table.go(), ["fetch 1"]);
    table.publish(1);
    table.pass(secs(28)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go(), ["poll 2"], "30 s after its submit");
}

#[tokio::test(start_paused = true)]
async fn an_item_is_not_polled_more_often_however_often_the_service_calls() {
    let mut table = called_back(rules(), vec![staged(1)]);
    table.go();
    table.accept(1);
    table.go();
    table.call(1, 1, None);
    assert_eq!(table.go_now().await, ["poll 1"]);
    table.end(1, vec![], Signal::Sane);
    table.go();
    for _ in 0..10 {
        table.call(1, 1, Some("r1"));
        assert_eq!(table.go_now().await, [""; 0]);
    }
    table.pass(Duration::from_millis(4_999)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(Duration::from_millis(1)).await;
    assert_eq!(table.go(), ["poll 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_an_earlier_run_may_have_been_polled_just_now() {
    let mut table = called_back(rules(), vec![]);
    table.adopt(submitted(1, now()));
    table.call(1, 1, Some("r1"));
    assert_eq!(table.go_now().await, [""; 0]);
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_service_s_own_pause_counts_more_than_its_callback() {
    let mut table = called_back(rules(), vec![staged(1)]);
    table.go();
    table.accept(1);
    table.go();
    table.call(1, 1, None);
    table.go_now().await;
    let not_before = now() + jiff::SignedDuration::from_secs(20);
    let failure = failure(FailureCode::NoMedia);
    table.end(1, vec![ItemEvent::Postponed { failure, not_before }], Signal::Sane);
    table.go();
    table.call(1, 1, None);
    table.pass(secs(19)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go_now().await, ["poll 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_overtakes_the_answer_is_remembered() {
    let mut table = called_back(rules(), vec![staged(1), staged(2), staged(3)]);
    table.go();
    for id in 1..=3 {
        table.call(id, 1, Some(&format!("r{id}")));
        // One without a name takes nothing back.
        table.call(id, 1, None);
    }
    assert_eq!(table.go(), [""; 0]);
    table.accept(1);
    assert_eq!(table.go(), ["poll 1"]);
    let item = table.lose(2);
    assert_eq!(table.go(), ["name 2 1 r2"]);
    assert_eq!(table.heard("Settled"), 0, "nobody has to worry");
    table.resolve(item, named(2));
    assert_eq!(table.heard("Named"), 1);
    assert_eq!(table.go(), ["poll 2"]);
    // A service that denies what it has named is asked, or the picture would be paid twice.
    let item = table.refuse(3);
    assert_eq!(table.go(), ["name 3 1 r3"]);
    assert_eq!(table.heard("Settled"), 0);
    table.resolve(item, named(3));
    assert_eq!(table.go(), ["poll 3"]);
    assert_eq!(table.board.budget.committed(), PRICE.times(3));
    table.end(3, vec![ItemEvent::ServiceFailed(failure(FailureCode::ServiceFailed))], Signal::Sane);
    for id in 1..=2 {
        table.complete(id);
    }
    assert_eq!(table.go(), ["fetch 1", "fetch 2"]);
    table.publish(1);
    table.publish(2);
    table.go();
    table.assert_nothing_is_held();
    assert!(table.board.is_over());
    assert_eq!(table.board.budget.committed(), PRICE.times(3));
}

#[tokio::test(start_paused = true)]
async fn an_item_in_doubt_is_healed_by_its_name_and_paid_for_once() {
    let mut table = called_back(in_flight(1), vec![staged(1)]);
    table.go();
    let item = table.lose(1);
    table.go();
    assert_eq!(table.heard("Settled"), 1);
    table.pass(secs(60)).await;
    table.call(1, 1, None);
    assert_eq!(table.go(), [""; 0], "a callback without a name names nothing");
    // A call about another attempt that is being looked up does not stand in its way.
    table.call(1, 2, Some("x"));
    table.call(1, 1, Some("r1"));
    table.call(1, 1, Some("r1"));
    assert_eq!(table.go(), ["name 1 2 x", "name 1 1 r1"], "once each");
    table.board.resolved(ItemId(1), 2, None, &mut table.actions);
    table.resolve(item, named(1));
    assert_eq!(table.heard("Named"), 1);
    assert_eq!(table.go(), ["poll 1"]);
    assert_eq!(table.board.pacer.in_use(Endpoint::Submit), 1, "it takes a slot again");
    table.complete(1);
    table.go();
    table.publish(1);
    table.go();
    table.assert_nothing_is_held();
    assert!(table.board.is_over(), "nobody is waited for any more");
    assert_eq!(table.board.budget.committed(), PRICE);
}

#[tokio::test(start_paused = true)]
async fn callbacks_about_something_else_change_nothing() {
    let mut table = called_back(rules(), vec![staged(1), staged(2)]);
    table.go();
    table.call(1, 2, Some("x"));
    table.accept(1);
    table.go();
    table.call(1, 2, Some("x"));
    assert_eq!(table.go_now().await, [""; 0], "there is no such attempt");
    // The ledger is asked about an item that is not in hand, and knows better.
    table.call(77, 1, Some("x"));
    assert_eq!(table.go(), ["name 77 1 x"]);
    table.board.resolved(ItemId(77), 1, None, &mut table.actions);
    assert_eq!(table.go_now().await, [""; 0]);
    assert_eq!(table.heard("Named"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_callbacks_waits_outside() {
    let mut table = called_back(rules(), vec![]);
    let mut id = 100;
    while table.board.hears_calls() {
        table.call(id, 1, Some("x"));
        id += 1;
    }
    assert_eq!(id, 116);
    table.board.resolved(ItemId(100), 1, None, &mut table.actions);
    assert!(table.board.hears_calls());
}

#[tokio::test(start_paused = true)]
async fn a_name_is_kept_though_nothing_is_polled_any_more() {
    let ends: [fn(&mut Board); 2] = [
        |board| board.drain(),
        |board| board.halt(HaltCause::Account(failure(FailureCode::KeyRefused)), false),
    ];
    for end in ends {
        let mut table = called_back(rules(), vec![staged(1), staged(2)]);
        table.go();
        let item = table.lose(1);
        end(&mut table.board);
        table.call(1, 1, Some("r1"));
        assert_eq!(table.go(), ["name 1 1 r1"]);
        table.end_submit(2, rejected(), Signal::Sane);
        assert!(!table.board.is_over(), "the name is being written");
        table.resolve(item, named(1));
        assert_eq!(table.go_now().await, [""; 0]);
        table.assert_nothing_is_held();
        assert!(table.board.is_over());
    }
}

#[tokio::test(start_paused = true)]
async fn a_halted_job_polls_what_was_named() {
    let mut table = called_back(rules(), vec![staged(1)]);
    table.go();
    let item = table.lose(1);
    let empty = failure(FailureCode::InsufficientBalance);
    table.board.halt(HaltCause::Account(empty), true);
    assert!(!table.board.is_over(), "what may be paid for is waited for");
    table.call(1, 1, Some("r1"));
    table.go();
    table.resolve(item, named(1));
    assert_eq!(table.go(), ["poll 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_what_fell_in_doubt_in_it_and_not_for_ever() {
    let mut table = called_back(rules(), vec![staged(1), staged(2)]);
    table.go();
    let sent = table.clock.instant();
    table.pass(secs(10)).await;
    table.lose(1);
    table.lose(2);
    let wake = table.board.start(&mut table.actions).expect("a time to look again");
    assert_eq!(wake, sent + PATIENCE);
    table.pass(secs(109)).await;
    assert!(!table.board.is_over());
    table.pass(secs(1)).await;
    assert_eq!(table.board.start(&mut table.actions), None);
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_without_callbacks_or_when_told_to_stop() {
    let mut table = Table::with(vec![staged(1)]);
    table.go();
    table.lose(1);
    table.go();
    assert!(table.board.is_over());

    let mut table = called_back(rules(), vec![staged(1)]);
    table.go();
    table.lose(1);
    table.go();
    assert!(!table.board.is_over());
    table.board.drain();
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn naming_comes_before_resubmission() {
    let resubmit = RunSettings { in_doubt: InDoubtPolicy::Resubmit, ..rules() };
    let mut table = called_back(resubmit, vec![staged(1), staged(2)]);
    table.go();
    table.call(1, 1, Some("r1"));
    let (first, second) = (table.lose(1), table.lose(2));
    assert_eq!(table.go(), ["name 1 1 r1", "resubmit 2"]);
    // Too late for the first attempt: the second one is decided.
    table.call(2, 1, Some("r2"));
    assert_eq!(table.go(), [""; 0]);
    table.resolve(first, named(1));
    table.resolve(second, ItemEvent::Resubmit);
    assert_eq!(table.go(), ["poll 1", "submit 2"]);
    table.call(2, 1, Some("r2"));
    table.accept(2);
    assert_eq!(table.go_now().await, [""; 0], "the callback was about the first attempt");
}

#[tokio::test(start_paused = true)]
async fn naming_says_nothing_about_the_service() {
    let items = (1..=4).map(staged).collect();
    let mut table = called_back(in_flight(3), items);
    table.go();
    let items = [1, 2, 3].map(|id| table.lose(id));
    assert!(table.heard_outage());
    for (id, item) in (1..).zip(items) {
        table.call(id, 1, Some(&format!("r{id}")));
        table.resolve(item, named(id));
    }
    let words = table.go();
    assert!(!words.contains(&"submit 4".into()), "{words:?}");
    assert!(words.contains(&"poll 1".into()), "{words:?}");
    for id in 1..=3 {
        table.end(id, vec![], Signal::None);
    }
    table.pass(secs(2)).await;
    assert_eq!(table.go(), ["probe"]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_not_forgotten_over_an_answer_that_says_nothing_of_it() {
    for (signal, called_meanwhile) in [(throttled(1), false), (Signal::Sane, true)] {
        let mut table = called_back(rules(), vec![staged(1)]);
        table.go();
        table.accept(1);
        table.go();
        table.call(1, 1, None);
        assert_eq!(table.go_now().await, ["poll 1"]);
        if called_meanwhile {
            table.call(1, 1, None);
        }
        table.end(1, vec![], signal);
        assert_eq!(table.go(), [""; 0]);
        table.pass(secs(5)).await;
        let mut words = table.go();
        // A rate that has changed gives nothing away.
        table.pass(secs(1)).await;
        words.extend(table.go());
        assert_eq!(words, ["poll 1"], "as soon as it may be polled again ({called_meanwhile})");
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_about_a_poll_in_line_brings_it_to_the_front() {
    let mut table = called_back(rules(), (1..=3).map(staged).collect());
    table.go();
    (1..=3).for_each(|id| table.accept(id));
    table.go();
    table.board.pacer.throttled(Endpoint::Poll, Some(secs(32)), Instant::now());
    table.pass(secs(31)).await;
    assert_eq!(table.go(), [""; 0], "all are due and none may go");
    table.call(3, 1, Some("r3"));
    assert!(!format!("{:?}", table.actions).contains("Name"), "it needs no name");
    table.pass(secs(1)).await;
    assert_eq!(table.go().first().map(String::as_str), Some("poll 3"));
}
