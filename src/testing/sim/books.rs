//! What the service remembers: the truth that the ledger is held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::hooks::Hook;
use crate::core::Endpoint;

/// One accepted request.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    /// Which picture of the world it is for.
    pub(super) picture: String,
    pub(super) at: Duration,
    pub(super) takes: Duration,
    pub(super) course: Course,
    /// What the client has heard of it.
    pub(super) heard: Heard,
}

/// What the client has heard of a request, in all its lives.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    /// How it ended, and so what it costs.
    pub(super) word: bool,
    /// When its status was last asked for.
    pub(super) last_poll: Duration,
    /// Downloads of its pictures that broke.
    pub(super) broken: u32,
    /// Downloads of its pictures whose link had expired.
    pub(super) expired: u32,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Completed,
    /// With several pictures.
    Several,
    /// Without a picture for some seconds.
    NoMediaAtFirst,
    NeverMedia,
    Failed,
    Error,
    Stuck,
}

impl Accepted {
    /// Returns true when the service takes money for it; only ERROR is free.
    pub(super) fn is_paid(&self) -> bool {
        self.course != Course::Error
    }

    /// Returns true when the service has, or will have, a picture for it.
    pub(super) fn has_picture(&self) -> bool {
        matches!(self.course, Course::Completed | Course::Several | Course::NoMediaAtFirst)
    }
}

/// A call as it left the client.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) life: u32,
    pub(super) endpoint: Endpoint,
    /// The picture of a submit, the request of a poll.
    pub(super) about: String,
    pub(super) at: Duration,
    /// Its place in the order of events: of a submit, that of its `SubmitIntent`.
    pub(super) order: u64,
    /// When the client knew how it ended.
    pub(super) heard: Option<Duration>,
    /// The place of that in the order of events.
    pub(super) heard_order: Option<u64>,
    /// The place at which the run has taken it in. What it starts until then was decided on
    /// before, in the same instant.
    pub(super) taken_in: Option<u64>,
    /// The ledger had the intent for it, so that the run has decided on it.
    pub(super) intended: bool,
    /// The pause that the answer asked for.
    pub(super) pause: Option<Duration>,
    /// The answer refused the account, the key or the model.
    pub(super) refused: bool,
    /// The answer is the last word on the request.
    pub(super) over: bool,
    /// The request that the client now knows, for a submit.
    pub(super) named: Option<String>,
}

impl Call {
    pub(super) fn new(life: u32, endpoint: Endpoint, about: &str, at: Duration) -> Self {
        Self {
            life,
            endpoint,
            about: about.to_owned(),
            at,
            order: 0,
            heard: None,
            heard_order: None,
            taken_in: None,
            intended: false,
            pause: None,
            refused: false,
            over: false,
            named: None,
        }
    }

    /// Returns true when this submit was decided on after the answer to `asked` was known.
    /// One without an intent was decided on by nobody but who heard the answer.
    pub(super) fn is_decided_after(&self, asked: &Self) -> bool {
        let known = if self.intended { asked.taken_in } else { asked.heard_order };
        known.is_some_and(|known| self.order > known)
    }

    /// It asked about no request, to see whether the service answers.
    pub(super) fn is_probe(&self) -> bool {
        self.endpoint == Endpoint::Poll && self.about == "restore-batch-probe"
    }
}

/// What the service remembers; outlives every crash of the client.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) requests: BTreeMap<String, Accepted>,
    calls: Vec<Call>,
    /// Until when earlier lives were asked to leave an endpoint alone.
    paused: BTreeMap<Endpoint, Duration>,
    /// All pauses asked for in earlier lives together.
    asked_before: Duration,
    number: u32,
    /// Events so far: what happens in one instant has an order too.
    events: u64,
    /// Places of `SubmitIntent`s whose submit has not left, by picture.
    intents: BTreeMap<String, u64>,
    /// Calls that were answered since the run last looked.
    fresh: Vec<usize>,
    /// What the service is going to call back, by number.
    pub(super) hooks: BTreeMap<u32, Hook>,
    /// The owner has filled the wallet and mended the key and the model.
    pub(super) mended: bool,
}

