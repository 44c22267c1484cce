use std::time::Duration;

use jiff::Timestamp;
use tokio::time::advance;

use super::{starts::STAGING, *};
use crate::{
    core::{FailureCode, InDoubtPolicy, ItemEvent, RequestId},
    ledger::Pauses,
    limit::LaneLimits,
    run::{
        step::{Signal, StepReport},
        worker::LOAD,
    },
    testing::samples::{self, PRICE, failure, ready, rules, staged, submitted},
};

mod calls;
mod owed;
mod pauses;

/// A board, with its coordinator, its poller and its workers played by the test.
struct Table {
    board: Board,
    clock: Clock,
    actions: Vec<Action>,
    /// Steps that were started and have not ended.
    working: BTreeMap<i64, (Step, Item)>,
    parked: BTreeMap<i64, Instant>,
    probing: bool,
    /// The pauses that the ledger has, and how many writes that took.
    kept: Pauses,
    pause_writes: usize,
}

impl Table {
    fn new(rules: RunSettings) -> Self {
        Self::after_spending(Micros::ZERO, rules)
    }

    fn after_spending(committed: Micros, rules: RunSettings) -> Self {
        Self::expecting_calls(committed, rules, None)
    }

    fn expecting_calls(committed: Micros, rules: RunSettings, patience: Option<Duration>) -> Self {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let budget = Budget::new(committed, rules.max_spend);
        let board = Board::new(Arc::new(rules), clock, budget, patience);
        let (actions, working, parked, probing) = Default::default();
        let (kept, pause_writes) = Default::default();
        Self { board, clock, actions, working, parked, probing, kept, pause_writes }
    }

    /// With these items from the ledger, and no others to come.
    fn with(items: Vec<Item>) -> Self {
        Self::with_rules(rules(), items)
    }

    fn with_rules(rules: RunSettings, items: Vec<Item>) -> Self {
        let mut table = Self::new(rules);
        table.load(items);
        table
    }

    fn load(&mut self, items: Vec<Item>) {
        self.board.supply.rows_arrived(true);
        self.board.loaded(items, true, &mut self.actions);
    }

    fn adopt(&mut self, item: Item) {
        self.board.adopt(item, &mut self.actions);
    }

    /// Starts what may start and returns it in words.
    fn go(&mut self) -> Vec<String> {
        self.board.start(&mut self.actions);
        let mut words = Vec::new();
        for action in mem::take(&mut self.actions) {
            match action {
                Action::Start(step, item) => {
                    words.push(format!("{step:?} {}", item.id).to_lowercase());
                    let doubled = self.working.insert(item.id.0, (step, *item));
                    assert!(doubled.is_none(), "two steps of one item at once");
                }
                Action::Park(id, at) => {
                    self.parked.insert(id.0, at);
                }
                Action::Probe => {
                    words.push("probe".into());
                    self.probing = true;
                }
                Action::Load { .. } => words.push("load".into()),
                Action::Name { item, attempt, request_id, .. } => {
                    words.push(format!("name {item} {attempt} {request_id}"));
                }
                Action::Resubmit { item, .. } => words.push(format!("resubmit {item}")),
                Action::KeepPause { endpoint, until } => {
                    self.kept.extend(endpoint, until);
                    self.pause_writes += 1;
                    self.board.pause_kept();
                }
                Action::GiveUp { item, .. } => {
                    words.push(format!("give up {}", item.id));
                    self.working.insert(item.id.0, (Step::Poll, *item));
                }
            }
        }
        self.check_slots();
        words
    }

    /// The same with a moment for the quota, which starts empty when a rate changes.
    async fn go_soon(&mut self) -> Vec<String> {
        let mut words = self.go();
        self.pass(Duration::from_millis(20)).await;
        words.extend(self.go());
        words
    }

    /// Ends the running step of an item with these events.
    fn end(&mut self, id: i64, events: Vec<ItemEvent>, signal: Signal) {
        let (step, item) = self.working.remove(&id).expect("a running step");
        let item = samples::after(item, events, self.clock.now());
        let report = StepReport { step, item, signal, retrying: None, took: None };
        self.board.ended(report, &mut self.actions);
    }

    fn end_submit(&mut self, id: i64, event: ItemEvent, signal: Signal) {
        self.end(id, vec![ItemEvent::SubmitIntent { price: PRICE }, event], signal);
    }

    fn probed(&mut self, signal: Signal) {
        self.probing = false;
        self.board.probed(signal);
    }

    fn accept(&mut self, id: i64) {
        self.end_submit(id, accepted(id), Signal::Sane);
    }

    /// Ends a submit without a known answer, and returns the item as the ledger has it.
    fn lose(&mut self, id: i64) -> Item {
        let item = self.working[&id].1.clone();
        let events = vec![ItemEvent::SubmitIntent { price: PRICE }, lost()];
        let item = samples::after(item, events, self.clock.now());
        self.end_submit(id, lost(), doubtful());
        item
    }

