//! Stops submitting while the service does not answer sanely.
//!
//! A service that is down must not cost items their money or their attempts. After the
//! first submit that could not be sent, or [`DOUBTS`] answers in a row that leave a
//! submit in doubt, submitting stops. A probe that costs nothing (a status request)
//! asks until an answer comes; then one single submit goes first, and only when that
//! one is answered do the others follow. Each time the single submit fails, the wait
//! doubles, so that an outage of any length leaves a handful of items in doubt.
//!
//! A service that takes requests and says nothing leaves no answers to count: nothing
//! more is submitted once it has been silent for [`SILENCE`].
//!
//! When no download succeeds any more, submitting stops too: what is paid for and cannot
//! be fetched helps nobody. Downloads themselves go on, and the first that succeeds ends
//! this. One broken picture is no outage, so that different pictures are counted; and
//! because a few broken pictures are none either, a single submit is tried now and then
//! when all there is to download has failed.
//!
//! Polls are watched apart from submits: a service that refuses submits may well tell
//! the status of what it has accepted, and the other way round.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::core::{Failure, ItemId};

/// Answers in doubt in a row after which submitting stops.
const DOUBTS: u32 = 3;

/// Different pictures, without a success in between, whose download must fail before
/// submitting stops.
const UNFETCHED: usize = 5;

/// First wait before a probe, doubled with every probe or single submit that fails.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Longest wait between two probes.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// Polls that fail for this long are worth telling people; less is a hiccup.
const POLL_HICCUP: Duration = Duration::from_secs(10);

/// Silence after which nothing more is submitted: well above the second or two an answer
/// takes, and far below the request timeout, in which a service that says nothing would
/// get hundreds of requests. A slow service is not held back as long as answers come.
const SILENCE: Duration = Duration::from_secs(5);

/// Time for an answer after a pause that was asked for, before patience ends.
const AFTER_PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Submits flow.
    Closed,
    /// No submits; a probe is due at this time.
    Open { probe_at: Instant },
    /// No submits; a probe is on the wire.
    Probing,
    /// The probe was answered: one submit at a time.
    HalfOpen,
}

/// Watches the service's sanity; pure, driven with `now`.
#[derive(Debug)]
pub(super) struct Breaker {
    /// How long an outage may last before the job halts.
    limit: Duration,
    state: State,
    doubts: u32,
    level: u32,
    /// The last time a submit was answered.
    heard: Option<Instant>,
    submits: Option<Outage>,
    polls: Option<Outage>,
    /// The last time a status request was answered in a way that can be read.
    poll_heard: Option<Instant>,
    /// The service asks for pauses and accepts nothing in between.
    throttles: Option<Outage>,
    /// The same for polls.
    poll_throttles: Option<Outage>,
    /// Pictures that could not be fetched since the last that could; no more than wait for
    /// their download.
    unfetched: BTreeSet<ItemId>,
    fetches: Option<Outage>,
    /// Single submits tried while downloads fail, and not before when the next.
    trials: u32,
    trial_at: Option<Instant>,
}

/// No sane answer for a while.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// From when patience counts: later than `since` when nobody waited in between.
    waiting_since: Instant,
    last: Failure,
    /// The service asked for a pause that patience does not cut short.
    paused_until: Option<Instant>,
    /// It is more than one failure, after which nobody may have asked again.
    confirmed: bool,
    /// People were told of it.
    told: bool,
}

impl Outage {
    fn new(last: Failure, now: Instant) -> Self {
        Self {
            since: now,
            waiting_since: now,
            last,
            paused_until: None,
            confirmed: true,
            told: false,
        }
    }

    /// The service asks for a pause. Patience begins when the first is over; once it has
    /// ended, no further pause prolongs it.
    fn pause(&mut self, pause: Option<Duration>, limit: Duration, now: Instant) {
        let Some(pause) = pause else { return };
        if self.since == now {
            self.waiting_since = now + pause;
        } else if now < self.waiting_since + limit {
            self.paused_until = Some(now + pause + AFTER_PAUSE);
        }
    }

    /// Returns when patience ends.
    fn ends(&self, limit: Duration) -> Instant {
        let patience = self.waiting_since + limit;
        self.paused_until.map_or(patience, |until| until.max(patience))
    }
}

