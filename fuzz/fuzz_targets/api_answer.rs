//! Any answer of the service: no panic, the money rules of `api::classify`, and texts
//! that are short, without control characters and without the key.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use restore_batch::{
    api::{
        StatusOutcome, SubmitOutcome,
        classify::{self, Answer, Exchange},
    },
    core::{Failure, FailureCode, RequestId},
};

/// Longer than any text that is the service's own words and ours around them.
const LONGEST_MESSAGE: usize = 1_000;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    status: u16,
    body: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let exchange = Exchange::Answer(Answer {
        status: 100 + input.status % 500,
        retry_after: None,
        body: Bytes::copy_from_slice(input.body),
        key: Some("s3cret-key".parse().unwrap()),
    });
    let Exchange::Answer(Answer { status, .. }) = exchange else { unreachable!() };
    check_submit(status, classify::submit(&exchange));
    check_status(status, classify::status(&exchange, &RequestId("r".to_owned())));
});

fn check_submit(status: u16, outcome: SubmitOutcome) {
    let accepted_nothing = match outcome {
        SubmitOutcome::Accepted { request_id, .. } => {
            assert!((200..300).contains(&status), "accepted by {status}");
            assert!(!request_id.0.trim().is_empty() && request_id.0.len() <= 256);
            assert!(!request_id.0.chars().any(char::is_control));
            return;
        }
        SubmitOutcome::InDoubt(failure) => {
            assert_eq!(failure.code, FailureCode::InDoubt);
            check(&failure);
            false
        }
        SubmitOutcome::NotSent(failure) => panic!("an answer came: {failure}"),
        SubmitOutcome::Unavailable { failure, .. }
        | SubmitOutcome::Throttled { failure, .. }
        | SubmitOutcome::Rejected(failure)
        | SubmitOutcome::Account(failure) => {
            check(&failure);
            true
        }
    };
    // API.md's list; a 2xx can be a rejection by its body.
    let certain = matches!(status, 300..=399 | 400..=405 | 413 | 415 | 422 | 429 | 503);
    if !(200..300).contains(&status) {
        assert_eq!(accepted_nothing, certain, "{status}");
    }
}

fn check_status(status: u16, outcome: StatusOutcome) {
    match outcome {
        StatusOutcome::Completed { media, .. } => {
            assert!((200..300).contains(&status) && !media.is_empty());
            assert!(media.iter().all(|url| !url.trim().is_empty()));
        }
        StatusOutcome::Waiting { word } => check_text(&word),
        StatusOutcome::NoMedia(failure)
        | StatusOutcome::Failed(failure)
        | StatusOutcome::Error(failure)
        | StatusOutcome::Unknown(failure)
        | StatusOutcome::Throttled { failure, .. }
        | StatusOutcome::Account(failure)
        | StatusOutcome::Unavailable(failure) => check(&failure),
    }
}

fn check(failure: &Failure) {
    check_text(&failure.message);
}

fn check_text(text: &str) {
    assert!(text.len() <= LONGEST_MESSAGE, "{} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(!text.contains("s3cret-key"), "{text:?}");
}
