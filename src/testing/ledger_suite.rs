//! What every ledger has to do, as functions that panic when it does not.
//!
//! Functions of the first kind take a ledger nobody has used; those of the second
//! kind take a [`Home`], in which the same ledger is opened several times. A bug that
//! is found in one implementation becomes a function here, and a line in one of the
//! two lists, and so is tested in all of them. Callers are in `tests/ledger`.
#![expect(
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "each function panics when the contract is broken, and passes ledger errors on"
)]

pub mod advance;
pub mod import;
pub mod read;
pub mod reopen;
pub mod samples;
pub mod session;

use futures::future::BoxFuture;

use crate::ledger::{Ledger, LedgerResult};

/// A place where a ledger lies and can be opened again.
pub trait Home: Send + Sync {
    /// Opens the ledger; the one opened before may have been dropped without notice,
    /// as in a crash.
    fn open(&self) -> BoxFuture<'_, LedgerResult<Box<dyn Ledger>>>;
}

/// Calls `$run!` with the names of all functions that take a fresh ledger.
#[macro_export]
macro_rules! ledger_contract {
    ($run:ident) => {
        $run! {
            session::a_new_ledger_knows_nothing,
            session::a_session_shuts_out_older_ones,
            session::service_and_header_are_remembered,
            session::the_longest_pause_is_remembered,
            import::ids_grow_in_row_order,
            import::duplicates_share_an_item,
            import::bad_rows_have_failed_at_once,
            import::a_corrected_row_starts_over,
            import::what_a_row_says_now_counts_until_it_is_submitted,
            import::an_edited_manifest_replaces_rows_and_keeps_money,
            import::what_is_owed_is_offered_for_ever,
            import::an_unfinished_edition_is_replaced,
            import::rows_need_an_edition_that_is_being_read,
            import::stems_are_counted_without_regard_to_case,
            import::any_text_comes_back,
            advance::an_illegal_event_changes_nothing,
            advance::unknown_items_are_refused,
            advance::every_fact_comes_back,
            advance::every_attempt_is_booked,
            advance::totals_equal_a_recount,
            advance::a_session_that_begins_at_once_counts_what_came_before,
            advance::events_sent_at_once_are_applied_once_each,
            advance::events_of_one_item_take_effect_in_order,
            advance::one_refused_event_of_many_fails_alone,
            advance::a_call_that_is_not_awaited_breaks_nothing,
            read::settlements_come_in_order,
            read::a_retry_takes_a_settlement_back,
            read::settled_rows_stop_after_a_whole_item,
            read::settled_items_are_reported_again_in_a_new_edition,
            read::recent_times_are_of_what_was_done_last,
            read::open_items_come_in_pages,
            read::rows_are_filtered_and_come_in_pages,
        }
    };
}

/// Calls `$run!` with the names of all functions that open a ledger several times.
#[macro_export]
macro_rules! ledger_reopen_contract {
    ($run:ident) => {
        $run! {
            reopen::what_was_acknowledged_is_there,
            reopen::a_pause_outlives_who_heard_of_it,
            reopen::numbers_are_never_given_twice,
            reopen::an_import_that_was_cut_off_starts_over,
            reopen::an_old_session_stays_shut_out,
        }
    };
}