impl Breaker {
    /// Patience with an outage ends after `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            state: State::Closed,
            doubts: 0,
            level: 0,
            heard: None,
            submits: None,
            polls: None,
            poll_heard: None,
            throttles: None,
            poll_throttles: None,
            unfetched: BTreeSet::new(),
            fetches: None,
            trials: 0,
            trial_at: None,
        }
    }

    /// Returns true when a submit may leave while others are unanswered, the oldest of
    /// them since `oldest`.
    pub(super) fn allows_submit(&self, oldest: Option<Instant>, now: Instant) -> bool {
        match self.state {
            State::Closed => oldest.is_none_or(|oldest| {
                let silent_since = self.heard.map_or(oldest, |heard| heard.max(oldest));
                now.duration_since(silent_since) < SILENCE
            }),
            State::HalfOpen => oldest.is_none(),
            State::Open { .. } | State::Probing => false,
        }
    }

    /// Returns when the next probe is due.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { probe_at } => Some(probe_at),
            _ => None,
        }
    }

    /// The probe that was due has left.
    pub(super) fn probing(&mut self) {
        self.state = State::Probing;
    }

    /// A probe was answered (or not); it need not be one that submits wait for.
    pub(super) fn probed(&mut self, sane: Result<(), Failure>, now: Instant) {
        if sane.is_ok() {
            self.poll_heard = Some(now);
        }
        if self.state != State::Probing {
            return;
        }
        match sane {
            Ok(()) => self.state = State::HalfOpen,
            Err(failure) => self.open(failure, None, now),
        }
    }

    /// A submit was answered in a way that says what happened to it. Returns how long
    /// the outage lasted that this ends.
    pub(super) fn sane(&mut self, now: Instant) -> Option<Duration> {
        self.throttles = None;
        self.answered(now)
    }

    /// A submit was answered with a request for a pause: sane, and yet without end it
    /// would keep the job from ever going on. Returns as [`Breaker::sane`].
    pub(super) fn throttled(
        &mut self,
        failure: Failure,
        pause: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let throttles = self.throttles.get_or_insert_with(|| Outage::new(failure.clone(), now));
        throttles.last = failure;
        throttles.pause(pause, self.limit, now);
        self.answered(now)
    }

    fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.doubts = 0;
        self.heard = Some(now);
        // An answer to a submit from before the outage proves nothing about now.
        if matches!(self.state, State::Open { .. } | State::Probing) {
            return None;
        }
        self.state = State::Closed;
        self.level = 0;
        self.submits.take().map(|outage| now.duration_since(outage.since))
    }

    /// A submit was left in doubt. Returns true when this stops submitting.
    pub(super) fn doubtful(&mut self, failure: Failure, now: Instant) -> bool {
        self.doubts += 1;
        let trips = match self.state {
            State::Closed => self.doubts >= DOUBTS,
            State::HalfOpen => true,
            State::Open { .. } | State::Probing => false,
        };
        if trips {
            self.open(failure, None, now);
        }
        trips
    }

    /// A submit could not be sent or was refused for now. Returns true when this stops
    /// submitting.
    pub(super) fn down(&mut self, failure: Failure, pause: Option<Duration>, now: Instant) -> bool {
        let trips = matches!(self.state, State::Closed | State::HalfOpen);
        if trips {
            self.open(failure, pause, now);
        }
        trips
    }

    /// A poll was answered. Returns how long an outage lasted that people know of.
    pub(super) fn poll_answered(&mut self, now: Instant) -> Option<Duration> {
        self.poll_throttles = None;
        self.poll_heard = Some(now);
        self.poll_outage_over(now)
    }

    /// Returns true when a status request was answered at or after `since`.
    pub(super) fn polls_answered_since(&self, since: Instant) -> bool {
        self.poll_heard.is_some_and(|heard| heard >= since)
    }

    /// A poll was answered with a request for a pause: sane, and yet without end it would
    /// keep what is paid for from ever coming home. Returns as [`Breaker::poll_answered`].
    pub(super) fn poll_throttled(
        &mut self,
        failure: Failure,
        pause: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let throttles =
            self.poll_throttles.get_or_insert_with(|| Outage::new(failure.clone(), now));
        throttles.last = failure;
        throttles.pause(pause, self.limit, now);
        self.poll_outage_over(now)
    }

    fn poll_outage_over(&mut self, now: Instant) -> Option<Duration> {
        let outage = self.polls.take().filter(|outage| outage.told)?;
        Some(now.duration_since(outage.since))
    }

    /// A poll was not answered. Returns true when people should be told of an outage
    /// that they do not know of from submits.
    pub(super) fn poll_failed(&mut self, failure: Failure, now: Instant) -> bool {
        let first = || Outage { confirmed: false, ..Outage::new(failure.clone(), now) };
        let polls = self.polls.get_or_insert_with(first);
        // The next poll may be an hour away: one failure is no outage.
        polls.confirmed |= now > polls.since;
        polls.last = failure;
        let lasts = now.duration_since(polls.since) >= POLL_HICCUP;
        let tell = lasts && !polls.told && self.state == State::Closed;
        polls.told |= tell;
        tell
    }

    /// Returns true while polls are not answered, or only with requests for a pause.
    pub(super) fn polls_fail(&self) -> bool {
        self.polls.is_some() || self.poll_throttles.is_some()
    }

    /// Returns true when downloads do not keep a submit back: they succeed, or all `ready`
    /// pictures have failed, none is `at_service`, and a single submit may be tried.
    pub(super) fn allows_for_fetches(&self, ready: usize, at_service: usize, now: Instant) -> bool {
        self.fetches.is_none() || self.trial_due(ready, at_service).is_some_and(|at| at <= now)
    }

    /// Returns when a single submit may be tried because nothing else is left that could
    /// show whether downloads succeed again.
    pub(super) fn trial_due(&self, ready: usize, at_service: usize) -> Option<Instant> {
        let hopeless = at_service == 0 && ready <= self.unfetched.len();
        self.trial_at.filter(|_| hopeless)
    }

    /// A submit leaves while downloads fail.
    pub(super) fn trying(&mut self, now: Instant) {
        if self.fetches.is_some() {
            self.trials += 1;
            self.trial_at = Some(now + wait_after(self.trials));
        }
    }

    /// A picture was fetched. Returns how long an outage of downloads lasted.
    pub(super) fn fetched(&mut self, now: Instant) -> Option<Duration> {
        self.unfetched.clear();
        self.trials = 0;
        self.trial_at = None;
        self.fetches.take().map(|outage| now.duration_since(outage.since))
    }

    /// A picture could not be fetched. Returns true when this stops submitting.
    pub(super) fn not_fetched(&mut self, item: ItemId, failure: Failure, now: Instant) -> bool {
        self.unfetched.insert(item);
        if let Some(fetches) = &mut self.fetches {
            fetches.last = failure;
            return false;
        }
        let trips = self.unfetched.len() >= UNFETCHED;
        if trips {
            self.fetches = Some(Outage::new(failure, now));
            self.trial_at = Some(now + wait_after(0));
        }
        trips
    }

    /// Returns true while downloads do not succeed.
    pub(super) fn fetches_fail(&self) -> bool {
        self.fetches.is_some()
    }

    /// Nothing waits to be submitted: what lasts now costs nobody time, and the
    /// patience with submits begins anew.
    pub(super) fn no_submit_waits(&mut self, now: Instant) {
        for outage in
            [&mut self.submits, &mut self.throttles, &mut self.fetches].into_iter().flatten()
        {
            outage.waiting_since = outage.waiting_since.max(now);
        }
    }

    /// Returns the outage with which patience has ended: how long someone has waited for a
    /// sane answer, and the last failure.
    pub(super) fn lasted_too_long(&self, now: Instant) -> Option<(Duration, &Failure)> {
        let over = self.outages().filter(|outage| outage.ends(self.limit) <= now);
        let longest = over.min_by_key(|outage| outage.waiting_since)?;
        Some((now.duration_since(longest.waiting_since), &longest.last))
    }

    /// Returns when patience will have ended with an outage.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        self.outages().map(|outage| outage.ends(self.limit)).min()
    }

    fn outages(&self) -> impl Iterator<Item = &Outage> {
        let all =
            [&self.submits, &self.polls, &self.throttles, &self.poll_throttles, &self.fetches];
        all.into_iter().flatten().filter(|outage| outage.confirmed)
    }

    fn open(&mut self, failure: Failure, pause: Option<Duration>, now: Instant) {
        let wait = wait_after(self.level);
        self.level += 1;
        self.state = State::Open { probe_at: now + wait.max(pause.unwrap_or_default()) };
        let submits = self.submits.get_or_insert_with(|| Outage::new(failure.clone(), now));
        submits.last = failure;
        submits.pause(pause, self.limit, now);
    }
}

