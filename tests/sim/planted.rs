//! Bugs planted on purpose: the harness must see each, and name what it breaks.

mod ledger;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use ledger::{Bug, BuggyLedger};
use restore_batch::{
    api::{Known, RestoreApi, StatusOutcome, SubmitOrder, SubmitOutcome},
    core::{Artifact, EventKind, InDoubtPolicy},
    fetch::{FetchError, Fetcher},
    testing::sim::{
        Courses, Ending, Faults, FetchFaults, PollFaults, Retry, Scenario, Stopping, SubmitFaults,
        World,
    },
};

use crate::scenarios::{STORM, stormy};

fn small() -> Scenario {
    Scenario { items: 6, ..Scenario::default() }
}

fn with_submits(submit: SubmitFaults) -> Scenario {
    Scenario { faults: Faults { submit, ..Faults::default() }, ..small() }
}

/// Returns what is violated first in the worlds of some seeds.
fn violated(build: impl Fn(u64) -> World) -> Vec<&'static str> {
    let verdicts = (0..20).filter_map(|seed| build(seed).verdict().err());
    let mut names: Vec<_> = verdicts.map(|violation| violation.invariant).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn with_bug(world: World, bug: Bug) -> World {
    world.with_ledger(Arc::new(move |inner| Arc::new(BuggyLedger { inner, bug })))
}

/// A service client with a bug.
struct BuggyApi {
    inner: Arc<dyn RestoreApi>,
    bug: ApiBug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiBug {
    /// Sends a POST again whose answer was lost.
    Resends,
    /// Takes a lost answer for one that was never given.
    TrustsSilence,
    /// Does not read `Retry-After`.
    IgnoresPauses,
    /// Takes a refused account for a busy service.
    IgnoresRefusals,
    /// Takes ERROR for FAILED.
    ChargesErrors,
    /// Asks twice.
    PollsTwice,
    /// Sends one more at once when it is told to wait, or that the account is refused.
    OneMore,
    /// Takes 404 for the end.
    BelievesUnknown,
}

impl RestoreApi for BuggyApi {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        Box::pin(async move {
            match (self.bug, self.inner.submit(order).await) {
                (ApiBug::Resends, SubmitOutcome::InDoubt(_)) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.inner.submit(order).await
                }
                (ApiBug::TrustsSilence, SubmitOutcome::InDoubt(failure)) => {
                    SubmitOutcome::NotSent(failure)
                }
                (ApiBug::IgnoresPauses, SubmitOutcome::Throttled { failure, .. }) => {
                    SubmitOutcome::Throttled { failure, retry_after: None }
                }
                (ApiBug::IgnoresRefusals, SubmitOutcome::Account(failure)) => {
                    SubmitOutcome::Unavailable { failure, retry_after: None }
                }
                (
                    ApiBug::OneMore,
                    outcome @ (SubmitOutcome::Account(_)
                    | SubmitOutcome::Throttled { retry_after: Some(_), .. }),
                ) => {
                    let _unheard = self.inner.submit(order).await;
                    outcome
                }
                (_, outcome) => outcome,
            }
        })
    }

    fn status<'a>(&'a self, request: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        Box::pin(async move {
            match (self.bug, self.inner.status(request).await) {
                (ApiBug::ChargesErrors, StatusOutcome::Error(failure))
                | (ApiBug::BelievesUnknown, StatusOutcome::Unknown(failure)) => {
                    StatusOutcome::Failed(failure)
                }
                (ApiBug::PollsTwice, _) => self.inner.status(request).await,
                (_, outcome) => outcome,
            }
        })
    }
}

fn with_api_bug(world: World, bug: ApiBug) -> World {
    world.with_api(Arc::new(move |inner| Arc::new(BuggyApi { inner, bug })))
}

/// Crashes at one boundary after the other until a life shows something.
fn broken_first(build: impl Fn() -> World) -> Option<&'static str> {
    (1..60).find_map(|boundary| {
        let mut world = build();
        let _ending = world.live(Some(boundary));
        world.broken().map(|violation| violation.invariant)
    })
}