impl Books {
    /// Numbers whatever happens, for the dice.
    pub(super) fn next_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Notes that the ledger has the intent to submit this picture. It covers one submit.
    pub(super) fn intended(&mut self, picture: String) {
        let place = self.next_event();
        self.intents.insert(picture, place);
    }

    /// Notes a call that leaves the client now; returns its index.
    pub(super) fn call(&mut self, call: Call) -> usize {
        let intent = match call.endpoint {
            Endpoint::Submit => self.intents.remove(&call.about),
            _ => None,
        };
        let order = intent.unwrap_or_else(|| self.next_event());
        self.calls.push(Call { order, intended: intent.is_some(), ..call });
        self.calls.len() - 1
    }

    pub(super) fn heard(&mut self, index: usize, change: impl FnOnce(&mut Call)) {
        let place = self.next_event();
        if let Some(call) = self.calls.get_mut(index) {
            call.heard_order = Some(place);
            change(call);
            self.fresh.push(index);
        }
    }

    /// The run has looked at everything there was for it.
    pub(super) fn taken_in(&mut self) {
        let place = self.next_event();
        for index in self.fresh.drain(..) {
            if let Some(call) = self.calls.get_mut(index) {
                call.taken_in = Some(place);
            }
        }
    }

    /// Notes what the client hears of a request, if there is one.
    pub(super) fn heard_of(&mut self, id: &str, change: impl FnOnce(&mut Heard)) {
        if let Some(request) = self.requests.get_mut(id) {
            change(&mut request.heard);
        }
    }

    /// Returns the lives that have called since the calls were last forgotten.
    pub(super) fn lives(&self) -> BTreeSet<u32> {
        self.calls.iter().map(|call| call.life).collect()
    }

    /// Keeps the pauses that a life, which ended at `ended`, had time to write down.
    pub(super) fn remember_pauses(&mut self, life: u32, ended: Duration) {
        for call in self.calls.iter().filter(|call| call.life == life) {
            if let (Some(heard), Some(pause)) = (call.heard, call.pause)
                && heard < ended
            {
                let until = self.paused.entry(call.endpoint).or_default();
                *until = (*until).max(heard + pause);
            }
        }
    }

    /// Returns until when earlier lives were asked to leave an endpoint alone.
    pub(super) fn paused_before(&self, endpoint: Endpoint) -> Duration {
        self.paused.get(&endpoint).copied().unwrap_or_default()
    }

    /// Returns the sum of all pauses asked for in earlier lives.
    pub(super) fn asked_before(&self) -> Duration {
        self.asked_before
    }

    /// Rate, slots and spacing are promised within one life of the client.
    pub(super) fn forget_calls(&mut self) {
        self.asked_before += self.calls.iter().filter_map(|call| call.pause).sum::<Duration>();
        self.calls.clear();
        self.intents.clear();
        self.fresh.clear();
    }

    /// Returns true while an answer to a submit of this life is still to come.
    pub(super) fn submits_on_the_wire(&self, life: u32) -> bool {
        self.calls_of(life, Endpoint::Submit).iter().any(|call| call.heard.is_none())
    }

    /// Returns the calls of one life, in the order in which they left.
    pub(super) fn calls_of(&self, life: u32, endpoint: Endpoint) -> Vec<&Call> {
        let wanted = |call: &&Call| call.life == life && call.endpoint == endpoint;
        self.calls.iter().filter(wanted).collect()
    }

    /// Returns how much of the wallet is used, in requests.
    pub(super) fn paid(&self) -> u64 {
        self.requests.values().filter(|request| request.is_paid()).count() as u64
    }

    /// Returns the requests of each picture, in the order of their names.
    pub(super) fn by_picture(&self) -> BTreeMap<&str, Vec<(&str, &Accepted)>> {
        let mut pictures: BTreeMap<&str, Vec<(&str, &Accepted)>> = BTreeMap::new();
        for (id, request) in &self.requests {
            pictures.entry(&request.picture).or_default().push((id, request));
        }
        pictures
    }
}

/// Returns the picture that a source shows, whatever its signature.
pub(super) fn picture_of(source: &str) -> String {
    source.split('?').next().unwrap_or(source).to_owned()
}