/// Returns the wait after so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{FailureClass, FailureCode};

    const LIMIT: Duration = Duration::from_secs(7);

    fn failure() -> Failure {
        Failure::new(FailureClass::InDoubt, FailureCode::InDoubt, "test")
    }

    fn open_after_doubts(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(LIMIT);
        assert!(!breaker.doubtful(failure(), now));
        assert!(!breaker.doubtful(failure(), now));
        assert!(breaker.doubtful(failure(), now));
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_doubts_in_a_row_stop_submitting_until_probe_and_single_submit_pass() {
        let now = Instant::now();
        let mut breaker = open_after_doubts(now);
        assert!(!breaker.allows_submit(None, now));
        assert_eq!(breaker.probe_at(), Some(now + FIRST_WAIT));
        breaker.probing();
        breaker.probed(Ok(()), now);
        assert!(breaker.allows_submit(None, now));
        assert!(!breaker.allows_submit(Some(now), now), "one at a time");
        let later = now + Duration::from_secs(9);
        assert_eq!(breaker.sane(later), Some(Duration::from_secs(9)));
        assert!(breaker.allows_submit(Some(later), later));
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_single_submit_doubles_the_wait() {
        let now = Instant::now();
        let mut breaker = open_after_doubts(now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push((breaker.probe_at().unwrap() - now).as_secs());
            breaker.probing();
            breaker.probed(Ok(()), now);
            assert!(breaker.doubtful(failure(), now));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 120, 120]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_answered_submit_in_between_forgets_the_doubts() {
        let now = Instant::now();
        let mut breaker = Breaker::new(LIMIT);
        for _ in 0..10 {
            assert!(!breaker.doubtful(failure(), now));
            assert!(!breaker.doubtful(failure(), now));
            breaker.sane(now);
        }
        assert!(breaker.allows_submit(Some(now), now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_does_not_end_an_outage() {
        let now = Instant::now();
        let mut breaker = Breaker::new(LIMIT);
        assert!(breaker.down(failure(), Some(Duration::from_mins(1)), now));
        assert_eq!(breaker.probe_at(), Some(now + Duration::from_mins(1)));
        assert_eq!(breaker.sane(now), None);
        assert!(!breaker.allows_submit(None, now));
        assert_eq!(breaker.lasted_too_long(now + Duration::from_mins(2)).unwrap().0.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_holds_submits_back_and_a_slow_service_does_not() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(LIMIT);
        assert!(breaker.allows_submit(Some(began), after(4)));
        assert!(!breaker.allows_submit(Some(began), after(5)));
        breaker.sane(after(6));
        assert!(breaker.allows_submit(Some(began), after(7)), "answers come, if late");
        assert!(!breaker.allows_submit(Some(began), after(11)));
        assert!(breaker.allows_submit(Some(after(10)), after(11)), "nobody waited until then");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_does_not_cut_a_pause_short_and_is_not_prolonged_for_ever() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let pause = Some(Duration::from_secs(100));
        let mut breaker = Breaker::new(LIMIT);
        breaker.throttled(failure(), pause, began);
        assert_eq!(breaker.patience_ends(), Some(after(107)));
        breaker.throttled(failure(), pause, after(100));
        assert_eq!(breaker.lasted_too_long(after(259)), None);
        breaker.throttled(failure(), pause, after(200));
        assert_eq!(breaker.lasted_too_long(after(260)).unwrap().0.as_secs(), 160);
        breaker.sane(after(261));
        assert_eq!(breaker.lasted_too_long(after(1_000)), None);
    }
}
