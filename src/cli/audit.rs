//! Holds the ledger against itself at the end of a run.
//!
//! The predicates are those of the simulation ([`invariant`]). A violation is a bug or a
//! file that somebody else has written to: it is told, and nothing is repaired.

use crate::{
    core::{
        ItemId, ItemState, Micros,
        invariant::{self, Violation},
    },
    ledger::{Audit, Ledger, LedgerResult, Totals},
    run::Outcome,
};

/// What a ledger is held against.
pub(super) struct Expected<'a> {
    /// The ledger's own counts and sums at the end of the run.
    pub(super) totals: &'a Totals,
    /// What was committed before the run.
    pub(super) committed_before: Micros,
    /// The spend cap.
    pub(super) cap: Option<Micros>,
    /// How the run ended.
    pub(super) outcome: &'a Outcome,
}

/// Returns the first invariant that does not hold, after telling the log.
///
/// One sum in SQL over all attempts and one over all items, and one count of the items and
/// one of the rows.
///
/// # Errors
///
/// [`LedgerError`](crate::ledger::LedgerError) when the ledger cannot be read.
pub(super) async fn audit(
    ledger: &dyn Ledger,
    expected: &Expected<'_>,
) -> LedgerResult<Result<(), Violation>> {
    let audit = ledger.audit().await?;
    // What a stop has given up may still be on its way to the ledger.
    let is_still = expected.outcome.interrupted.is_none();
    let mut verdict = money(&audit, expected, is_still);
    if verdict.is_ok() && expected.outcome.has_finished() {
        verdict = settled(ledger, expected.totals).await?;
    }
    if verdict.is_ok() && is_still {
        verdict = expected.totals.counts_agree(&audit.counted);
    }
    if let Err(violation) = &verdict {
        let Violation { invariant, evidence } = violation;
        tracing::error!(invariant, evidence, "the ledger contradicts itself");
    }
    Ok(verdict)
}

/// Money: items, attempts and the running sums agree, and the cap is not overshot.
fn money(audit: &Audit, expected: &Expected<'_>, is_still: bool) -> Result<(), Violation> {
    let (items, attempts) = (audit.by_items, audit.counted.money);
    let kept = expected.totals.money;
    for (what, items, attempts, kept) in [
        ("charged", items.charged, attempts.charged, kept.charged),
        (
            "possibly charged",
            items.possibly_charged,
            attempts.possibly_charged,
            kept.possibly_charged,
        ),
        ("reserved", items.reserved, attempts.reserved, kept.reserved),
    ] {
        invariant::sums_agree(what, items, attempts)?;
        if is_still {
            invariant::sums_agree(what, kept, attempts)?;
        }
    }
    // A cap below what earlier runs have committed stops this one at once.
    let cap = expected.cap.map(|cap| cap.max(expected.committed_before));
    invariant::cap_holds(items.committed(), cap)
}

/// I1: a run that says it has finished has settled every item.
async fn settled(ledger: &dyn Ledger, totals: &Totals) -> LedgerResult<Result<(), Violation>> {
    let open = ItemState::ALL.into_iter().filter(|state| !state.is_settled()).collect();
    let left = ledger.open_items(open, ItemId(0), 1).await?;
    Ok(left.iter().try_for_each(invariant::is_reported_once).and_then(|()| {
        match totals.all() - totals.settled() {
            0 => Ok(()),
            more => Err(Violation::new("I1", format!("{more} photos were not taken up"))),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Failure, FailureClass, FailureCode, HaltCause},
        ledger::SqliteLedger,
        testing::ledger_suite::samples::{PRICE, intent, rows, start, whole_life},
    };
    use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

    /// A ledger of two items that are done, changed by `falsify`, and what the audit says
    /// at a run's end.
    async fn verdict_on(falsify: &str, cap: Option<Micros>, before: Micros) -> Option<Violation> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(&path).await.unwrap();
        let job = start(&ledger, rows(&["a", "b"])).await.unwrap();
        for item in [1, 2] {
            job.advance_all(item, whole_life()).await.unwrap();
        }
        let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(falsify.to_owned())).execute(&mut other).await.unwrap();
        let totals = ledger.totals().await.unwrap();
        let outcome = Outcome::default();
        let expected =
            Expected { totals: &totals, committed_before: before, cap, outcome: &outcome };
        audit(&ledger, &expected).await.unwrap().err()
    }

    #[tokio::test]
    async fn books_that_were_falsified_are_noticed() {
        assert_eq!(verdict_on("", Some(PRICE.times(2)), Micros::ZERO).await, None);
        for (falsify, invariant, evidence) in [
            ("UPDATE items SET charged = 1 WHERE id = 2", "money", "charged: 0.003101 by items"),
            ("UPDATE items SET possibly_charged = 1", "money", "possibly charged: 0.000002"),
            ("UPDATE items SET booking = 'reserved' WHERE id = 1", "money", "reserved: 0.0031"),
            ("UPDATE attempts SET price = 1", "money", "0.000002 by attempts"),
            ("DELETE FROM attempts", "money", "0.00 by attempts"),
            (
                "UPDATE attempts SET price = 1; UPDATE items SET charged = 1",
                "money",
                "charged: 0.0062 by items, 0.000002 by attempts",
            ),
            ("UPDATE items SET state = 'ready' WHERE id = 2", "I1", "item 2 ended ready"),
            ("UPDATE items SET state = 'failed' WHERE id = 2", "counts", "done: 2 kept, 1 counted"),
            ("DELETE FROM rows WHERE line = 3", "counts", "rows: 2 kept, 1 counted"),
            (
                "UPDATE attempts SET request_id = NULL WHERE item = 1",
                "counts",
                "accepted submits: 2 kept, 1 counted",
            ),
        ] {
            let violation = verdict_on(falsify, None, Micros::ZERO).await.unwrap();
            assert_eq!(violation.invariant, invariant, "{falsify}: {violation}");
            assert!(violation.evidence.contains(evidence), "{falsify}: {violation}");
        }
    }

    #[tokio::test]
    async fn a_cap_binds_from_what_was_committed_before() {
        let cap = Some(PRICE);
        let violation = verdict_on("", cap, Micros::ZERO).await.unwrap();
        assert_eq!(violation.invariant, "spend cap");
        assert_eq!(verdict_on("", cap, PRICE.times(2)).await, None, "a cap lowered since");
    }

    #[tokio::test]
    async fn only_a_finished_run_has_to_have_settled_everything() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).await.unwrap();
        let job = start(&ledger, rows(&["a"])).await.unwrap();
        job.advance_all(1, vec![intent()]).await.unwrap();
        let totals = ledger.totals().await.unwrap();
        let failure = Failure::new(FailureClass::Account, FailureCode::KeyRefused, "revoked");
        let halted = Outcome { halted: Some(HaltCause::Account(failure)), ..Outcome::default() };
        for (outcome, violated) in [(Outcome::default(), true), (halted, false)] {
            let expected = Expected {
                totals: &totals,
                committed_before: Micros::ZERO,
                cap: None,
                outcome: &outcome,
            };
            let verdict = audit(&ledger, &expected).await.unwrap();
            assert_eq!(verdict.is_err(), violated, "{verdict:?}");
        }
    }
}
