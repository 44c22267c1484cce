//! What an answer means for an item: from an outcome to an event, by policy.
//!
//! Pure. `api::classify` has said what the service did; this says what becomes of the
//! item, given its age and its history.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{settings::RunSettings, step::Signal};
use crate::{
    api::{StatusOutcome, SubmitOutcome},
    clock::elapsed,
    core::{
        Artifact, Failure, FailureClass, FailureCode, Item, ItemEvent, RetryDecision, RetryPolicy,
        jitter, retry_after,
    },
    fetch::FetchError,
};

/// An event for the ledger, if any, and what the answer says about the service.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) event: Option<ItemEvent>,
    pub(super) signal: Signal,
    /// A failure that will be tried again.
    pub(super) retrying: Option<Failure>,
}

impl Verdict {
    fn new(event: ItemEvent, signal: Signal) -> Self {
        Self { event: Some(event), signal, retrying: None }
    }

    fn wait(signal: Signal, retrying: Option<Failure>) -> Self {
        Self { event: None, signal, retrying }
    }
}

/// Judges the answer to a submit.
pub(super) fn submitted(outcome: SubmitOutcome) -> Verdict {
    let not_accepted = |failure: &Failure| ItemEvent::NotAccepted { failure: failure.clone() };
    match outcome {
        SubmitOutcome::Accepted { request_id, polling_url } => {
            Verdict::new(ItemEvent::Accepted { request_id, polling_url }, Signal::Sane)
        }
        SubmitOutcome::NotSent(failure) => {
            Verdict::new(not_accepted(&failure), Signal::Down { failure, retry_after: None })
        }
        SubmitOutcome::Unavailable { failure, retry_after } => {
            Verdict::new(not_accepted(&failure), Signal::Down { failure, retry_after })
        }
        SubmitOutcome::Throttled { failure, retry_after } => {
            Verdict::new(not_accepted(&failure), Signal::Throttled { failure, retry_after })
        }
        SubmitOutcome::Rejected(failure) => {
            Verdict::new(ItemEvent::Rejected(failure), Signal::Sane)
        }
        SubmitOutcome::Account(failure) => {
            Verdict::new(not_accepted(&failure), Signal::Account(failure))
        }
        SubmitOutcome::InDoubt(failure) => {
            Verdict::new(ItemEvent::AnswerLost(failure.clone()), Signal::Doubtful(failure))
        }
    }
}

/// Judges the answer to a status request.
pub(super) fn polled(
    item: &Item,
    outcome: StatusOutcome,
    rules: &RunSettings,
    now: Timestamp,
) -> Verdict {
    let age = age(item, now);
    match outcome {
        StatusOutcome::Waiting { word } => waiting(&word, age, rules),
        StatusOutcome::Completed { media, .. } => {
            Verdict::new(ItemEvent::Completed { media }, Signal::Sane)
        }
        StatusOutcome::NoMedia(failure) => {
            let wait = next_try(item, &rules.no_media, rules.seed);
            let last = ItemEvent::PollGaveUp;
            Verdict { signal: Signal::Sane, ..again_or(wait, failure, now, last) }
        }
        StatusOutcome::Failed(failure) => {
            Verdict::new(ItemEvent::ServiceFailed(failure), Signal::Sane)
        }
        StatusOutcome::Error(failure) => service_error(item, failure, rules, now),
        StatusOutcome::Unknown(_) if age < rules.unknown_grace => Verdict::wait(Signal::Sane, None),
        StatusOutcome::Unknown(failure) => {
            Verdict::new(ItemEvent::PollGaveUp(failure), Signal::Sane)
        }
        StatusOutcome::Throttled { failure, retry_after } => {
            Verdict::wait(paused(failure.clone(), retry_after), Some(failure))
        }
        StatusOutcome::Account(failure) => Verdict::wait(Signal::Account(failure), None),
        StatusOutcome::Unavailable(failure) => {
            let signal = Signal::Down { failure: failure.clone(), retry_after: None };
            Verdict::wait(signal, Some(failure))
        }
    }
}

/// Judges the answer to a probe, which is about no item.
pub(super) fn probed(outcome: StatusOutcome) -> Signal {
    match outcome {
        StatusOutcome::Unavailable(failure) => Signal::Down { failure, retry_after: None },
        StatusOutcome::Throttled { failure, retry_after } => paused(failure, retry_after),
        StatusOutcome::Account(failure) => Signal::Account(failure),
        _ => Signal::Sane,
    }
}

