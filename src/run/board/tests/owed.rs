//! More is owed than may be at the service at once.

use super::*;
use crate::core::HaltCause;

/// A board with two requests in hand, its most, and more in the ledger.
fn table() -> Table {
    let submit = LaneLimits { at_once: 2, ..rules().submit };
    let mut table = Table::new(RunSettings { submit, ..rules() });
    table.adopt(ready(1, Timestamp::UNIX_EPOCH));
    table.adopt(submitted(2, Timestamp::UNIX_EPOCH));
    table.board.supply.owes_after(ItemId(2));
    table
}

fn account() -> HaltCause {
    HaltCause::Account(failure(FailureCode::KeyRefused))
}

#[tokio::test(start_paused = true)]
async fn the_next_page_is_read_when_there_is_room() {
    let mut table = table();
    assert_eq!(table.go(), ["fetch 1"], "and nothing is loaded");
    table.publish(1);
    assert_eq!(table.go(), ["load"]);
    // One that is in hand already is not taken twice.
    table.load(vec![submitted(2, Timestamp::UNIX_EPOCH), ready(3, Timestamp::UNIX_EPOCH)]);
    assert_eq!(table.go(), ["fetch 3", "load"], "that was all, and what is new comes next");
}

#[tokio::test(start_paused = true)]
async fn a_halt_finishes_what_is_paid_for() {
    let mut table = table();
    table.board.halt(account(), true);
    assert_eq!(table.go(), ["fetch 1"]);
    table.publish(1);
    assert!(!table.board.is_over());
    assert_eq!(table.go(), ["load"]);
    table.load(vec![ready(3, Timestamp::UNIX_EPOCH)]);
    assert_eq!(table.go(), ["fetch 3"]);
}

#[tokio::test(start_paused = true)]
async fn where_polls_are_useless_only_downloads_go_on() {
    let mut table = table();
    table.board.halt(account(), false);
    assert_eq!(table.go(), ["fetch 1", "load"], "what is at the service takes no place");
    table.load(vec![submitted(3, Timestamp::UNIX_EPOCH), ready(4, Timestamp::UNIX_EPOCH)]);
    assert_eq!(table.go(), ["fetch 4"]);
    for item in [1, 4] {
        assert!(!table.board.is_over());
        table.publish(item);
    }
    assert!(table.board.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_up_nothing_more() {
    for stop in [Board::drain, Board::freeze] {
        let mut table = table();
        assert_eq!(table.go(), ["fetch 1"]);
        table.publish(1);
        stop(&mut table.board);
        assert!(!table.go().contains(&"load".to_owned()));
    }
}
