//! The item state machine: which event may follow which state.
//!
//! ```text
//!  Pending ─► Staged ─► Submitting ─► Submitted ─► Ready ─► Done
//!     │          ▲          │  │           ▲ │        │
//!     │          └─not sent─┘  └─answer    │ │        └─ link expired ─► Submitted
//!     │                          unknown   │ └─ service says failed / deadline ─► Failed
//!     │                             ▼      │
//!     │                          InDoubt ──┘ (webhook or operator names the request)
//!     └─ bad source ─► Failed       └─ resubmit ─► Staged (policy or operator)
//! ```
//!
//! A webhook can also name the request of an attempt that the service has denied, or that
//! is about to be sent again: from `Pending`, `Staged` or `Failed` to `Submitted`.
//!
//! [`ItemState::after`] is the only table. What an event does to the item's other
//! facts, money included, is in [`Item::apply`](super::Item::apply), which asks
//! this table first.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Artifact, Failure, Micros, RequestId};

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// Known; its source has no public URL yet.
    Pending,
    /// Has a URL that the service can read.
    Staged,
    /// A POST is about to leave, or has left. Durable before the POST.
    Submitting,
    /// The service has accepted it and named the request.
    Submitted,
    /// The service is done; the artifact is still there and not here.
    Ready,
    /// The artifact is published.
    Done,
    /// Ended without an artifact, for a reason that is stored.
    Failed,
    /// A POST left and its answer is unknown.
    InDoubt,
    /// Ended without a request, because the artifact was already present.
    Skipped,
}

impl ItemState {
    /// Every state, in flow order.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Staged,
        Self::Submitting,
        Self::Submitted,
        Self::Ready,
        Self::Done,
        Self::Failed,
        Self::InDoubt,
        Self::Skipped,
    ];

    /// Returns the name used in files, logs and the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Staged => "staged",
            Self::Submitting => "submitting",
            Self::Submitted => "submitted",
            Self::Ready => "ready",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::InDoubt => "in-doubt",
            Self::Skipped => "skipped",
        }
    }

    /// Returns true when a run has nothing more to do for the item by itself.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::InDoubt | Self::Skipped)
    }

    /// Returns true while the item holds, or may hold, something paid for that
    /// is not here yet.
    #[must_use]
    pub fn is_owed(self) -> bool {
        matches!(self, Self::Submitting | Self::Submitted | Self::Ready)
    }

    /// Returns the state that `event` leads to.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the event cannot happen in this state.
    #[expect(clippy::match_same_arms, reason = "a table: one line per pair, in flow order")]
    pub fn after(self, event: EventKind) -> Result<Self, IllegalTransition> {
        use EventKind as E;
        match (self, event) {
            (Self::Pending, E::Staged) => Ok(Self::Staged),
            (Self::Pending | Self::Staged, E::SourceRejected) => Ok(Self::Failed),
            (Self::Pending | Self::Staged, E::Skipped) => Ok(Self::Skipped),
            (Self::Staged, E::StageExpired) => Ok(Self::Pending),
            (Self::Staged, E::SubmitIntent) => Ok(Self::Submitting),

            (Self::Submitting, E::Accepted) => Ok(Self::Submitted),
            (Self::Submitting, E::NotAccepted) => Ok(Self::Staged),
            (Self::Submitting, E::Rejected) => Ok(Self::Failed),
            (Self::Submitting, E::AnswerLost) => Ok(Self::InDoubt),

            // Only the latest attempt, and only if its request has no name: `Item::apply`.
            (Self::InDoubt | Self::Pending | Self::Staged | Self::Failed, E::RequestNamed) => {
                Ok(Self::Submitted)
            }
            (Self::InDoubt, E::Resubmit) => Ok(Self::Staged),

            (Self::Submitted, E::Completed) => Ok(Self::Ready),
            (Self::Submitted, E::ServiceFailed | E::PollGaveUp) => Ok(Self::Failed),
            (Self::Submitted, E::ServiceError | E::RequestForgotten) => Ok(Self::Staged),
            (Self::Submitted, E::ServiceErrorAgain) => Ok(Self::Failed),

            (Self::Ready, E::LinkExpired) => Ok(Self::Submitted),
            (Self::Ready, E::RequestForgotten) => Ok(Self::Staged),
            (Self::Ready, E::FetchGaveUp) => Ok(Self::Failed),
            (Self::Ready, E::Published) => Ok(Self::Done),

            (state @ (Self::Submitted | Self::Ready), E::Postponed) => Ok(state),

            (Self::Failed, E::RetrySubmit) => Ok(Self::Pending),
            (Self::Failed, E::RetryPoll) => Ok(Self::Submitted),

            (state, event) => Err(IllegalTransition { state, event }),
        }
    }
}