/// A 503 is no sane answer: the service is out, even if it says for how long.
fn paused(failure: Failure, retry_after: Option<Duration>) -> Signal {
    match failure.class {
        FailureClass::Transient => Signal::Down { failure, retry_after },
        _ => Signal::Throttled { failure, retry_after },
    }
}

/// Returns how long ago the item was submitted.
pub(super) fn age(item: &Item, now: Timestamp) -> Duration {
    item.submitted_at.map_or(Duration::ZERO, |at| elapsed(at, now))
}

/// Returns the end of an item past its deadline whose status cannot be read, while that of
/// others can.
pub(super) fn never_readable(item: &Item, failure: &Failure, now: Timestamp) -> ItemEvent {
    let failure = Failure {
        class: FailureClass::Permanent,
        code: FailureCode::Deadline,
        message: format!("no status after {} s: {}", age(item, now).as_secs(), failure.message),
        http_status: failure.http_status,
    };
    ItemEvent::PollGaveUp(failure)
}

/// The deadline is looked at only when the service answers: while it is down, no item
/// runs out of time.
fn waiting(word: &str, age: Duration, rules: &RunSettings) -> Verdict {
    if age < rules.deadline {
        return Verdict::wait(Signal::Sane, None);
    }
    let failure = Failure::new(
        FailureClass::Permanent,
        FailureCode::Deadline,
        format!("still {word} after {} s", age.as_secs()),
    );
    Verdict::new(ItemEvent::PollGaveUp(failure), Signal::Sane)
}

fn service_error(item: &Item, failure: Failure, rules: &RunSettings, now: Timestamp) -> Verdict {
    let errors = item.service_errors + 1;
    match rules.error_retry.decide(errors, jitter(rules.seed, item.id.0, errors)) {
        RetryDecision::RetryAfter(wait) => Verdict {
            event: Some(ItemEvent::ServiceError {
                failure: failure.clone(),
                not_before: later(now, wait),
            }),
            signal: Signal::Sane,
            retrying: Some(failure),
        },
        RetryDecision::GiveUp => Verdict::new(ItemEvent::ServiceErrorAgain(failure), Signal::Sane),
    }
}

/// Judges a download.
pub(super) fn fetched(
    item: &Item,
    result: Result<Vec<Artifact>, FetchError>,
    rules: &RunSettings,
    now: Timestamp,
) -> Verdict {
    let give_up = ItemEvent::FetchGaveUp;
    match result {
        Ok(artifacts) => Verdict::new(ItemEvent::Published { artifacts }, Signal::Sane),
        Err(FetchError::Retry { failure, retry_after }) => {
            let pause = retry_after.unwrap_or_default().min(retry_after::LONGEST);
            let wait = next_try(item, &rules.fetch_retry, rules.seed).map(|wait| wait.max(pause));
            let signal = Signal::Down { failure: failure.clone(), retry_after: None };
            Verdict { signal, ..again_or(wait, failure, now, give_up) }
        }
        Err(FetchError::LinkExpired(failure)) if item.refreshes < rules.most_refreshes => Verdict {
            event: Some(ItemEvent::LinkExpired(failure.clone())),
            signal: Signal::None,
            retrying: Some(failure),
        },
        Err(FetchError::LinkExpired(failure) | FetchError::Permanent(failure)) => {
            Verdict::new(give_up(failure), Signal::None)
        }
        Err(FetchError::Output(failure)) => Verdict::wait(Signal::Output(failure), None),
    }
}

/// Returns how long to wait before the step is tried again; `None` after the last try.
fn next_try(item: &Item, policy: &RetryPolicy, seed: u64) -> Option<Duration> {
    let tries = item.tries + 1;
    match policy.decide(tries, jitter(seed, item.id.0, tries)) {
        RetryDecision::RetryAfter(wait) => Some(wait),
        RetryDecision::GiveUp => None,
    }
}

/// Tries again after `wait`, or ends with `last`.
fn again_or(
    wait: Option<Duration>,
    failure: Failure,
    now: Timestamp,
    last: impl FnOnce(Failure) -> ItemEvent,
) -> Verdict {
    let Some(wait) = wait else { return Verdict::new(last(failure), Signal::None) };
    let not_before = later(now, wait);
    let event = ItemEvent::Postponed { failure: failure.clone(), not_before };
    Verdict { event: Some(event), signal: Signal::None, retrying: Some(failure) }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