    /// Ends a submit with a refusal; returns the item as it is then.
    fn refuse(&mut self, id: i64) -> Item {
        let item = self.working[&id].1.clone();
        let events = vec![ItemEvent::SubmitIntent { price: PRICE }, rejected()];
        let item = samples::after(item, events, self.clock.now());
        self.end_submit(id, rejected(), Signal::Sane);
        item
    }

    /// Ends what was to be done about an item in doubt.
    fn resolve(&mut self, item: Item, event: ItemEvent) {
        let (id, attempt, before) = (item.id, item.attempts(), item.committed());
        let item = samples::after(item, vec![event], self.clock.now());
        self.board.resolved(id, attempt, Some((item, before)), &mut self.actions);
    }

    fn complete(&mut self, id: i64) {
        self.end(id, vec![completed()], Signal::Sane);
    }

    fn publish(&mut self, id: i64) {
        self.end(id, vec![published()], Signal::None);
    }

    /// Lets time pass and wakes who waited for it.
    async fn pass(&mut self, time: Duration) {
        advance(time).await;
        let now = Instant::now();
        let due = |at: &Instant| *at <= now;
        let woken: Vec<_> =
            self.parked.iter().filter(|(_, at)| due(at)).map(|(id, _)| *id).collect();
        for id in woken {
            self.parked.remove(&id);
            self.board.due(ItemId(id), &mut self.actions);
        }
    }

    /// A submit slot is held by every submit on the wire and every request at the service.
    fn check_slots(&self) {
        let board = &self.board;
        let at_service = |item: &&Item| item.state == ItemState::Submitted;
        let waiting = board.parked.values().map(|waiting| &waiting.item).filter(at_service).count()
            + board.polls.line.len();
        let count = |step| self.working.values().filter(|(found, _)| *found == step).count();
        let (submits, polls) = (count(Step::Submit), count(Step::Poll));
        assert!(board.pacer.in_use(Endpoint::Submit) >= waiting + submits + polls);
        assert_eq!(board.pacer.in_use(Endpoint::Poll), polls + usize::from(self.probing));
        assert_eq!(board.pacer.in_use(Endpoint::Fetch), count(Step::Fetch));
        assert!(board.ready >= board.lanes.fetch.len() + count(Step::Fetch));
    }

    fn assert_nothing_is_held(&self) {
        for endpoint in [Endpoint::Submit, Endpoint::Poll, Endpoint::Fetch] {
            assert_eq!(self.board.pacer.in_use(endpoint), 0, "{endpoint:?}");
        }
        assert_eq!(self.board.ready, 0);
        assert_eq!(self.board.steps(), 0);
    }

    fn cause(&self) -> &HaltCause {
        match &self.board.mode {
            Mode::Halted { cause, .. } => cause,
            other => panic!("not halted: {other:?}"),
        }
    }