impl fmt::Display for ItemState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened to an item, with what has to be remembered of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemEvent {
    /// The source can be read by the service at this URL.
    Staged {
        /// The public URL; `None` when the source itself is one.
        url: Option<String>,
    },
    /// The staged URL will not outlive the service's read.
    StageExpired,
    /// The source cannot be used.
    SourceRejected(Failure),
    /// There is already a verified artifact.
    Skipped {
        /// The artifact that was found.
        artifacts: Vec<Artifact>,
    },
    /// A POST is about to leave; this much is reserved for it.
    SubmitIntent {
        /// Price of one request.
        price: Micros,
    },
    /// The service accepted the request and named it.
    Accepted {
        /// The service's name for it.
        request_id: RequestId,
        /// Where the service says its status is.
        polling_url: Option<String>,
    },
    /// The POST did not leave, or the service accepted nothing. Free; send again later.
    NotAccepted {
        /// Why.
        failure: Failure,
    },
    /// The service refused this item for good. Free.
    Rejected(Failure),
    /// The POST left and its answer is unknown.
    AnswerLost(Failure),
    /// The request behind the latest attempt became known: the item is in doubt, or about
    /// to be submitted again, or the service had denied that it accepted anything.
    RequestNamed {
        /// The service's name for it.
        request_id: RequestId,
    },
    /// Policy or operator sends an item in doubt again.
    Resubmit,
    /// The service is done and says where the pictures are.
    Completed {
        /// Addresses of the pictures; never empty.
        media: Vec<String>,
    },
    /// The service answered FAILED. Charged.
    ServiceFailed(Failure),
    /// The service answered ERROR, and the policy sends it again. Free.
    ServiceError {
        /// Why.
        failure: Failure,
        /// Not before this time.
        not_before: jiff::Timestamp,
    },
    /// The service answered ERROR once too often. Free.
    ServiceErrorAgain(Failure),
    /// Polling ended without an answer: deadline, unknown id, no media.
    PollGaveUp(Failure),
    /// A step that will be tried again has failed; remembered across restarts.
    Postponed {
        /// Why.
        failure: Failure,
        /// Not before this time.
        not_before: jiff::Timestamp,
    },
    /// The picture's address no longer works; ask the service for a fresh one.
    LinkExpired(Failure),
    /// The service that knew the request is gone, and takes no money.
    RequestForgotten,
    /// The download was given up. The request stays paid and known.
    FetchGaveUp(Failure),
    /// The artifact is whole and visible in the output folder.
    Published {
        /// The files, in the service's order.
        artifacts: Vec<Artifact>,
    },
    /// The operator wants a failed item submitted anew.
    RetrySubmit,
    /// The operator wants the known request of a failed item asked again. Free.
    RetryPoll,
}

/// An [`ItemEvent`] without its data: the column of the transition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is documented at the `ItemEvent` of the same name")]
pub enum EventKind {
    Staged,
    StageExpired,
    SourceRejected,
    Skipped,
    SubmitIntent,
    Accepted,
    NotAccepted,
    Rejected,
    AnswerLost,
    RequestNamed,
    Resubmit,
    Completed,
    ServiceFailed,
    ServiceError,
    ServiceErrorAgain,
    PollGaveUp,
    Postponed,
    LinkExpired,
    RequestForgotten,
    FetchGaveUp,
    Published,
    RetrySubmit,
    RetryPoll,
}

