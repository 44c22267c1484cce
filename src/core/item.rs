//! One photograph of the manifest and everything the ledger remembers of it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ContentHash, Edition, Failure, FailureCode, IllegalTransition, ItemEvent, ItemId, ItemState,
    Micros, RequestId,
};

/// What one submit has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Booking {
    /// The request is on its way or being worked on; the money is set aside.
    Reserved,
    /// The service has taken the money.
    Charged,
    /// The service took nothing.
    Free,
    /// Nobody on this side can know.
    PossiblyCharged,
}

impl Booking {
    /// Returns the name used in the ledger and in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Charged => "charged",
            Self::Free => "free",
            Self::PossiblyCharged => "possibly-charged",
        }
    }
}

/// One submit of an item and its booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first submit of the item.
    pub number: u32,
    /// What it has cost.
    pub booking: Booking,
    /// Price of the request when it was sent.
    pub price: Micros,
}

/// A request that the service has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The service's name for it.
    pub id: RequestId,
    /// Where the service said its status is; checked before every use.
    pub polling_url: Option<String>,
}

/// A restored file on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Path relative to the job folder, with `/` between parts.
    pub path: String,
    /// Where it came from, without the query string.
    pub media_url: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub blake3: ContentHash,
}

/// What a manifest row says of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// The source as the manifest has it.
    pub source: String,
    /// Upscale factor, 1 to 4.
    pub scale: u8,
    /// Model version.
    pub version: String,
    /// Artifact path without extension.
    pub stem: String,
}

/// One image, one identity, with its durable facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The ledger's number for it.
    pub id: ItemId,
    /// The manifest edition that last named it.
    pub edition: Edition,
    /// The source exactly as the manifest has it (resolved against the manifest's folder when used).
    pub source: String,
    /// Upscale factor, 1 to 4.
    pub scale: u8,
    /// Model version, sent as `version`.
    pub version: String,
    /// Artifact path without extension, relative to `images/`, safe on every file system.
    pub stem: String,
    /// How many items took the same stem before this one, without regard to case: 0 for the
    /// first. Decided at import and never changed, so that artifacts are named uniquely and
    /// in manifest order. Bad rows take no stem.
    pub ordinal: u64,
    /// Where it stands.
    pub state: ItemState,
    /// A URL made for a source that is none; `None` when the source itself is used.
    pub staged_url: Option<String>,
    /// Failures of the current step in a row.
    pub tries: u32,
    /// ERROR answers so far; bounds automatic resubmission.
    pub service_errors: u32,
    /// Fresh addresses asked for so far; bounds the way back from `Ready`.
    pub refreshes: u32,
    /// No step before this time.
    pub not_before: Option<Timestamp>,
    /// The accepted request, kept for good once known.
    pub request: Option<Request>,
    /// Addresses of the restored pictures, while `Ready`.
    pub media: Vec<String>,
    /// When the latest POST was about to leave.
    pub submitted_at: Option<Timestamp>,
    /// When the item was last settled.
    pub settled_at: Option<Timestamp>,
    /// The latest submit and its booking.
    pub attempt: Option<Attempt>,
    /// Charged by all submits together.
    pub charged: Micros,
    /// Possibly charged by all submits together.
    pub possibly_charged: Micros,
    /// Why it failed, is in doubt, or waits.
    pub failure: Option<Failure>,
    /// The published files.
    pub artifacts: Vec<Artifact>,
}

impl Item {
    /// Returns an item that nothing has happened to yet.
    #[must_use]
    pub fn new(id: ItemId, edition: Edition, photo: Photo, state: ItemState) -> Self {
        Self {
            id,
            edition,
            source: photo.source,
            scale: photo.scale,
            version: photo.version,
            stem: photo.stem,
            ordinal: 0,
            state,
            staged_url: None,
            tries: 0,
            service_errors: 0,
            refreshes: 0,
            not_before: None,
            request: None,
            media: Vec::new(),
            submitted_at: None,
            settled_at: None,
            attempt: None,
            charged: Micros::ZERO,
            possibly_charged: Micros::ZERO,
            failure: None,
            artifacts: Vec::new(),
        }
    }

