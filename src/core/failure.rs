//! Why something did not work, as plain data.
//!
//! A [`Failure`] goes to the ledger and to failures.csv; it never travels as an
//! `Err` above the worker and cannot stop a job by itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a failure means for what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// May go away by itself: try the same step again later.
    Transient,
    /// The service asked for a pause.
    Throttled,
    /// Will not go away: the item has failed.
    Permanent,
    /// A request may or may not have been accepted, and so paid for.
    InDoubt,
    /// The account, not the item: stop submitting for the whole job.
    Account,
}

/// Stable names of failures, as written to failures.csv. Never reuse or rename one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// The manifest row cannot be read as an item.
    BadRow,
    /// The source is a local path and nothing makes it reachable by URL.
    SourceNotPublic,
    /// The local source is missing, unreadable or no picture.
    SourceUnreadable,
    /// The service refused the request and took no money.
    Rejected,
    /// The request was not sent: no connection to the service.
    NotSent,
    /// The service asked to slow down, or was briefly unavailable.
    Throttled,
    /// The request was sent and the answer is unknown.
    InDoubt,
    /// The service answered FAILED.
    ServiceFailed,
    /// The service answered ERROR more often than the policy allows.
    ServiceError,
    /// The service does not know the request id.
    UnknownRequest,
    /// The request did not finish within the deadline.
    Deadline,
    /// The service answered COMPLETED without a picture.
    NoMedia,
    /// The picture's address is one that must not be opened.
    MediaBlocked,
    /// The picture could not be downloaded.
    MediaUnavailable,
    /// What was downloaded is no whole picture.
    MediaInvalid,
    /// The picture is larger than allowed.
    MediaTooLarge,
    /// The artifact could not be written to the output folder.
    NotWritable,
    /// A status request failed without an answer about the item.
    StatusUnavailable,
    /// The key is missing, wrong or not allowed (401, 403).
    KeyRefused,
    /// The wallet is empty (402).
    InsufficientBalance,
    /// The model is not found or disabled (400).
    ModelUnavailable,
}

impl FailureCode {
    /// Every code, in the order of the README's table.
    pub const ALL: [Self; 21] = [
        Self::BadRow,
        Self::SourceNotPublic,
        Self::SourceUnreadable,
        Self::Rejected,
        Self::NotSent,
        Self::Throttled,
        Self::InDoubt,
        Self::ServiceFailed,
        Self::ServiceError,
        Self::UnknownRequest,
        Self::Deadline,
        Self::NoMedia,
        Self::MediaBlocked,
        Self::MediaUnavailable,
        Self::MediaInvalid,
        Self::MediaTooLarge,
        Self::NotWritable,
        Self::StatusUnavailable,
        Self::KeyRefused,
        Self::InsufficientBalance,
        Self::ModelUnavailable,
    ];

    /// Returns the name written to files and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRow => "bad-row",
            Self::SourceNotPublic => "source-not-public",
            Self::SourceUnreadable => "source-unreadable",
            Self::Rejected => "rejected",
            Self::NotSent => "not-sent",
            Self::Throttled => "throttled",
            Self::InDoubt => "in-doubt",
            Self::ServiceFailed => "service-failed",
            Self::ServiceError => "service-error",
            Self::UnknownRequest => "unknown-request",
            Self::Deadline => "deadline",
            Self::NoMedia => "no-media",
            Self::MediaBlocked => "media-blocked",
            Self::MediaUnavailable => "media-unavailable",
            Self::MediaInvalid => "media-invalid",
            Self::MediaTooLarge => "media-too-large",
            Self::NotWritable => "not-writable",
            Self::StatusUnavailable => "status-unavailable",
            Self::KeyRefused => "key-refused",
            Self::InsufficientBalance => "insufficient-balance",
            Self::ModelUnavailable => "model-unavailable",
        }
    }

    /// Returns the code with this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// Returns true when a request has been accepted and may still have a result at the
    /// service: asking for that costs nothing, and another submit may pay twice.
    #[must_use]
    pub fn leaves_a_request(self) -> bool {
        matches!(
            self,
            Self::UnknownRequest
                | Self::Deadline
                | Self::NoMedia
                | Self::MediaBlocked
                | Self::MediaUnavailable
                | Self::MediaInvalid
                | Self::MediaTooLarge
                | Self::NotWritable
        )
    }

    /// Returns true when a download failed: the host of the pictures, which need not be the
    /// service, gave none that is whole.
    #[must_use]
    pub fn is_of_a_download(self) -> bool {
        matches!(
            self,
            Self::MediaBlocked | Self::MediaUnavailable | Self::MediaInvalid | Self::MediaTooLarge
        )
    }

    /// Returns what a person can do about it, in one sentence.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::BadRow => "correct the row in the manifest and run the same command again",
            Self::SourceNotPublic => {
                "use `--local`, or `--public-base FOLDER=URL` for a folder that a web server publishes"
            }
            Self::SourceUnreadable => "check the file, then run `restore-batch retry`",
            Self::Rejected => "check that the picture's address opens in a browser, then `retry`",
            Self::NotSent | Self::Throttled | Self::StatusUnavailable => {
                "run the same command again later"
            }
            Self::InDoubt => {
                "it may have been paid for; `retry --in-doubt` sends it again and may pay twice"
            }
            Self::ServiceFailed => "the service charges for this; `retry` pays once more",
            Self::ServiceError => "not charged; `retry` sends it again",
            Self::UnknownRequest | Self::Deadline | Self::NoMedia | Self::MediaUnavailable => {
                "`retry` asks for the result again and costs nothing"
            }
            Self::MediaInvalid => "`retry` downloads the result again and costs nothing",
            Self::MediaBlocked => {
                "allow the address with `--allow-private` if you trust it, then `retry`"
            }
            Self::MediaTooLarge => {
                "raise `--max-media-bytes` or `--max-pixels`, whichever the reason names, then `retry`; it costs nothing"
            }
            Self::NotWritable => "make the output folder writable, then run the same command again",
            Self::KeyRefused => "check the key with `restore-batch check`",
            Self::InsufficientBalance => {
                "add funds to the account, then run the same command again"
            }
            Self::ModelUnavailable => "check the service's page for the model, then run again",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that went wrong, ready to be stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it means for what happens next.
    pub class: FailureClass,
    /// Its stable name.
    pub code: FailureCode,
    /// A lowercase fragment for people; no secret, no query string.
    pub message: String,
    /// The HTTP status that said so, if one did.
    pub http_status: Option<u16>,
}

impl Failure {
    /// Creates a failure without an HTTP status.
    pub fn new(class: FailureClass, code: FailureCode, message: impl Into<String>) -> Self {
        Self { class, code, message: message.into(), http_status: None }
    }

    /// Adds the HTTP status that reported it.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_nothing_to_retry_leaves_a_request() {
        for code in FailureCode::ALL {
            let free = code.advice().contains("costs nothing");
            assert!(!free || code.leaves_a_request(), "{code}");
        }
    }

    #[test]
    fn names_are_the_serialised_ones() {
        for code in FailureCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(FailureCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(FailureCode::parse("Rejected"), None);
    }
}
