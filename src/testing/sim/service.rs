//! A service that misbehaves as its seed says, and keeps honest books.
//!
//! It speaks HTTP answers; what they mean is decided by the real
//! [`classify`], so that the rules about money are part of the simulation.

use std::{mem::ManuallyDrop, time::Duration};

use futures::future::BoxFuture;

use super::{
    books::{Accepted, Call, Course, Heard, picture_of},
    dice::{Dice, What},
    hooks::{Postman, schedule},
    reply::Reply,
    scene::Scene,
};
use crate::{
    api::{Known, RestoreApi, StatusOutcome, SubmitOrder, SubmitOutcome, classify},
    core::Endpoint,
};

/// When the client gives up on an answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Young requests may not be known to the machine that is asked.
const YOUNG: Duration = Duration::from_secs(20);

/// When the client stops waiting for a request; the deadline of every world.
pub(super) const DEADLINE: Duration = Duration::from_hours(1);

/// How long the client believes that an id may not be known yet.
pub(super) const UNKNOWN_GRACE: Duration = Duration::from_mins(1);

/// The fake service, as one incarnation of the client meets it.
#[derive(Debug)]
pub struct FakeService {
    scene: Scene,
    postman: Option<Postman>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SubmitFault {
    Refused,
    Throttled,
    Unavailable,
    ServerError,
    ReplyLost,
    Hang,
    Garbled,
    Rejected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PollFault {
    Lost,
    ServerError,
    Throttled,
    Garbled,
    Unknown,
    StrangeWord,
}

impl FakeService {
    pub(super) fn new(scene: Scene, postman: Option<Postman>) -> Self {
        Self { scene, postman }
    }

    fn dice(&self) -> Dice {
        self.scene.dice
    }

    async fn answer_submit(&self, order: &SubmitOrder) -> SubmitOutcome {
        let number = self.scene.books().next_number();
        self.scene.boundaries.pass().await;
        let fault = self.submit_fault(number);
        let picture = picture_of(&order.img);
        let call = self.call(Endpoint::Submit, &picture);
        if fault == Some(SubmitFault::Refused) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let reply = Reply::refused_connection();
            let outcome = classify::submit(&reply.exchange);
            self.heard(call, reply);
            return outcome;
        }
        let latency = self.latency(number, fault == Some(SubmitFault::Hang));
        let webhook = order.webhook.as_deref();
        let sent = Sent { picture: &picture, webhook, number, fault };
        let flight = Flight { service: self, sent, left: self.scene.now() };
        tokio::time::sleep(latency / 2).await;
        let reply = flight.arrive();
        self.scene.boundaries.pass().await;
        let reply = self.travel(reply, latency).await;
        self.scene.tell(format_args!("submit {number} of {picture}: {:?}", reply.exchange));
        let outcome = classify::submit(&reply.exchange);
        self.heard(call, reply);
        outcome
    }

    fn call(&self, endpoint: Endpoint, about: &str) -> usize {
        let call = Call::new(self.scene.life, endpoint, about, self.scene.now());
        self.scene.books().call(call)
    }

    fn heard(&self, call: usize, reply: Reply) {
        let now = self.scene.now();
        self.scene.books().heard(call, |call| {
            call.heard = Some(now);
            call.pause = reply.pause;
            call.refused = reply.refused;
            call.over = reply.over;
            call.named = reply.named;
        });
    }

    /// Brings an answer home, unless the client has given up before.
    async fn travel(&self, reply: Reply, latency: Duration) -> Reply {
        tokio::time::sleep((latency.min(REQUEST_TIMEOUT)).saturating_sub(latency / 2)).await;
        if latency >= REQUEST_TIMEOUT { Reply::none() } else { reply }
    }

    /// Most answers take a fraction of a second, some take seconds, a few nearly for ever.
    fn latency(&self, number: u32, hangs: bool) -> Duration {
        if hangs || self.is_within_silence() {
            return REQUEST_TIMEOUT + Duration::from_secs(30);
        }
        let roll = self.dice().roll(What::Latency, number);
        let tail = self.dice().roll(What::LatencyTail, number);
        let slow = self.scene.faults.submit.slow;
        Duration::from_secs_f64(match () {
            () if roll < slow * 0.1 => 5.0 + 80.0 * tail,
            () if roll < slow => 0.5 + 4.0 * tail,
            () => 0.02 + 0.3 * tail,
        })
    }

    fn is_within_silence(&self) -> bool {
        self.scene.faults.silent.has(self.dice(), self.scene.now())
    }

    fn is_down(&self) -> bool {
        self.scene.faults.down.has(self.dice(), self.scene.now())
    }

    fn submit_fault(&self, number: u32) -> Option<SubmitFault> {
        let faults = self.scene.faults.submit;
        if self.is_down() {
            return Some(SubmitFault::Refused);
        }
        if self.is_within_silence() {
            return Some(SubmitFault::Hang);
        }
        self.dice().draw(
            What::SubmitFault,
            number,
            &[
                (faults.refused, SubmitFault::Refused),
                (faults.throttled, SubmitFault::Throttled),
                (faults.unavailable, SubmitFault::Unavailable),
                (faults.server_error, SubmitFault::ServerError),
                (faults.reply_lost, SubmitFault::ReplyLost),
                (faults.hang, SubmitFault::Hang),
                (faults.garbled, SubmitFault::Garbled),
                (faults.rejected, SubmitFault::Rejected),
            ],
        )
    }

    /// What the service does with a submit that reaches it now.
    fn take(&self, sent: Sent<'_>, now: Duration) -> Reply {
        let Sent { number, fault, .. } = sent;
        let dice = self.dice();
        let wall = self.scene.client_wall();
        self.belie(sent, now);
        match fault {
            Some(SubmitFault::Throttled) => return Reply::pause(429, dice, number, wall),
            Some(SubmitFault::Unavailable) => return Reply::pause(503, dice, number, wall),
            Some(SubmitFault::Rejected) => return Reply::rejection(dice, number),
            _ => {}
        }
        if let Some(refusal) = self.account_refusal(number, now) {
            return refusal;
        }
        let hides = matches!(
            fault,
            Some(SubmitFault::ServerError | SubmitFault::Hang | SubmitFault::Garbled)
        );
        let accepts = !hides || dice.hit(What::Accepted, number, 0.5);
        let id = if accepts { self.accept(sent, now) } else { "none".to_owned() };
        match fault {
            Some(SubmitFault::ServerError) => Reply::server_error(dice, number),
            Some(SubmitFault::Garbled) => Reply::garbled_submit(dice, number, &id),
            Some(SubmitFault::ReplyLost | SubmitFault::Hang) => Reply::none(),
            _ => Reply::accepted(dice, number, &id),
        }
    }

    /// Calls back about a submit that is not accepted.
    fn belie(&self, sent: Sent<'_>, now: Duration) {
        use SubmitFault as F;
        let Sent { number, webhook: Some(address), .. } = sent else { return };
        let refused = matches!(sent.fault, Some(F::Throttled | F::Unavailable | F::Rejected));
        if refused && self.dice().hit(What::Belied, number, self.scene.faults.hook.belied) {
            let id = format!("x{number:05}");
            schedule(&self.scene, address, &id, number, now, Duration::from_secs(1));
        }
    }

    fn account_refusal(&self, number: u32, now: Duration) -> Option<Reply> {
        if let Some(refusal) = self.key_refusal(number, now) {
            return Some(refusal);
        }
        let account = self.scene.faults.account;
        let books = self.scene.books();
        let since = |from: Option<u64>| from.is_some_and(|at| now.as_secs() >= at);
        if !books.mended && since(account.model_disabled_at) {
            let message = "Model 'gfpgan' not found or is disabled";
            return Some(Reply::refusal(400, "Model not found", message));
        }
        (!books.mended && account.wallet > 0 && books.paid() >= account.wallet).then(|| {
            let message = "Your wallet does not have enough balance.";
            Reply::refusal(402, "Insufficient Balance", message)
        })
    }

    fn key_refusal(&self, number: u32, now: Duration) -> Option<Reply> {
        let revoked = self.scene.faults.account.key_revoked_at?;
        let refused = !self.scene.books().mended && now.as_secs() >= revoked;
        let status = self.dice().pick(What::Status, number, &[401, 403]);
        refused.then(|| Reply::refusal(status, "Unauthorized", "the key is not valid"))
    }

    fn accept(&self, sent: Sent<'_>, at: Duration) -> String {
        let Sent { picture, number, .. } = sent;
        let dice = self.dice();
        let courses = self.scene.faults.course;
        let table = [
            (courses.failed, Course::Failed),
            (courses.error, Course::Error),
            (courses.stuck, Course::Stuck),
            (courses.no_media, Course::NoMediaAtFirst),
            (courses.never_media, Course::NeverMedia),
            (courses.several, Course::Several),
        ];
        let course = dice.draw(What::Course, number, &table).unwrap_or(Course::Completed);
        // Every seventh name looks like a number.
        let id = if number.is_multiple_of(7) {
            format!("7{number:05}")
        } else {
            format!("r{number:05}")
        };
        let takes = Duration::from_secs_f64(1.0 + 20.0 * dice.roll(What::Processing, number));
        let heard = Heard::default();
        let request = Accepted { picture: picture.to_owned(), at, takes, course, heard };
        self.scene.trace.tell(
            at,
            self.scene.life,
            format_args!("accepted {id} of {picture}: {course:?}"),
        );
        self.scene.books().requests.insert(id.clone(), request);
        if let Some(address) = sent.webhook {
            schedule(&self.scene, address, &id, number, at, takes);
        }
        id
    }

    async fn answer_status(&self, known: &Known) -> StatusOutcome {
        let id = &known.request_id.0;
        let number = self.scene.books().next_number();
        self.scene.boundaries.pass().await;
        let call = self.call(Endpoint::Poll, id);
        let latency = self.latency(number, false);
        tokio::time::sleep(latency / 2).await;
        let reply = self.status_reply(id, number);
        let reply = self.travel(reply, latency).await;
        let outcome = classify::status(&reply.exchange, &known.request_id);
        if reply.over || reply.refused {
            self.scene.tell(format_args!("poll {number} of {id}: {outcome:?}"));
        }
        let now = self.scene.now();
        self.scene.books().heard_of(id, |heard| {
            heard.word |= reply.word;
            heard.last_poll = now;
        });
        self.heard(call, reply);
        outcome
    }

    fn status_reply(&self, id: &str, number: u32) -> Reply {
        let dice = self.dice();
        if self.is_down() {
            return Reply::refused_connection();
        }
        let request = self.scene.books().requests.get(id).cloned();
        let age = request.as_ref().map(|request| self.scene.now().saturating_sub(request.at));
        match self.poll_fault(number, age) {
            Some(PollFault::Lost) => return Reply::none(),
            Some(PollFault::ServerError) => return Reply::server_error(dice, number),
            Some(PollFault::Throttled) => {
                let status = dice.pick(What::Status, number, &[429, 503]);
                return Reply::pause(status, dice, number, self.scene.client_wall());
            }
            Some(PollFault::Garbled) => return Reply::garbled_status(dice, number),
            Some(PollFault::Unknown) => return Reply::unknown(),
            // The client waits no longer than the deadline, and gives the slot back.
            Some(PollFault::StrangeWord) => {
                return Reply { over: is_late(age), ..Reply::strange_word(id) };
            }
            None => {}
        }
        if let Some(refusal) = self.key_refusal(number, self.scene.now()) {
            return refusal;
        }
        let (Some(request), Some(age)) = (request, age) else { return Reply::unknown() };
        let reply = Reply::status(dice, number, id, &request, age);
        Reply { over: reply.over || is_late(Some(age)), ..reply }
    }

    fn poll_fault(&self, number: u32, age: Option<Duration>) -> Option<PollFault> {
        let faults = self.scene.faults.poll;
        let young = age.is_some_and(|age| age < YOUNG);
        let fault = self.dice().draw(
            What::PollFault,
            number,
            &[
                (faults.lost, PollFault::Lost),
                (faults.server_error, PollFault::ServerError),
                (faults.throttled, PollFault::Throttled),
                (faults.garbled, PollFault::Garbled),
                (faults.strange_word, PollFault::StrangeWord),
                (faults.early_unknown, PollFault::Unknown),
            ],
        );
        fault.filter(|fault| young || *fault != PollFault::Unknown)
    }
}

/// A submit as it was sent.
#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    picture: &'a str,
    webhook: Option<&'a str>,
    number: u32,
    fault: Option<SubmitFault>,
}

/// A submit on its way to the service. Whoever stops listening does not call it back: it
/// may still arrive.
struct Flight<'a> {
    service: &'a FakeService,
    sent: Sent<'a>,
    left: Duration,
}

impl Flight<'_> {
    fn arrive(self) -> Reply {
        let this = ManuallyDrop::new(self);
        let reply = this.service.take(this.sent, this.service.scene.now());
        if let Some(postman) = &this.service.postman {
            postman.go();
        }
        reply
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        // Everything may be torn down around us: no clock but the one read before.
        if self.service.dice().hit(What::Arrives, self.sent.number, 0.5) {
            let _unheard = self.service.take(self.sent, self.left);
        }
    }
}

/// Returns true when the client may have stopped waiting; its clock began before ours.
pub(super) fn is_late(age: Option<Duration>) -> bool {
    age.is_some_and(|age| age + 2 * REQUEST_TIMEOUT >= DEADLINE)
}

impl RestoreApi for FakeService {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        Box::pin(self.answer_submit(order))
    }

    fn status<'a>(&'a self, request: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        Box::pin(self.answer_status(request))
    }
}
