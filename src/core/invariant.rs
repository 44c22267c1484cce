//! What must be true of every run, as predicates with the numbers used in code, tests
//! and metrics.
//!
//! Pure: they look at facts that someone else has collected. The simulation collects
//! them from its fakes, a production audit from the ledger.

use std::{fmt::Display, time::Duration};

use super::{Artifact, Booking, ContentHash, Fence, Item, ItemState, Micros, RequestId};

/// A numbered invariant that does not hold, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} does not hold: {evidence}")]
pub struct Violation {
    /// `I1` to `I8`, or one of the words used here and in the simulation: `money`,
    /// `result`, `spend cap`, `account`, `cadence`, `life`, `unwanted`.
    pub invariant: &'static str,
    /// What was seen.
    pub evidence: String,
}

impl Violation {
    /// Names an invariant and what shows that it does not hold.
    pub fn new(invariant: &'static str, evidence: impl Into<String>) -> Self {
        Self { invariant, evidence: evidence.into() }
    }
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

/// I2: a picture is paid for at most `allowed` times (once, unless policy or an operator
/// chose to resubmit).
///
/// # Errors
///
/// [`Violation`] when it was paid for more often.
pub fn is_paid_once(picture: &str, paid: u64, allowed: u64) -> Result<(), Violation> {
    if paid <= allowed {
        return Ok(());
    }
    violated("I2", format!("`{picture}` was paid for {paid} times, and {allowed} is allowed"))
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

/// I3: at most `most` at once. Each of `spans` begins at its first time and ends at its
/// second, or is still going on; an end counts before a beginning at the same time.
///
/// # Errors
///
/// [`Violation`] for the first moment with too many.
pub fn slots_hold(spans: &[(Duration, Option<Duration>)], most: usize) -> Result<(), Violation> {
    let begins = spans.iter().map(|(from, _)| (*from, 1_i64));
    let ends = spans.iter().filter_map(|(_, to)| to.map(|to| (to, -1)));
    let mut changes: Vec<_> = begins.chain(ends).collect();
    changes.sort_unstable();
    let mut open = 0;
    for (at, change) in changes {
        open += change;
        if usize::try_from(open).is_ok_and(|open| open > most) {
            return violated("I3", format!("{open} at once after {at:?}, and {most} is allowed"));
        }
    }
    Ok(())
}

/// I4: no call before the gate opens.
///
/// # Errors
///
/// [`Violation`] for a call at `call` when the gate opened at `opens`.
pub fn gate_holds(
    endpoint: impl Display,
    call: Duration,
    opens: Duration,
) -> Result<(), Violation> {
    if call >= opens {
        return Ok(());
    }
    let early = opens.saturating_sub(call);
    violated("I4", format!("a {endpoint} at {call:?}, {early:?} before the gate opened"))
}

/// A file as it lies in the output folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub blake3: ContentHash,
}

/// I5: an item is Done only with artifacts, and each of them is there, whole, and the one
/// that was verified.
///
/// # Errors
///
/// [`Violation`] for an artifact that `find` does not find, or finds different.
pub fn artifacts_are_whole(
    item: &Item,
    find: impl Fn(&str) -> Option<FileFacts>,
) -> Result<(), Violation> {
    if item.state != ItemState::Done {
        return Ok(());
    }
    if item.artifacts.is_empty() {
        return violated("I5", format!("item {} is done without an artifact", item.id));
    }
    for Artifact { path, bytes, blake3, .. } in &item.artifacts {
        match find(path) {
            None => return violated("I5", format!("`{path}` is not there")),
            Some(file) if file.bytes != *bytes || file.blake3 != *blake3 => {
                return violated("I5", format!("`{path}` is not the file that was verified"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// I6: a writer of a session that is over changes nothing; `latest` began last.
///
/// # Errors
///
/// [`Violation`] when such a writer changed something.
pub fn fence_holds(latest: Fence, writer: Fence, changed: bool) -> Result<(), Violation> {
    if !changed || writer >= latest {
        return Ok(());
    }
    let (latest, writer) = (latest.0, writer.0);
    violated("I6", format!("session {writer} has written after session {latest} began"))
}

/// One attempt as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// The request, where the ledger knows its name.
    pub request: Option<RequestId>,
    /// What it has cost.
    pub booking: Booking,
}

/// I7: the ledger explains every request that was accepted: it knows its name, or has an
/// attempt without one that may have been accepted. One booked free explains nothing.
///
/// # Errors
///
/// [`Violation`] when more were accepted than the attempts explain.
pub fn is_explained(
    picture: &str,
    accepted: &[&str],
    attempts: &[Attempted],
) -> Result<(), Violation> {
    let is_named = |id: &str| {
        let mut names = attempts.iter().filter_map(|attempt| attempt.request.as_ref());
        names.any(|name| name.0 == id)
    };
    let nameless: Vec<_> = accepted.iter().filter(|id| !is_named(id)).collect();
    let open = attempts
        .iter()
        .filter(|attempt| attempt.request.is_none() && attempt.booking != Booking::Free)
        .count();
    if nameless.len() <= open {
        return Ok(());
    }
    violated("I7", format!("`{picture}`: {nameless:?} accepted, the ledger has {attempts:?}"))
}

/// I8: a run that was asked to stop at `asked` has ended within `grace`.
///
/// # Errors
///
/// [`Violation`] when it took longer.
pub fn drain_ends(asked: Duration, ended: Duration, grace: Duration) -> Result<(), Violation> {
    let took = ended.saturating_sub(asked);
    if took <= grace {
        return Ok(());
    }
    violated("I8", format!("asked to stop at {asked:?}, it took {took:?} instead of {grace:?}"))
}

/// Account: once an answer has refused the key, the balance or the model, nothing more is
/// submitted.
///
/// # Errors
///
/// [`Violation`] for a submit that was decided on after that.
pub fn account_halts(what: impl Display, decided_after: bool) -> Result<(), Violation> {
    if !decided_after {
        return Ok(());
    }
    violated("account", format!("{what} left after the account was refused"))
}

/// Result: what is paid for, and has a picture that the ledger can ask for, ends done; or
/// it has failed with a code that says why, after all that the rules allow was tried
/// (`tried`).
///
/// # Errors
///
/// [`Violation`] when the picture is given up otherwise.
pub fn result_is_kept(item: &Item, request: &str, tried: bool) -> Result<(), Violation> {
    let Item { id, state, failure, .. } = item;
    if *state == ItemState::Done || (*state == ItemState::Failed && tried) {
        return Ok(());
    }
    let code = failure.as_ref().map(|failure| failure.code);
    violated("result", format!("`{request}` has a picture, and item {id} ended {state} ({code:?})"))
}

/// Money: an attempt whose end is known is booked as exactly that.
///
/// # Errors
///
/// [`Violation`] when it is booked otherwise.
pub fn booking_is_exact(request: &str, is_paid: bool, booking: Booking) -> Result<(), Violation> {
    let exact = if is_paid { Booking::Charged } else { Booking::Free };
    if booking == exact {
        return Ok(());
    }
    let (is, should) = (booking.as_str(), exact.as_str());
    violated("money", format!("`{request}` is booked {is}, and is known to be {should}"))
}

/// Money: what the service took lies between what the ledger books as charged and what
/// it books as charged or possibly charged, or has still set aside. To the micro-dollar:
/// where nothing is uncertain the two are equal.
///
/// # Errors
///
/// [`Violation`] when the books do not meet.
pub fn money_adds_up(
    what: impl Display,
    taken: Micros,
    charged: Micros,
    uncertain: Micros,
) -> Result<(), Violation> {
    if charged <= taken && taken <= charged + uncertain {
        return Ok(());
    }
    violated(
        "money",
        format!(
            "{what}: the service took {taken}, the ledger has {charged} and perhaps {uncertain}"
        ),
    )
}

/// Money: two sums that the ledger keeps of the same thing are the same.
///
/// # Errors
///
/// [`Violation`] when they differ.
pub fn sums_agree(what: &str, items: Micros, attempts: Micros) -> Result<(), Violation> {
    if items == attempts {
        return Ok(());
    }
    violated("money", format!("{what}: {items} by items, {attempts} by attempts"))
}

/// Counts: what is kept count of is what is there.
///
/// # Errors
///
/// [`Violation`] when it is not.
pub fn counts_agree(what: &str, kept: u64, counted: u64) -> Result<(), Violation> {
    if kept == counted {
        return Ok(());
    }
    violated("counts", format!("{what}: {kept} kept, {counted} counted"))
}

/// Spend cap: never is more committed than allowed.
///
/// # Errors
///
/// [`Violation`] when more is committed.
pub fn cap_holds(committed: Micros, cap: Option<Micros>) -> Result<(), Violation> {
    match cap.filter(|cap| committed > *cap) {
        Some(cap) => violated("spend cap", format!("{committed} of {cap} USD")),
        None => Ok(()),
    }
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
    fn slots_are_counted_at_every_moment() {
        let at = Duration::from_secs;
        let spans = [(at(0), Some(at(2))), (at(1), None), (at(2), Some(at(3)))];
        assert!(slots_hold(&spans, 2).is_ok());
        assert!(slots_hold(&spans, 1).is_err());
    }

    #[test]
    fn money_may_be_uncertain_and_not_wrong() {
        let micros = Micros;
        assert!(money_adds_up("job", micros(5), micros(5), micros(0)).is_ok());
        assert!(money_adds_up("job", micros(6), micros(5), micros(1)).is_ok());
        assert!(money_adds_up("job", micros(7), micros(5), micros(1)).is_err());
        assert!(money_adds_up("job", micros(4), micros(5), micros(1)).is_err());
        assert!(sums_agree("charged", micros(4), micros(5)).is_err());
        assert!(cap_holds(micros(5), Some(micros(5))).is_ok());
        assert!(cap_holds(micros(6), Some(micros(5))).is_err());
    }

    #[test]
    fn what_was_booked_free_explains_no_accepted_request() {
        let attempt = |request: Option<&str>, booking| Attempted {
            request: request.map(|id| RequestId(id.to_owned())),
            booking,
        };
        let named = attempt(Some("r1"), Booking::Charged);
        let lost = attempt(None, Booking::PossiblyCharged);
        let free = attempt(None, Booking::Free);
        assert!(is_explained("a", &["r1"], std::slice::from_ref(&named)).is_ok());
        assert!(is_explained("a", &["r1", "r2"], &[named.clone(), lost.clone()]).is_ok());
        assert!(is_explained("a", &["r1", "r2"], &[named, free]).is_err());
        assert!(is_explained("a", &["r1", "r2"], &[lost]).is_err());
        assert!(is_explained("a", &["r1"], &[]).is_err());
    }

    #[test]
    fn a_known_end_is_booked_as_what_it_is() {
        assert!(booking_is_exact("r1", true, Booking::Charged).is_ok());
        assert!(booking_is_exact("r1", false, Booking::Free).is_ok());
        for (paid, wrong) in [(true, Booking::PossiblyCharged), (true, Booking::Free)] {
            assert!(booking_is_exact("r1", paid, wrong).is_err());
        }
        assert!(booking_is_exact("r1", false, Booking::Reserved).is_err());
    }

    #[test]
    fn only_the_latest_session_may_write() {
        assert!(fence_holds(Fence(2), Fence(2), true).is_ok());
        assert!(fence_holds(Fence(2), Fence(1), false).is_ok());
        assert!(fence_holds(Fence(2), Fence(1), true).is_err());
    }

    #[test]
    fn times_are_compared_to_the_moment() {
        let at = Duration::from_secs;
        assert!(gate_holds("poll", at(5), at(5)).is_ok());
        assert!(gate_holds("poll", at(4), at(5)).is_err());
        assert!(account_halts("a submit", false).is_ok());
        assert!(account_halts("a submit", true).is_err());
        assert!(drain_ends(at(5), at(8), at(3)).is_ok());
        assert!(drain_ends(at(5), at(9), at(3)).is_err());
    }
}