impl EventKind {
    /// Every kind, in the order of [`ItemEvent`].
    pub const ALL: [Self; 23] = [
        Self::Staged,
        Self::StageExpired,
        Self::SourceRejected,
        Self::Skipped,
        Self::SubmitIntent,
        Self::Accepted,
        Self::NotAccepted,
        Self::Rejected,
        Self::AnswerLost,
        Self::RequestNamed,
        Self::Resubmit,
        Self::Completed,
        Self::ServiceFailed,
        Self::ServiceError,
        Self::ServiceErrorAgain,
        Self::PollGaveUp,
        Self::Postponed,
        Self::LinkExpired,
        Self::RequestForgotten,
        Self::FetchGaveUp,
        Self::Published,
        Self::RetrySubmit,
        Self::RetryPoll,
    ];
}

impl ItemEvent {
    /// Returns which kind of event this is.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Staged { .. } => EventKind::Staged,
            Self::StageExpired => EventKind::StageExpired,
            Self::SourceRejected(_) => EventKind::SourceRejected,
            Self::Skipped { .. } => EventKind::Skipped,
            Self::SubmitIntent { .. } => EventKind::SubmitIntent,
            Self::Accepted { .. } => EventKind::Accepted,
            Self::NotAccepted { .. } => EventKind::NotAccepted,
            Self::Rejected(_) => EventKind::Rejected,
            Self::AnswerLost(_) => EventKind::AnswerLost,
            Self::RequestNamed { .. } => EventKind::RequestNamed,
            Self::Resubmit => EventKind::Resubmit,
            Self::Completed { .. } => EventKind::Completed,
            Self::ServiceFailed(_) => EventKind::ServiceFailed,
            Self::ServiceError { .. } => EventKind::ServiceError,
            Self::ServiceErrorAgain(_) => EventKind::ServiceErrorAgain,
            Self::PollGaveUp(_) => EventKind::PollGaveUp,
            Self::Postponed { .. } => EventKind::Postponed,
            Self::LinkExpired(_) => EventKind::LinkExpired,
            Self::RequestForgotten => EventKind::RequestForgotten,
            Self::FetchGaveUp(_) => EventKind::FetchGaveUp,
            Self::Published { .. } => EventKind::Published,
            Self::RetrySubmit => EventKind::RetrySubmit,
            Self::RetryPoll => EventKind::RetryPoll,
        }
    }
}

/// An event that cannot happen in a state; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not possible in state {state}")]
pub struct IllegalTransition {
    /// The state the item was in.
    pub state: ItemState,
    /// What was said to have happened.
    pub event: EventKind,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// All pairs, so that the fall-through arm of the table hides nothing.
    #[test]
    fn transition_table() {
        let mut table = String::new();
        for state in ItemState::ALL {
            for event in EventKind::ALL {
                let next = state.after(event).map_or("-".to_owned(), |next| next.to_string());
                if next != "-" {
                    let _ = writeln!(table, "{state:<10} + {event:<17?} = {next}");
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn only_a_retry_or_a_name_moves_a_settled_item() {
        use EventKind as E;
        for state in ItemState::ALL.into_iter().filter(|state| state.is_settled()) {
            for event in EventKind::ALL {
                let by_someone =
                    matches!(event, E::RetrySubmit | E::RetryPoll | E::Resubmit | E::RequestNamed);
                assert!(by_someone || state.after(event).is_err(), "{state} {event:?}");
            }
        }
    }

    #[test]
    fn money_is_only_spent_through_submitting() {
        for state in ItemState::ALL {
            for event in EventKind::ALL {
                if state.after(event) == Ok(ItemState::Submitting) {
                    assert_eq!((state, event), (ItemState::Staged, EventKind::SubmitIntent));
                }
            }
        }
    }
}
