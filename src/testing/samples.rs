//! Items and rules to begin a test with.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    core::{
        Cadence, Edition, Failure, FailureClass, FailureCode, InDoubtPolicy, Item, ItemEvent,
        ItemId, ItemState, Micros, Photo, RequestId, RetryPolicy,
    },
    limit::LaneLimits,
    run::RunSettings,
};

/// Price of a request in [`rules`].
pub const PRICE: Micros = Micros(3_100);

/// Returns an item with a public source that waits to be submitted.
#[must_use]
pub fn staged(id: i64) -> Item {
    let photo = Photo {
        source: format!("https://example.org/{id}.jpg"),
        scale: 2,
        version: "v1.4".into(),
        stem: id.to_string(),
    };
    Item::new(ItemId(id), Edition(1), photo, ItemState::Staged)
}

/// Returns the item after these events, all at `now`.
///
/// # Panics
///
/// When an event is not possible.
#[must_use]
pub fn after(item: Item, events: Vec<ItemEvent>, now: Timestamp) -> Item {
    let apply = |item: Item, event| item.apply(event, now).expect("a possible event");
    events.into_iter().fold(item, apply)
}

/// Returns an item that was submitted and accepted at `now`.
#[must_use]
pub fn submitted(id: i64, now: Timestamp) -> Item {
    let request_id = RequestId(format!("r{id}"));
    let accepted = ItemEvent::Accepted { request_id, polling_url: None };
    after(staged(id), vec![ItemEvent::SubmitIntent { price: PRICE }, accepted], now)
}

/// Returns an item whose picture can be fetched, submitted at `now`.
#[must_use]
pub fn ready(id: i64, now: Timestamp) -> Item {
    let media = vec![format!("https://media.example.org/{id}.png")];
    after(submitted(id, now), vec![ItemEvent::Completed { media }], now)
}

/// Returns a failure of a code in the class it usually has.
#[must_use]
pub fn failure(code: FailureCode) -> Failure {
    let class = match code {
        FailureCode::InDoubt => FailureClass::InDoubt,
        FailureCode::Throttled => FailureClass::Throttled,
        FailureCode::KeyRefused
        | FailureCode::InsufficientBalance
        | FailureCode::ModelUnavailable => FailureClass::Account,
        FailureCode::NotSent | FailureCode::StatusUnavailable | FailureCode::NoMedia => {
            FailureClass::Transient
        }
        _ => FailureClass::Permanent,
    };
    Failure::new(class, code, "sample")
}

/// Returns rules under which nothing has to wait for a slot or a quota.
#[must_use]
pub fn rules() -> RunSettings {
    let lane = LaneLimits { per_second: 100_000.0, at_once: 100 };
    let policy = |tries, first_secs, max_secs| RetryPolicy {
        tries,
        first_delay: Duration::from_secs(first_secs),
        max_delay: Duration::from_secs(max_secs),
    };
    RunSettings {
        submit: lane,
        poll: lane,
        fetch: lane,
        cadence: Cadence {
            interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
        },
        deadline: Duration::from_hours(1),
        unknown_grace: Duration::from_mins(1),
        price: PRICE,
        max_spend: None,
        in_doubt: InDoubtPolicy::Hold,
        fetch_retry: policy(4, 1, 60),
        error_retry: policy(3, 10, 300),
        no_media: policy(3, 5, 60),
        most_refreshes: 2,
        outage_limit: Duration::from_mins(15),
        grace: Duration::from_secs(30),
        request_timeout: Duration::from_mins(1),
        volatile_service: false,
        seed: 1,
    }
}