    /// Returns how often the item has been submitted.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt.as_ref().map_or(0, |attempt| attempt.number)
    }

    /// Returns what counts against a spend cap: charged, possibly charged, reserved.
    #[must_use]
    pub fn committed(&self) -> Micros {
        let reserved = self
            .attempt
            .as_ref()
            .filter(|attempt| attempt.booking == Booking::Reserved)
            .map_or(Micros::ZERO, |attempt| attempt.price);
        self.charged + self.possibly_charged + reserved
    }

    /// Returns the time from the last submit to when the artifacts were here, of an item
    /// that is done.
    #[must_use]
    pub fn time_to_done(&self) -> Option<Duration> {
        let (from, to) = (self.submitted_at?, self.settled_at?);
        let time = Duration::try_from(to.duration_since(from)).ok()?;
        Some(time).filter(|_| self.state == ItemState::Done)
    }

    /// Returns true when the latest attempt may have a request whose name is not known.
    #[must_use]
    pub fn may_be_named(&self) -> bool {
        let at_rest = matches!(
            self.state,
            ItemState::InDoubt | ItemState::Pending | ItemState::Staged | ItemState::Failed
        );
        at_rest && self.attempt.is_some() && self.request.is_none()
    }

    /// Returns the item as it is after `event`, which happened at `now`.
    ///
    /// This and [`ItemState::after`] are the only way an item changes.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the event cannot happen in the item's state.
    pub fn apply(mut self, event: ItemEvent, now: Timestamp) -> Result<Self, IllegalTransition> {
        let next = self.state.after(event.kind())?;
        if matches!(event, ItemEvent::RequestNamed { .. }) && !self.may_be_named() {
            return Err(IllegalTransition { state: self.state, event: event.kind() });
        }
        let moved = next != self.state;
        self.state = next;
        if moved {
            self.tries = 0;
            // A new address for the source does not shorten the wait after an ERROR.
            if !matches!(event, ItemEvent::Staged { .. } | ItemEvent::StageExpired) {
                self.not_before = None;
            }
            self.settled_at = next.is_settled().then_some(now);
        }
        self.remember(event, now);
        Ok(self)
    }

    fn remember(&mut self, event: ItemEvent, now: Timestamp) {
        match event {
            ItemEvent::Staged { url } => self.staged_url = url,
            ItemEvent::StageExpired => self.staged_url = None,
            ItemEvent::SourceRejected(failure) | ItemEvent::FetchGaveUp(failure) => {
                self.failure = Some(failure);
            }
            ItemEvent::Skipped { artifacts } => self.artifacts = artifacts,
            ItemEvent::SubmitIntent { price } => self.open_attempt(price, now),
            ItemEvent::Accepted { request_id, polling_url } => {
                self.name_request(request_id, polling_url);
            }
            ItemEvent::RequestNamed { request_id } => {
                self.book(Booking::Reserved);
                self.name_request(request_id, None);
            }
            ItemEvent::NotAccepted { failure }
            | ItemEvent::Rejected(failure)
            | ItemEvent::ServiceErrorAgain(failure) => {
                self.book(Booking::Free);
                self.failure = Some(failure);
            }
            ItemEvent::AnswerLost(failure) => {
                self.book(Booking::PossiblyCharged);
                self.failure = Some(failure);
            }
            ItemEvent::Resubmit | ItemEvent::RetrySubmit => self.start_over(),
            ItemEvent::RetryPoll => {
                self.refreshes = 0;
                self.failure = None;
            }
            ItemEvent::Completed { media } => {
                self.book(Booking::Charged);
                self.media = media;
                self.failure = None;
            }
            ItemEvent::ServiceFailed(failure) => {
                self.book(Booking::Charged);
                self.failure = Some(failure);
            }
            ItemEvent::ServiceError { failure, not_before } => {
                self.book(Booking::Free);
                self.start_over();
                self.service_errors += 1;
                self.not_before = Some(not_before);
                self.failure = Some(failure);
            }
            ItemEvent::PollGaveUp(failure) => {
                // A COMPLETED without a picture was charged already; a request that
                // never ended, or that the service denies, may have been.
                if self.booking() == Some(Booking::Reserved) {
                    self.book(Booking::PossiblyCharged);
                }
                self.failure = Some(failure);
            }
            ItemEvent::Postponed { failure, not_before } => {
                self.tries += 1;
                self.not_before = Some(not_before);
                self.failure = Some(failure);
            }
            ItemEvent::LinkExpired(failure) => {
                self.media.clear();
                self.refreshes += 1;
                self.failure = Some(failure);
            }
            ItemEvent::RequestForgotten => {
                self.book(Booking::Free);
                self.start_over();
            }
            ItemEvent::Published { artifacts } => {
                self.artifacts = artifacts;
                self.failure = None;
            }
        }
    }

    fn booking(&self) -> Option<Booking> {
        self.attempt.as_ref().map(|attempt| attempt.booking)
    }

    fn open_attempt(&mut self, price: Micros, now: Timestamp) {
        let number = self.attempts() + 1;
        self.attempt = Some(Attempt { number, booking: Booking::Reserved, price });
        self.submitted_at = Some(now);
        self.request = None;
        self.failure = None;
    }

    fn name_request(&mut self, id: RequestId, polling_url: Option<String>) {
        self.request = Some(Request { id, polling_url });
        self.failure = None;
    }

    /// Forgets what belonged to the last request; its booking stays in the sums.
    fn start_over(&mut self) {
        self.media.clear();
        self.failure = None;
    }

    fn book(&mut self, booking: Booking) {
        let Some(attempt) = &mut self.attempt else { return };
        let (old, price) = (attempt.booking, attempt.price);
        attempt.booking = booking;
        match old {
            Booking::Charged => self.charged = self.charged - price,
            Booking::PossiblyCharged => self.possibly_charged = self.possibly_charged - price,
            Booking::Reserved | Booking::Free => {}
        }
        match booking {
            Booking::Charged => self.charged += price,
            Booking::PossiblyCharged => self.possibly_charged += price,
            Booking::Reserved | Booking::Free => {}
        }
    }

    /// Returns the event with which `retry` takes a failed or doubtful item up
    /// again, and `None` when it cannot: not failed, or a row only an editor can mend.
    ///
    /// An item whose request may still give a picture is asked for again, never paid
    /// for again.
    #[must_use]
    pub fn retry_event(&self, in_doubt_too: bool) -> Option<ItemEvent> {
        let failure = self.failure.as_ref()?;
        match self.state {
            ItemState::InDoubt => in_doubt_too.then_some(ItemEvent::Resubmit),
            ItemState::Failed if failure.code == FailureCode::BadRow => None,
            ItemState::Failed if self.may_still_deliver(failure.code) => Some(ItemEvent::RetryPoll),
            ItemState::Failed => Some(ItemEvent::RetrySubmit),
            _ => None,
        }
    }

    /// Returns true when the item, which failed for `code`, has a request that is or may
    /// be paid for and that the service has not ended without a picture.
    fn may_still_deliver(&self, code: FailureCode) -> bool {
        let paid = matches!(self.booking(), Some(Booking::Charged | Booking::PossiblyCharged));
        // A source fails before a submit: a request that is known here nevertheless is
        // the one before, which a retry has given up.
        let over = matches!(
            code,
            FailureCode::ServiceFailed
                | FailureCode::SourceNotPublic
                | FailureCode::SourceUnreadable
        );
        self.request.is_some() && paid && !over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::FailureClass;

    fn staged() -> Item {
        let photo = Photo {
            source: "https://example.org/a.jpg".into(),
            scale: 2,
            version: "v1.4".into(),
            stem: "a".into(),
        };
        Item::new(ItemId(1), Edition(1), photo, ItemState::Staged)
    }

    fn failure(code: FailureCode) -> Failure {
        Failure::new(FailureClass::Permanent, code, "test")
    }

    fn after(events: Vec<ItemEvent>) -> Item {
        events
            .into_iter()
            .fold(staged(), |item, event| item.apply(event, Timestamp::UNIX_EPOCH).unwrap())
    }

    fn intent() -> ItemEvent {
        ItemEvent::SubmitIntent { price: Micros(3100) }
    }

    fn accepted() -> ItemEvent {
        ItemEvent::Accepted { request_id: RequestId("r".into()), polling_url: None }
    }

    #[test]
    fn a_name_is_believed_of_the_latest_attempt_alone_and_once() {
        let named = || ItemEvent::RequestNamed { request_id: RequestId("r".into()) };
        let refused = || ItemEvent::Rejected(failure(FailureCode::Rejected));
        let throttled = || ItemEvent::NotAccepted { failure: failure(FailureCode::Throttled) };
        let lost = || ItemEvent::AnswerLost(failure(FailureCode::InDoubt));
        for history in [
            vec![intent(), lost()],
            vec![intent(), lost(), ItemEvent::Resubmit],
            vec![intent(), throttled()],
            vec![intent(), refused()],
        ] {
            let item = after(history).apply(named(), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((item.state, item.committed()), (ItemState::Submitted, Micros(3100)));
        }
        let error = ItemEvent::ServiceError {
            failure: failure(FailureCode::ServiceError),
            not_before: Timestamp::UNIX_EPOCH,
        };
        let failed = ItemEvent::ServiceFailed(failure(FailureCode::ServiceFailed));
        for history in
            [vec![], vec![intent(), accepted(), error], vec![intent(), accepted(), failed]]
        {
            let item = after(history);
            assert!(item.clone().apply(named(), Timestamp::UNIX_EPOCH).is_err(), "{item:?}");
        }
    }

    #[test]
    fn money_follows_the_answer() {
        let completed = ItemEvent::Completed { media: vec!["m".into()] };
        let lost = || ItemEvent::AnswerLost(failure(FailureCode::InDoubt));
        let error = ItemEvent::ServiceError {
            failure: failure(FailureCode::ServiceError),
            not_before: Timestamp::UNIX_EPOCH,
        };
        let cases = [
            (vec![intent()], (0, 0)),
            (vec![intent(), accepted()], (0, 0)),
            (vec![intent(), accepted(), completed.clone()], (3100, 0)),
            (vec![intent(), lost()], (0, 3100)),
            (
                vec![intent(), lost(), ItemEvent::Resubmit, intent(), accepted(), completed],
                (3100, 3100),
            ),
            (
                vec![
                    intent(),
                    lost(),
                    ItemEvent::RequestNamed { request_id: RequestId("r".into()) },
                ],
                (0, 0),
            ),
            (vec![intent(), accepted(), error], (0, 0)),
            (
                vec![
                    intent(),
                    accepted(),
                    ItemEvent::ServiceFailed(failure(FailureCode::ServiceFailed)),
                ],
                (3100, 0),
            ),
            (
                vec![intent(), accepted(), ItemEvent::PollGaveUp(failure(FailureCode::Deadline))],
                (0, 3100),
            ),
            (vec![intent(), ItemEvent::Rejected(failure(FailureCode::Rejected))], (0, 0)),
        ];
        for (events, (charged, possibly)) in cases {
            let item = after(events.clone());
            assert_eq!(
                (item.charged.0, item.possibly_charged.0),
                (charged, possibly),
                "{events:?}"
            );
        }
    }

    #[test]
    fn a_failed_download_keeps_the_paid_request_and_retries_without_paying() {
        let item = after(vec![
            intent(),
            accepted(),
            ItemEvent::Completed { media: vec!["m".into()] },
            ItemEvent::FetchGaveUp(failure(FailureCode::MediaUnavailable)),
        ]);
        assert_eq!(item.retry_event(false), Some(ItemEvent::RetryPoll));
        let again = item.apply(ItemEvent::RetryPoll, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(again.state, ItemState::Submitted);
        assert_eq!(again.request.unwrap().id, RequestId("r".into()));
        assert_eq!(again.charged, Micros(3100));
    }

    /// Whatever it was that stopped a download, or the wait for one.
    #[test]
    fn a_request_that_may_deliver_is_asked_again_whatever_the_code() {
        for code in FailureCode::ALL {
            let expected = match code {
                FailureCode::BadRow => None,
                FailureCode::ServiceFailed
                | FailureCode::SourceNotPublic
                | FailureCode::SourceUnreadable => Some(ItemEvent::RetrySubmit),
                _ => Some(ItemEvent::RetryPoll),
            };
            let completed = ItemEvent::Completed { media: vec!["m".into()] };
            let undelivered = ItemEvent::FetchGaveUp(failure(code));
            let charged = after(vec![intent(), accepted(), completed, undelivered]);
            assert_eq!(charged.retry_event(false), expected, "{code}");
            let gave_up = ItemEvent::PollGaveUp(failure(code));
            let possibly = after(vec![intent(), accepted(), gave_up]);
            assert_eq!(possibly.retry_event(false), expected, "{code}");
        }
    }

    #[test]
    fn what_was_free_is_submitted_anew_whatever_the_code() {
        for code in FailureCode::ALL {
            let expected = (code != FailureCode::BadRow).then_some(ItemEvent::RetrySubmit);
            for events in [
                vec![ItemEvent::SourceRejected(failure(code))],
                vec![intent(), ItemEvent::Rejected(failure(code))],
                vec![intent(), accepted(), ItemEvent::ServiceErrorAgain(failure(code))],
            ] {
                assert_eq!(after(events).retry_event(true), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_source_that_is_gone_when_a_failed_request_is_retried_is_staged_anew() {
        let item = after(vec![
            intent(),
            accepted(),
            ItemEvent::ServiceFailed(failure(FailureCode::ServiceFailed)),
            ItemEvent::RetrySubmit,
            ItemEvent::SourceRejected(failure(FailureCode::SourceUnreadable)),
        ]);
        assert_eq!(item.retry_event(false), Some(ItemEvent::RetrySubmit));
    }

    #[test]
    fn staging_anew_keeps_the_wait_after_an_error() {
        let not_before: Timestamp = "1970-01-01T00:05:00Z".parse().unwrap();
        let error =
            ItemEvent::ServiceError { failure: failure(FailureCode::ServiceError), not_before };
        let anew = ItemEvent::Staged { url: Some("https://example.org/new".into()) };
        let item = after(vec![intent(), accepted(), error, ItemEvent::StageExpired, anew]);
        assert_eq!(item.not_before, Some(not_before));
        assert_eq!(item.apply(intent(), Timestamp::UNIX_EPOCH).unwrap().not_before, None);
    }

    #[test]
    fn an_item_in_doubt_is_only_sent_again_when_asked_for() {
        let item = after(vec![intent(), ItemEvent::AnswerLost(failure(FailureCode::InDoubt))]);
        assert_eq!(item.retry_event(false), None);
        assert_eq!(item.retry_event(true), Some(ItemEvent::Resubmit));
    }
}