/// Between the first POST and its answer nothing explains the request.
#[test]
fn an_attempt_that_is_not_durable_is_seen() {
    let build = || with_bug(World::new(1, small()), Bug::Forgets(EventKind::SubmitIntent));
    assert_eq!(broken_first(build), Some("I7"));
}

#[test]
fn a_post_that_is_sent_again_is_seen() {
    let lost = SubmitFaults { reply_lost: 0.5, ..SubmitFaults::default() };
    // One item, so that the additional submit is not one too many for the pace as well.
    let scenario = Scenario { items: 1, ..with_submits(lost) };
    let build = |seed| with_api_bug(World::new(seed, scenario.clone()), ApiBug::Resends);
    assert_eq!(violated(build), ["I2"]);
}

#[test]
fn a_lost_answer_that_is_booked_free_is_seen() {
    let error = SubmitFaults { server_error: 0.2, ..SubmitFaults::default() };
    let build = |seed| with_api_bug(World::new(seed, with_submits(error)), ApiBug::TrustsSilence);
    assert_eq!(violated(build), ["I2"]);
    // Before it is sent again, it is only unexplained.
    let first = |seed| {
        let build = || with_api_bug(World::new(seed, with_submits(error)), ApiBug::TrustsSilence);
        broken_first(build)
    };
    assert!((0..10).filter_map(first).any(|name| name == "I7"));
}

#[test]
fn a_pause_that_is_not_kept_is_seen() {
    let busy = SubmitFaults { throttled: 0.3, ..SubmitFaults::default() };
    let build = |seed| with_api_bug(World::new(seed, with_submits(busy)), ApiBug::IgnoresPauses);
    assert_eq!(violated(build), ["I4"]);
}

#[test]
fn a_pause_that_is_forgotten_between_runs_is_seen() {
    let busy = SubmitFaults { throttled: 0.5, ..SubmitFaults::default() };
    let scenario = Scenario { stops: Stopping::Anytime, ..with_submits(busy) };
    let build = |seed| with_bug(World::new(seed, scenario.clone()), Bug::ForgetsPauses);
    assert_eq!(violated(build), ["I4"]);
}

#[test]
fn submits_after_the_account_was_refused_are_seen() {
    let mut scenario = small();
    scenario.faults.account.wallet = 2;
    let build = |seed| with_api_bug(World::new(seed, scenario.clone()), ApiBug::IgnoresRefusals);
    assert_eq!(violated(build), ["account"]);
}

#[test]
fn an_error_that_is_booked_as_charged_is_seen() {
    let course = Courses { error: 0.5, ..Courses::default() };
    let scenario = Scenario { faults: Faults { course, ..Faults::default() }, ..small() };
    let build = |seed| with_api_bug(World::new(seed, scenario.clone()), ApiBug::ChargesErrors);
    assert_eq!(violated(build), ["money"]);
}

#[test]
fn polls_that_come_too_often_are_seen() {
    let scenario = Scenario { items: 1, ..small() };
    let build = |seed| with_api_bug(World::new(seed, scenario.clone()), ApiBug::PollsTwice);
    assert_eq!(violated(build), ["cadence"]);
}

#[test]
fn a_result_that_is_not_written_down_is_seen() {
    let build = |seed| with_bug(World::new(seed, small()), Bug::Forgets(EventKind::Published));
    assert_eq!(violated(build), ["I1"]);
}

#[test]
fn a_stale_session_that_still_writes_is_seen() {
    let scenario = Scenario { stops: Stopping::Takeover, items: 16, ..small() };
    let build = |seed| {
        let bug = Bug::IgnoresFences;
        let world = World::new(seed, scenario.clone());
        world.with_store(Arc::new(move |inner| Arc::new(BuggyLedger { inner, bug })))
    };
    assert_eq!(violated(build), ["I6"]);
}

#[test]
fn a_cap_that_is_forgotten_between_runs_is_seen() {
    let scenario = Scenario {
        cap: Some(4),
        items: 16,
        stops: Stopping::DrainAfter(1),
        in_doubt: InDoubtPolicy::Hold,
        faults: Faults { submit: STORM.submit, ..Faults::default() },
        ..stormy()
    };
    let build = |seed| with_bug(World::new(seed, scenario.clone()), Bug::ForgetsMoney);
    assert_eq!(violated(build), ["spend cap"]);
}

