//! What must be true of every run, as predicates with the numbers used in code, tests
//! and metrics.
//!
//! Pure: they look at facts that someone else has collected. The simulation collects
//! them from its fakes, a production audit from the ledger.

use std::time::Duration;

use super::{Item, ItemState, Micros};

/// A numbered invariant that does not hold, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} does not hold: {evidence}")]
pub struct Violation {
    /// `I1` to `I8`, or `money`.
    pub invariant: &'static str,
    /// What was seen.
    pub evidence: String,
}

fn violated(invariant: &'static str, evidence: String) -> Result<(), Violation> {
    Err(Violation { invariant, evidence })
}

/// I1: a finished job has every item in exactly one of results and failures.
///
/// # Errors
///
/// [`Violation`] for an item that is neither.
pub fn is_reported_once(item: &Item) -> Result<(), Violation> {
    if item.state.is_settled() {
        return Ok(());
    }
    violated("I1", format!("item {} ended {}", item.id, item.state))
}

/// I2: a picture is paid for at most `allowed` times (once, unless policy chose to
/// resubmit).
///
/// # Errors
///
/// [`Violation`] when it was paid for more often.
pub fn is_paid_once(picture: &str, paid: u64, allowed: u64) -> Result<(), Violation> {
    if paid <= allowed {
        return Ok(());
    }
    violated("I2", format!("`{picture}` was paid for {paid} times"))
}

/// I3: in every window, calls ≤ burst + rate × window. `calls` are times since any
/// moment, in order.
///
/// # Errors
///
/// [`Violation`] for the first window that holds too many.
pub fn rate_holds(calls: &[Duration], burst: f64, per_second: f64) -> Result<(), Violation> {
    for (first, from) in calls.iter().enumerate() {
        for (last, to) in calls.iter().enumerate().skip(first) {
            let window = to.saturating_sub(*from).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "counts of calls are small")]
            let count = (last - first + 1) as f64;
            // One millisecond: the resolution of the timer.
            if count > burst + per_second * (window + 0.001) {
                return violated("I3", format!("{count} calls within {window:.3} s"));
            }
        }
    }
    Ok(())
}

/// I4: no call before the gate opens.
///
/// # Errors
///
/// [`Violation`] for a call at `call` when the gate opened at `opens`.
pub fn gate_holds(call: Duration, opens: Duration) -> Result<(), Violation> {
    if call >= opens {
        return Ok(());
    }
    violated("I4", format!("a call {:?} before the gate opened", opens.saturating_sub(call)))
}

/// I5: an item is Done only with artifacts, and each of them is there.
///
/// # Errors
///
/// [`Violation`] for an artifact that `exists` denies.
pub fn artifacts_exist(item: &Item, exists: impl Fn(&str) -> bool) -> Result<(), Violation> {
    if item.state != ItemState::Done {
        return Ok(());
    }
    if item.artifacts.is_empty() {
        return violated("I5", format!("item {} is done without an artifact", item.id));
    }
    match item.artifacts.iter().find(|artifact| !exists(&artifact.path)) {
        Some(artifact) => violated("I5", format!("`{}` is not there", artifact.path)),
        None => Ok(()),
    }
}

/// Money: what the service took lies between what the ledger books as charged and what
/// it books as charged or possibly charged.
///
/// # Errors
///
/// [`Violation`] when the books do not meet.
pub fn money_adds_up(
    taken: Micros,
    charged: Micros,
    possibly_charged: Micros,
) -> Result<(), Violation> {
    if charged <= taken && taken <= charged + possibly_charged {
        return Ok(());
    }
    violated(
        "money",
        format!(
            "the service took {taken}, the ledger has {charged} and possibly {possibly_charged}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_checked_at_every_start() {
        let at =
            |millis: &[u64]| millis.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        assert!(rate_holds(&at(&[0, 100, 200, 300]), 1.0, 10.0).is_ok());
        assert!(rate_holds(&at(&[0, 500, 510]), 1.0, 10.0).is_err());
    }

    #[test]
    fn money_may_be_uncertain_and_not_wrong() {
        let micros = Micros;
        assert!(money_adds_up(micros(5), micros(5), micros(0)).is_ok());
        assert!(money_adds_up(micros(6), micros(5), micros(1)).is_ok());
        assert!(money_adds_up(micros(7), micros(5), micros(1)).is_err());
        assert!(money_adds_up(micros(4), micros(5), micros(1)).is_err());
    }
}