    fn heard_outage(&self) -> bool {
        self.board.told.iter().any(|event| matches!(event, RunEvent::Outage { .. }))
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn accepted(id: i64) -> ItemEvent {
    ItemEvent::Accepted { request_id: RequestId(format!("r{id}")), polling_url: None }
}

fn completed() -> ItemEvent {
    ItemEvent::Completed { media: vec!["https://media.example.org/a.png".into()] }
}

fn published() -> ItemEvent {
    ItemEvent::Published { artifacts: Vec::new() }
}

fn not_accepted() -> ItemEvent {
    ItemEvent::NotAccepted { failure: failure(FailureCode::NotSent) }
}

fn rejected() -> ItemEvent {
    ItemEvent::Rejected(failure(FailureCode::Rejected))
}

fn lost() -> ItemEvent {
    ItemEvent::AnswerLost(failure(FailureCode::InDoubt))
}

fn doubtful() -> Signal {
    Signal::Doubtful(failure(FailureCode::InDoubt))
}

fn down() -> Signal {
    Signal::Down { failure: failure(FailureCode::StatusUnavailable), retry_after: None }
}

fn throttled(seconds: u64) -> Signal {
    Signal::Throttled { failure: failure(FailureCode::Throttled), retry_after: Some(secs(seconds)) }
}

fn account(code: FailureCode) -> Signal {
    Signal::Account(failure(code))
}

fn in_flight(most: usize) -> RunSettings {
    let submit = LaneLimits { at_once: most, ..rules().submit };
    RunSettings { submit, ..rules() }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

#[tokio::test(start_paused = true)]
async fn the_way_of_an_item_takes_and_gives_back_each_slot_once() {
    let mut table = Table::with(vec![staged(1)]);
    assert_eq!(table.go(), ["submit 1"]);
    table.accept(1);
    assert_eq!(table.go(), [""; 0], "the first poll comes an interval later");
    assert_eq!(table.board.pacer.in_use(Endpoint::Submit), 1);
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
    table.end(1, Vec::new(), Signal::Sane);
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
    table.complete(1);
    assert_eq!(table.go(), ["fetch 1"]);
    assert_eq!(table.board.pacer.in_use(Endpoint::Submit), 0, "the service is done");
    assert!(!table.board.is_over());
    table.publish(1);
    assert_eq!(table.go(), [""; 0]);
    table.assert_nothing_is_held();
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_ends_the_item_gives_its_slot_back() {
    for (event, signal) in [(rejected(), Signal::Sane), (lost(), doubtful())] {
        let mut table = Table::with(vec![staged(1)]);
        table.go();
        table.end_submit(1, event, signal);
        assert_eq!(table.go(), [""; 0]);
        table.assert_nothing_is_held();
        assert!(table.board.is_over());
    }
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_submit_that_policy_repeats_goes_through_a_slot_again() {
    let resubmit = RunSettings { in_doubt: InDoubtPolicy::Resubmit, ..in_flight(1) };
    let mut table = Table::with_rules(resubmit, vec![staged(1)]);
    table.go();
    let item = table.lose(1);
    assert_eq!(table.board.pacer.in_use(Endpoint::Submit), 0);
    assert_eq!(table.go(), ["resubmit 1"]);
    assert!(!table.board.is_over());
    table.resolve(item, ItemEvent::Resubmit);
    assert_eq!(table.go(), ["submit 1"]);
    assert_eq!(table.board.budget.committed(), PRICE + PRICE, "it may have cost twice");
}

#[tokio::test(start_paused = true)]
async fn an_error_waits_and_is_submitted_again_in_a_slot_of_its_own() {
    let mut table = Table::with_rules(in_flight(1), vec![staged(1), staged(2)]);
    assert_eq!(table.go(), ["submit 1"]);
    table.accept(1);
    table.go();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
    let not_before = table.clock.now() + secs(20);
    let error = ItemEvent::ServiceError { failure: failure(FailureCode::ServiceError), not_before };
    table.end(1, vec![error], Signal::Sane);
    assert_eq!(table.board.budget.committed(), Micros::ZERO, "an ERROR is free");
    assert_eq!(table.go(), ["submit 2"], "its slot is free for another meanwhile");
    table.end_submit(2, rejected(), Signal::Sane);
    assert_eq!(table.go(), [""; 0]);
    assert!(!table.board.is_over(), "the first one waits");
    table.pass(secs(20)).await;
    assert_eq!(table.go(), ["submit 1"]);
    table.end_submit(1, rejected(), Signal::Sane);
    table.go();
    table.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn an_expired_link_is_polled_again_and_costs_nothing() {
    let mut table = Table::new(rules());
    table.load(Vec::new());
    table.adopt(ready(1, now()));
    assert_eq!(table.go(), ["fetch 1"]);
    let expired = ItemEvent::LinkExpired(failure(FailureCode::MediaUnavailable));
    table.end(1, vec![expired], Signal::None);
    assert_eq!(table.board.pacer.in_use(Endpoint::Submit), 1);
    table.go();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
    table.complete(1);
    assert_eq!(table.go(), ["fetch 1"]);
    table.publish(1);
    table.go();
    table.assert_nothing_is_held();
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_back_what_its_step_held() {
    for (item, step) in [
        (staged(1), Step::Submit),
        (submitted(1, now()), Step::Poll),
        (ready(1, now()), Step::Fetch),
        (Item { state: ItemState::Pending, ..staged(1) }, Step::Stage),
    ] {
        let mut table = Table::new(rules());
        table.load(Vec::new());
        table.adopt(item);
        table.go();
        table.pass(secs(5)).await;
        table.go();
        table.working.remove(&1).unwrap();
        table.board.lost(step, ItemId(1));
        assert_eq!(table.go(), [""; 0], "left alone until the next run");
        table.assert_nothing_is_held();
        assert!(table.board.is_over());
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_at_the_service_than_allowed() {
    let mut table = Table::with_rules(in_flight(3), (1..=6).map(staged).collect());
    table.adopt(submitted(7, now()));
    assert_eq!(table.go(), ["submit 1", "submit 2"]);
    table.accept(1);
    assert_eq!(table.go(), [""; 0], "an accepted request keeps its slot");
    table.end_submit(2, rejected(), Signal::Sane);
    assert_eq!(table.go(), ["submit 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_downloads_stops_submitting() {
    let mut table = Table::with_rules(in_flight(2), vec![staged(1_000)]);
    for id in 1..=64 {
        table.adopt(ready(id, now()));
    }
    let started = table.go();
    assert_eq!(started.iter().filter(|word| word.starts_with("fetch")).count(), 64);
    assert!(!started.contains(&"submit 1000".to_owned()));
    table.publish(1);
    assert_eq!(table.go(), ["submit 1000"]);
}

/// An outage does not run into the deadline, a request that alone is never readable does.
#[tokio::test(start_paused = true)]
async fn a_status_that_is_never_readable_while_others_are_ends_its_item() {
    let mut table = Table::with(vec![]);
    table.adopt(submitted(8, now()));
    assert_eq!(table.go(), [""; 0]);
    table.pass(rules().deadline).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), down());
    assert_eq!(table.go(), ["probe"]);
    table.probed(down());
    table.pass(secs(30)).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), down());
    assert_eq!(table.go(), ["probe"], "nothing was answered in between");
    table.probed(Signal::Sane);
    table.pass(secs(30)).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), down());
    assert_eq!(table.go(), ["give up 8"]);
    let failure = failure(FailureCode::Deadline);
    table.end(8, vec![ItemEvent::PollGaveUp(failure)], Signal::None);
    assert_eq!(table.go(), [""; 0]);
    assert!(table.board.is_over());
}

/// Five broken pictures look like an outage; one more picture shows that it is none.
#[tokio::test(start_paused = true)]
async fn a_few_broken_pictures_do_not_stop_the_others_for_good() {
    let mut table = Table::with(vec![]);
    for id in 1..=5 {
        table.adopt(ready(id, now()));
    }
    assert_eq!(table.go().len(), 5);
    for id in 1..=5 {
        let failure = failure(FailureCode::MediaUnavailable);
        let not_before = Timestamp::from_second(100_000).unwrap();
        table.end(id, vec![ItemEvent::Postponed { failure, not_before }], down());
    }
    table.load(vec![staged(11), staged(12)]);
    assert_eq!(table.go(), [""; 0], "nothing more is paid for at once");
    table.pass(secs(2)).await;
    assert_eq!(table.go(), ["submit 11"]);
    table.accept(11);
    assert_eq!(table.go(), [""; 0], "one at a time");
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 11"]);
    table.complete(11);
    assert_eq!(table.go(), ["fetch 11"]);
    table.publish(11);
    assert_eq!(table.go(), ["submit 12"]);
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_never_overshot_and_ends_the_job_only_when_no_money_can_come_back() {
    let capped = RunSettings { max_spend: Some(PRICE.times(3)), ..rules() };
    let mut table = Table::after_spending(PRICE, capped);
    table.load((1..=5).map(staged).collect());
    assert_eq!(table.go(), ["submit 1", "submit 2"]);
    assert_eq!(table.board.budget.committed(), PRICE.times(3));
    table.accept(1);
    assert_eq!(table.go(), [""; 0]);
    assert_eq!(table.board.mode, Mode::Running);
    table.end_submit(2, rejected(), Signal::Sane);
    assert_eq!(table.go(), ["submit 3"], "a rejection is free");
    table.end_submit(3, lost(), doubtful());
    assert_eq!(table.go(), [""; 0], "a doubt may have cost");
    assert_eq!(table.board.mode, Mode::Running, "request 1 may still end in a free ERROR");
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
    table.complete(1);
    assert_eq!(table.go(), ["fetch 1"]);
    let cap = PRICE.times(3);
    assert_eq!(table.cause(), &HaltCause::SpendCap { committed: cap, cap });
    table.publish(1);
    table.go();
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn the_cap_ends_the_job_during_an_outage_too() {
    let capped = RunSettings { max_spend: Some(PRICE.times(3)), ..rules() };
    let mut table = Table::with_rules(capped, (1..=4).map(staged).collect());
    assert_eq!(table.go(), ["submit 1", "submit 2", "submit 3"]);
    for id in 1..=3 {
        table.end_submit(id, lost(), doubtful());
    }
    assert_eq!(table.go(), [""; 0]);
    assert!(matches!(table.cause(), HaltCause::SpendCap { .. }), "{:?}", table.cause());
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn an_empty_wallet_stops_submits_and_finishes_what_is_paid_for() {
    let mut table = Table::with((1..=3).map(staged).collect());
    table.adopt(submitted(8, now()));
    table.adopt(ready(9, now()));
    assert_eq!(table.go(), ["fetch 9", "submit 1", "submit 2", "submit 3"]);
    table.end_submit(1, not_accepted(), account(FailureCode::InsufficientBalance));
    table.accept(2);
    table.end_submit(3, not_accepted(), account(FailureCode::InsufficientBalance));
    assert_eq!(table.go(), [""; 0], "nothing is submitted again");
    assert_eq!(table.cause(), &HaltCause::Account(failure(FailureCode::InsufficientBalance)));
    assert!(!table.board.is_over());
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 2", "poll 8"]);
    table.complete(8);
    table.end(2, vec![ItemEvent::ServiceFailed(failure(FailureCode::ServiceFailed))], Signal::Sane);
    assert_eq!(table.go(), ["fetch 8"]);
    table.publish(8);
    table.publish(9);
    table.go();
    assert!(table.board.is_over());
    table.assert_nothing_is_held();
    let halts = table.board.told.iter().filter(|event| matches!(event, RunEvent::Halted(_)));
    assert_eq!(halts.count(), 1, "people are told once");
}

#[tokio::test(start_paused = true)]
async fn a_key_refused_by_a_poll_stops_polling_and_fetches_what_is_ready() {
    let mut table = Table::new(rules());
    table.load(vec![staged(5)]);
    for id in 1..=3 {
        table.adopt(submitted(id, now()));
    }
    assert_eq!(table.go(), ["submit 5"]);
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1", "poll 2", "poll 3"]);
    table.complete(1);
    table.end(2, Vec::new(), account(FailureCode::KeyRefused));
    assert_eq!(table.go(), ["fetch 1"]);
    table.end(3, Vec::new(), Signal::Sane);
    table.accept(5);
    table.publish(1);
    table.pass(secs(60)).await;
    assert_eq!(table.go(), [""; 0], "no poll, though requests are open");
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn the_first_cause_stays_and_a_later_one_only_stops_more() {
    let mut table = Table::new(rules());
    table.board.halt(HaltCause::Account(failure(FailureCode::InsufficientBalance)), true);
    table.adopt(submitted(1, now()));
    table.board.halt(HaltCause::Account(failure(FailureCode::KeyRefused)), false);
    assert_eq!(table.cause(), &HaltCause::Account(failure(FailureCode::InsufficientBalance)));
    assert!(table.board.is_over(), "polling is useless");
}

#[tokio::test(start_paused = true)]
async fn a_drain_starts_nothing_but_downloads_of_what_is_done() {
    for broken_before in [false, true] {
        let mut table = Table::with_rules(in_flight(2), (1..=3).map(staged).collect());
        table.adopt(submitted(7, now()));
        table.adopt(submitted(8, now()));
        table.pass(secs(5)).await;
        assert_eq!(table.go(), [""; 0]);
        table.pass(secs(5)).await;
        assert_eq!(table.go(), ["poll 7", "poll 8"]);
        if broken_before {
            table.board.manifest_broke();
        }
        table.board.drain();
        assert!(!table.board.is_over());
        table.complete(7);
        table.end(8, Vec::new(), Signal::Sane);
        assert_eq!(table.go(), ["fetch 7"]);
        table.publish(7);
        assert_eq!(table.go(), [""; 0]);
        assert!(table.board.is_over(), "request 8 is left to the next run");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_closes_only_the_gate_of_its_endpoint() {
    let mut table = Table::with_rules(in_flight(10), (1..=2).map(staged).collect());
    table.adopt(submitted(8, now()));
    table.go();
    table.end_submit(1, not_accepted(), throttled(30));
    table.end_submit(2, not_accepted(), throttled(10));
    assert_eq!(table.go(), [""; 0], "the gate is closed");
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 8"], "polls have their own gate");
    table.end(8, Vec::new(), throttled(60));
    table.pass(secs(25)).await;
    assert_eq!(table.go_soon().await, ["submit 1", "submit 2"], "after the longer pause");
    table.pass(secs(34)).await;
    assert_eq!(table.go_soon().await, [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go_soon().await, ["poll 8"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_out_of_order_may_say_how_long_to_leave_it_alone() {
    let mut table = Table::new(rules());
    table.load(Vec::new());
    table.adopt(submitted(8, now()));
    table.go();
    table.pass(secs(5)).await;
    table.go();
    let out =
        Signal::Down { failure: failure(FailureCode::Throttled), retry_after: Some(secs(120)) };
    table.end(8, Vec::new(), out);
    table.go();
    table.pass(secs(119)).await;
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(1)).await;
    assert_eq!(table.go(), ["poll 8"]);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_one_submit_goes_first() {
    let mut table = Table::with((1..=4).map(staged).collect());
    table.go();
    for id in 1..=4 {
        table.end_submit(id, not_accepted(), down());
    }
    assert_eq!(table.go(), [""; 0]);
    assert!(table.heard_outage());
    table.pass(secs(2)).await;
    assert_eq!(table.go(), ["probe"]);
    assert_eq!(table.go(), [""; 0], "one probe at a time");
    table.probed(Signal::Sane);
    assert_eq!(table.go(), ["submit 1"]);
    assert_eq!(table.go(), [""; 0]);
    table.accept(1);
    assert_eq!(table.go(), ["submit 2", "submit 3", "submit 4"]);
}

/// Each answer may ask for a pause, not only the one that stops submitting.
#[tokio::test(start_paused = true)]
async fn the_longest_pause_of_several_refused_submits_counts() {
    let mut table = Table::with((1..=2).map(staged).collect());
    table.go();
    let pause = |seconds| Signal::Down {
        failure: failure(FailureCode::Throttled),
        retry_after: Some(secs(seconds)),
    };
    table.end_submit(1, not_accepted(), pause(1));
    table.end_submit(2, not_accepted(), pause(60));
    table.pass(secs(2)).await;
    assert_eq!(table.go(), ["probe"]);
    table.probed(Signal::Sane);
    assert_eq!(table.go(), [""; 0], "not before the minute has passed");
    table.pass(secs(58)).await;
    assert_eq!(table.go(), ["submit 1"]);
}

/// A probe is a status request: the pause of another one counts for it, and its own for
/// the others.
#[tokio::test(start_paused = true)]
async fn a_probe_keeps_the_pauses_of_polls() {
    let throttled = |seconds| Signal::Throttled {
        failure: failure(FailureCode::Throttled),
        retry_after: Some(secs(seconds)),
    };
    let mut table = Table::with(vec![staged(1)]);
    table.adopt(submitted(8, now()));
    table.go();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), throttled(20));
    table.end_submit(1, not_accepted(), down());
    table.pass(secs(5)).await;
    assert_eq!(table.go(), [""; 0], "the probe waits for the pause to pass");
    table.pass(secs(16)).await;
    assert_eq!(table.go(), ["probe", "poll 8"]);
    table.end(8, Vec::new(), Signal::Sane);
    table.probed(throttled(30));
    table.pass(secs(20)).await;
    assert_eq!(table.go(), ["submit 1"], "no poll: the probe was asked for a pause");
    table.pass(secs(11)).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), Signal::Sane);
    assert_eq!(table.board.pacer.in_use(Endpoint::Poll), 0, "the probe gave its slot back");
}

/// A row that an editor has removed while its request was at the service.
#[tokio::test(start_paused = true)]
async fn what_the_manifest_no_longer_has_is_finished_and_not_submitted_again() {
    let mut table = Table::new(rules());
    table.board.edition = Some(Edition(2));
    table.load(Vec::new());
    table.adopt(submitted(8, now()));
    table.go();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 8"]);
    let not_before = table.clock.now();
    let error = ItemEvent::ServiceError { failure: failure(FailureCode::ServiceError), not_before };
    table.end(8, vec![error], Signal::Sane);
    assert_eq!(table.go(), [""; 0]);
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn refused_submits_halt_the_job_while_polls_that_are_answered_go_on() {
    let limit = rules().outage_limit;
    let mut table = Table::with(vec![staged(1)]);
    table.adopt(submitted(8, now()));
    table.go();
    table.end_submit(1, not_accepted(), down());
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["probe", "poll 8"]);
    table.end(8, Vec::new(), Signal::Sane);
    table.probed(down());
    assert_eq!(table.go(), [""; 0]);
    table.pass(limit).await;
    let started = table.go();
    let HaltCause::Outage { lasted, .. } = table.cause() else { panic!("{:?}", table.cause()) };
    assert!(*lasted >= limit);
    assert_eq!(started, ["poll 8"], "what is paid for is finished");
}

#[tokio::test(start_paused = true)]
async fn pauses_without_end_halt_the_job_and_one_acceptance_begins_anew() {
    let mut table = Table::with_rules(in_flight(1), vec![staged(1), staged(2)]);
    let limit = rules().outage_limit;
    let mut accepted = false;
    let mut since = Instant::now();
    while table.board.mode == Mode::Running {
        let words = table.go_soon().await;
        if let Some(id) = words.iter().find_map(|word| word.strip_prefix("submit ")) {
            let id = id.parse().unwrap();
            if !accepted && since.elapsed() > limit / 2 {
                accepted = true;
                since = Instant::now();
                table.end_submit(id, rejected(), Signal::Sane);
            } else {
                table.end_submit(id, not_accepted(), throttled(60));
            }
        }
        assert!(since.elapsed() < limit * 2, "it never halts");
        table.pass(secs(20)).await;
    }
    assert!(accepted);
    assert!(since.elapsed() >= limit, "{:?}", since.elapsed());
    let HaltCause::Outage { failure, .. } = table.cause() else { panic!("{:?}", table.cause()) };
    assert_eq!(failure.code, FailureCode::Throttled);
    assert!(matches!(table.board.mode, Mode::Halted { polling: true, .. }));
}

/// A key that is refused says so for ever: nothing else would end the run.
#[tokio::test(start_paused = true)]
async fn a_key_refused_after_the_manifest_broke_off_ends_the_run() {
    let mut table = Table::with(vec![]);
    table.adopt(submitted(8, now()));
    table.go();
    table.board.manifest_broke();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 8"]);
    table.end(8, Vec::new(), account(FailureCode::KeyRefused));
    assert_eq!(table.go(), [""; 0]);
    assert!(table.board.is_over());
}

/// An item of an earlier run comes back from the service while the ledger is still being
/// read towards it.
#[tokio::test(start_paused = true)]
async fn an_item_in_hand_is_not_loaded_again() {
    let mut table = Table::with(vec![]);
    table.adopt(submitted(900, now()));
    table.go();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 900"]);
    let error = ItemEvent::ServiceError {
        failure: failure(FailureCode::ServiceError),
        not_before: table.clock.now() + secs(10),
    };
    table.end(900, vec![error], Signal::Sane);
    table.load(vec![staged(900)]);
    assert_eq!(table.go(), [""; 0]);
    table.pass(secs(10)).await;
    assert_eq!(table.go(), ["submit 900"]);
    table.load(vec![staged(900)]);
    assert_eq!(table.go(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn polls_that_are_put_off_without_end_halt_the_job() {
    let mut table = Table::with_rules(in_flight(1), vec![]);
    table.adopt(submitted(8, now()));
    let began = Instant::now();
    while table.board.mode == Mode::Running {
        if table.go_soon().await.contains(&"poll 8".to_owned()) {
            table.end(8, Vec::new(), throttled(60));
        }
        assert!(began.elapsed() < rules().outage_limit * 2, "it never halts");
        table.pass(secs(20)).await;
    }
    assert!(began.elapsed() >= rules().outage_limit);
    let HaltCause::Outage { failure, .. } = table.cause() else { panic!("{:?}", table.cause()) };
    assert_eq!(failure.code, FailureCode::Throttled);
    assert!(matches!(table.board.mode, Mode::Halted { polling: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn doubts_about_the_last_submits_do_not_end_polls_that_are_answered() {
    let mut table = Table::with((1..=3).map(staged).collect());
    table.adopt(submitted(8, now()));
    table.go();
    for id in 1..=3 {
        table.end_submit(id, lost(), doubtful());
    }
    for _ in 0..200 {
        table.pass(secs(30)).await;
        assert_eq!(table.go(), ["poll 8"]);
        table.end(8, Vec::new(), Signal::Sane);
        table.go();
    }
    assert_eq!(table.board.mode, Mode::Running);
    table.pass(secs(30)).await;
    table.go();
    table.complete(8);
    assert_eq!(table.go(), ["fetch 8"]);
}

#[tokio::test(start_paused = true)]
async fn one_failed_poll_after_a_doubt_is_no_outage() {
    let mut table = Table::with(vec![staged(1)]);
    table.adopt(submitted(8, now()));
    table.go();
    table.end_submit(1, lost(), doubtful());
    table.pass(secs(5)).await;
    table.go();
    table.end(8, Vec::new(), down());
    for _ in 0..100 {
        table.go();
        table.pass(secs(30)).await;
        assert_eq!(table.go(), ["poll 8"]);
        table.end(8, Vec::new(), Signal::Sane);
    }
    assert_eq!(table.board.mode, Mode::Running);
    assert!(!table.heard_outage(), "a hiccup is not worth a word");
    let over = |event: &RunEvent| matches!(event, RunEvent::OutageOver { .. });
    assert!(!table.board.told.iter().any(over));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_comes_back_after_a_quiet_time_finds_patience_anew() {
    let mut table = Table::with((1..=3).map(staged).collect());
    table.adopt(submitted(8, now()));
    table.go();
    for id in 1..=3 {
        table.end_submit(id, lost(), doubtful());
    }
    table.go();
    for _ in 0..40 {
        table.pass(secs(30)).await;
        table.go();
        table.end(8, Vec::new(), Signal::Sane);
        table.go();
    }
    table.pass(secs(30)).await;
    table.go();
    let not_before = table.clock.now();
    let error = ItemEvent::ServiceError { failure: failure(FailureCode::ServiceError), not_before };
    table.end(8, vec![error], Signal::Sane);
    assert_eq!(table.go(), ["probe"]);
    table.probed(Signal::Sane);
    assert_eq!(table.go(), ["submit 8"]);
}

#[tokio::test(start_paused = true)]
async fn polls_without_an_answer_are_told_and_halt_in_the_end() {
    let mut table = Table::new(rules());
    table.load(Vec::new());
    table.adopt(submitted(8, now()));
    table.go();
    let mut polls = 0;
    while table.board.mode == Mode::Running {
        table.pass(secs(30)).await;
        if table.go() == ["poll 8"] {
            table.end(8, Vec::new(), down());
            table.go();
            polls += 1;
        }
    }
    assert!(matches!(table.cause(), HaltCause::Outage { .. }));
    assert!((30..=31).contains(&polls), "{polls}");
    assert!(table.heard_outage());
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn an_output_folder_that_cannot_be_written_stops_everything() {
    let mut table = Table::with(vec![staged(1)]);
    table.adopt(submitted(2, now()));
    let postponed = ItemEvent::Postponed {
        failure: failure(FailureCode::MediaUnavailable),
        not_before: table.clock.now() + secs(3),
    };
    table.adopt(samples::after(ready(3, now()), vec![postponed], now()));
    table.adopt(ready(4, now()));
    table.adopt(ready(5, now()));
    assert_eq!(table.go(), ["fetch 4", "fetch 5", "submit 1"]);
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["fetch 3", "poll 2"]);
    table.end(4, Vec::new(), Signal::Output(failure(FailureCode::NotWritable)));
    assert_eq!(table.cause(), &HaltCause::Output(failure(FailureCode::NotWritable)));
    table.complete(2);
    table.accept(1);
    table.publish(5);
    table.end(3, Vec::new(), Signal::Output(failure(FailureCode::NotWritable)));
    assert_eq!(table.go(), [""; 0]);
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn an_item_is_left_alone_until_its_time() {
    let later = now() + secs(100);
    for (state, word) in [(ItemState::Pending, "stage 1"), (ItemState::Staged, "submit 1")] {
        let item = Item { state, not_before: Some(later), ..staged(1) };
        let mut table = Table::with(vec![item]);
        assert_eq!(table.go(), [""; 0]);
        assert!(!table.board.is_over());
        table.pass(secs(99)).await;
        assert_eq!(table.go(), [""; 0]);
        table.pass(secs(1)).await;
        assert_eq!(table.go(), [word]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_staged_by_an_earlier_run_is_made_anew_and_its_wait_kept() {
    let url = Some("https://stage.example.org/old".to_owned());
    let not_before = Some(now() + secs(100));
    let waiting = Item { staged_url: url.clone(), not_before, ..staged(2) };
    let mut table = Table::with(vec![Item { staged_url: url, ..staged(1) }, waiting]);
    assert_eq!(table.go(), ["stage 1", "stage 2"]);
    let anew = || {
        let url = Some("https://stage.example.org/new".to_owned());
        vec![ItemEvent::StageExpired, ItemEvent::Staged { url }]
    };
    table.end(1, anew(), Signal::None);
    table.end(2, anew(), Signal::None);
    assert_eq!(table.go(), ["submit 1"]);
    table.end_submit(1, rejected(), Signal::Sane);
    table.pass(secs(100)).await;
    assert_eq!(table.go(), ["submit 2"]);
}

#[tokio::test(start_paused = true)]
async fn staging_stays_a_little_ahead_of_submitting() {
    let local = |id| Item { state: ItemState::Pending, source: "a.jpg".into(), ..staged(id) };
    let mut table = Table::with_rules(in_flight(1), (1..=40).map(local).collect());
    let url = || vec![ItemEvent::Staged { url: Some("https://stage.example.org/a".into()) }];
    let mut ended = 0;
    loop {
        let started = table.go();
        let stages: Vec<i64> = table
            .working
            .iter()
            .filter(|(_, (step, _))| *step == Step::Stage)
            .map(|(id, _)| *id)
            .collect();
        assert!(stages.len() <= STAGING, "{started:?}");
        let Some(first) = stages.first() else { break };
        table.end(*first, url(), Signal::None);
        ended += 1;
    }
    assert!((2 * STAGING..=3 * STAGING + 1).contains(&ended), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_over_before_the_ledger_has_no_more() {
    let mut table = Table::new(rules());
    assert_eq!(table.go(), ["load"]);
    assert!(!table.board.is_over(), "the answer is to come");
    table.board.loaded(Vec::new(), false, &mut table.actions);
    assert_eq!(table.go(), [""; 0], "nothing yet, and the manifest goes on");
    assert!(!table.board.is_over());
    table.board.supply.rows_arrived(true);
    assert_eq!(table.go(), ["load"]);
    table.board.loaded(Vec::new(), true, &mut table.actions);
    table.go();
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn more_is_loaded_before_the_hand_is_empty() {
    let page = i64::try_from(LOAD).unwrap();
    let mut table = Table::with_rules(in_flight(200), (1..=page).map(staged).collect());
    let mut submits = 0;
    loop {
        let started = table.go();
        submits += started.iter().filter(|word| word.starts_with("submit")).count();
        if started.contains(&"load".to_owned()) {
            break;
        }
        table.pass(Duration::from_millis(10)).await;
    }
    assert!(submits < LOAD, "{submits}");
}

#[tokio::test(start_paused = true)]
async fn every_early_end_waits_for_what_is_running() {
    let ends: [fn(&mut Board); 4] = [
        |board| board.drain(),
        |board| board.manifest_broke(),
        |board| board.halt(HaltCause::Account(failure(FailureCode::KeyRefused)), false),
        |board| board.halt(HaltCause::Account(failure(FailureCode::KeyRefused)), true),
    ];
    for end in ends {
        let mut table = Table::with_rules(in_flight(1), vec![staged(1), staged(2)]);
        assert_eq!(table.go(), ["submit 1"]);
        end(&mut table.board);
        assert!(!table.board.is_over(), "a submit is on the wire");
        table.end_submit(1, rejected(), Signal::Sane);
        assert_eq!(table.go(), [""; 0]);
        assert!(table.board.is_over(), "the second one stays in the ledger");
        table.board.loaded(vec![staged(3)], true, &mut table.actions);
        assert_eq!(table.go(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_manifest_still_polls_and_fetches() {
    let mut table = Table::with(vec![staged(1)]);
    table.go();
    table.accept(1);
    table.board.manifest_broke();
    table.go();
    table.pass(secs(5)).await;
    assert_eq!(table.go(), ["poll 1"]);
    table.complete(1);
    assert_eq!(table.go(), ["fetch 1"]);
    table.publish(1);
    table.go();
    assert!(table.board.is_over());
}