#[test]
fn a_submit_that_follows_a_refusal_at_once_is_seen() {
    // One item and slow answers, so that the pace allows one more.
    let slow = SubmitFaults { slow: 1.0, ..SubmitFaults::default() };
    let mut refused = Scenario { items: 1, ..with_submits(slow) };
    refused.faults.account.key_revoked_at = Some(0);
    let build = |seed| with_api_bug(World::new(seed, refused.clone()), ApiBug::OneMore);
    assert_eq!(violated(build), ["account"]);
    let busy = Scenario { items: 1, ..with_submits(SubmitFaults { throttled: 0.5, ..slow }) };
    let build = |seed| with_api_bug(World::new(seed, busy.clone()), ApiBug::OneMore);
    assert_eq!(violated(build), ["I4"]);
}

#[test]
fn a_picture_given_up_at_the_first_404_is_seen() {
    let poll = PollFaults { early_unknown: 0.3, ..PollFaults::default() };
    let scenario = Scenario { faults: Faults { poll, ..Faults::default() }, ..small() };
    let build = |seed| with_api_bug(World::new(seed, scenario.clone()), ApiBug::BelievesUnknown);
    assert_eq!(violated(build), ["result"]);
}

type Delivery = Result<Artifact, FetchError>;

/// A fetcher whose every end is told otherwise.
struct Misreported(Arc<dyn Fetcher>, fn(Delivery) -> Delivery);

impl Fetcher for Misreported {
    fn deliver<'a>(&'a self, media_url: &'a str, stem: &'a str) -> BoxFuture<'a, Delivery> {
        Box::pin(async move { self.1(self.0.deliver(media_url, stem).await) })
    }
}

fn with_fetch_bug(world: World, bug: fn(Delivery) -> Delivery) -> World {
    world.with_fetcher(Arc::new(move |inner| Arc::new(Misreported(inner, bug))))
}

/// A download that is given up at the first break.
fn impatient(end: Delivery) -> Delivery {
    match end {
        Err(FetchError::Retry { failure, .. }) => Err(FetchError::Permanent(failure)),
        end => end,
    }
}

/// A download that vouches for more than it has written.
fn cut_file(end: Delivery) -> Delivery {
    end.map(|artifact| Artifact { bytes: artifact.bytes + 1, ..artifact })
}

#[test]
fn a_picture_given_up_at_the_first_break_is_seen() {
    let fetch = FetchFaults { cut: 0.3, ..FetchFaults::default() };
    let scenario = Scenario { faults: Faults { fetch, ..Faults::default() }, ..small() };
    let build = |seed| with_fetch_bug(World::new(seed, scenario.clone()), impatient);
    assert_eq!(violated(build), ["result"]);
}

/// Of a request that has not ended in time, which the service still has a picture for or
/// will take the money for.
#[test]
fn a_retry_that_pays_again_for_what_is_paid_is_seen() {
    let course = Courses { stuck: 0.5, ..Courses::default() };
    let scenario = Scenario {
        faults: Faults { course, ..Faults::default() },
        retry: Some(Retry::Failed),
        ..small()
    };
    let build = |seed| with_bug(World::new(seed, scenario.clone()), Bug::PaysAgain);
    assert_eq!(violated(build), ["I2"]);
}

#[test]
fn a_failed_request_that_is_booked_as_perhaps_is_seen() {
    let course = Courses { failed: 0.5, ..Courses::default() };
    let scenario = Scenario { faults: Faults { course, ..Faults::default() }, ..small() };
    let build = |seed| with_bug(World::new(seed, scenario.clone()), Bug::DoubtsFailed);
    assert_eq!(violated(build), ["money"]);
}

#[test]
fn a_cut_file_that_counts_as_whole_is_seen() {
    let build = |seed| with_fetch_bug(World::new(seed, small()), cut_file);
    assert_eq!(violated(build), ["I5"]);
}

/// A test that forgets to ask still fails.
#[test]
#[should_panic(expected = "I5 does not hold")]
fn dropping_a_broken_world_is_enough() {
    let mut world = with_fetch_bug(World::new(1, small()), cut_file);
    let ending = world.live(None);
    assert!(!matches!(ending, Ok(Ending::Crashed)));
}
