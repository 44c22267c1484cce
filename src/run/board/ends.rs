//! What follows from a step that has ended: slots and money are given back, the job
//! hears what the service's answer means for it, people are told.

use tokio::time::Instant;

use super::{
    super::step::{Action, Signal, Step, StepReport},
    Board, Running,
    polls::Asked,
};
use crate::{
    clock::elapsed,
    core::{Endpoint, Failure, HaltCause, Item, ItemId, ItemState, Micros, RunEvent},
};

impl Board {
    /// A step has ended.
    pub(in crate::run) fn ended(&mut self, report: StepReport, actions: &mut Vec<Action>) {
        let ran = self.running.remove(&report.item.id);
        if self.gives_up(&report)
            && let Some(ran) = ran
        {
            return self.give_up(report, ran, actions);
        }
        let asked = self.learn(&report, ran.as_ref());
        let StepReport { step, item, signal, retrying, .. } = report;
        let set_aside = ran.as_ref().map_or(Micros::ZERO, |ran| ran.set_aside);
        let sent = ran.as_ref().map_or(self.clock.instant(), |ran| ran.since);
        self.budget.settle(set_aside, item.committed());
        self.give_back(step, item.state);
        match step {
            Step::Fetch => self.hear_of_download(item.id, signal),
            _ => self.hear(step, signal, sent),
        }
        let Some(Running { since, called, .. }) = ran.filter(|_| step == Step::Submit) else {
            self.tell(step, &item, retrying);
            return self.place(item, asked, actions);
        };
        if item.state == ItemState::InDoubt
            && self.fell_in_doubt(&item, since, called.clone(), actions)
        {
            return;
        }
        if !self.was_denied(&item, called.as_ref(), actions) {
            self.tell(step, &item, retrying);
        }
        match item.state {
            // It is done already, or has failed.
            ItemState::Submitted if called.is_some() && self.wants(Step::Poll) => {
                self.stand_in_line(item, Asked::never(since).called());
            }
            // The first poll may come at once.
            _ => self.place(item, Asked::never(since), actions),
        }
    }

    /// A step has panicked, or could not write what it did. Its item stays in the ledger as
    /// it was and is left alone until the next run, so here it counts as ended; the money
    /// set aside stays set aside.
    pub(in crate::run) fn lost(&mut self, step: Step, id: ItemId) {
        self.running.remove(&id);
        self.give_back(step, ItemState::Failed);
    }

    /// A submit slot is held from the submit until the service is done.
    fn give_back(&mut self, step: Step, state: ItemState) {
        let at_service = state == ItemState::Submitted;
        match step {
            Step::Stage => {}
            Step::Submit if at_service => {}
            Step::Submit => self.pacer.finished(Endpoint::Submit),
            Step::Poll => {
                self.pacer.finished(Endpoint::Poll);
                if !at_service {
                    self.pacer.finished(Endpoint::Submit);
                }
                self.ready += usize::from(state == ItemState::Ready);
            }
            Step::Fetch => {
                self.pacer.finished(Endpoint::Fetch);
                if at_service {
                    self.pacer.adopt(Endpoint::Submit);
                }
                self.ready -= usize::from(state != ItemState::Ready);
            }
        }
    }

    /// Draws the conclusions for the whole job from the answer to what was `sent` then.
    pub(super) fn hear(&mut self, step: Step, signal: Signal, sent: Instant) {
        let now = self.clock.instant();
        let submit = step == Step::Submit;
        let over = match signal {
            Signal::None => None,
            Signal::Sane if submit => self.breaker.sane(now),
            Signal::Sane => self.breaker.poll_answered(now),
            Signal::Throttled { failure, retry_after } => {
                let endpoint = if submit { Endpoint::Submit } else { Endpoint::Poll };
                self.asked_to_pause(endpoint, retry_after.unwrap_or_default());
                let pause = self.pacer.throttled(endpoint, retry_after, sent);
                let per_second = self.pacer.pace(endpoint).now;
                self.told.push(RunEvent::GateClosed { endpoint, pause, per_second });
                if submit {
                    self.breaker.throttled(failure, retry_after, now)
                } else {
                    self.breaker.poll_throttled(failure, retry_after, now)
                }
            }
            Signal::Down { failure, retry_after } if submit => {
                // The breaker hears only the first of those that fail together.
                self.pause_as_asked(Endpoint::Submit, retry_after);
                if self.breaker.down(failure.clone(), retry_after, now) {
                    self.told.push(RunEvent::Outage { failure });
                }
                None
            }
            Signal::Down { failure, retry_after } => {
                self.pause_as_asked(Endpoint::Poll, retry_after);
                if self.breaker.poll_failed(failure.clone(), now) {
                    self.told.push(RunEvent::Outage { failure });
                }
                None
            }
            Signal::Doubtful(failure) => {
                if self.breaker.doubtful(failure.clone(), now) {
                    self.told.push(RunEvent::Outage { failure });
                }
                None
            }
            Signal::Account(failure) => {
                self.halt(HaltCause::Account(failure), submit);
                None
            }
            Signal::Output(failure) => {
                self.halt(HaltCause::Output(failure), false);
                self.stop_downloads();
                None
            }
        };
        if let Some(lasted) = over {
            self.told.push(RunEvent::OutageOver { lasted });
        }
    }

    /// A probe came back. It used the lane of polls, and what it heard is about that.
    pub(in crate::run) fn probed(&mut self, signal: Signal) {
        self.pacer.finished(Endpoint::Poll);
        let now = self.clock.instant();
        match signal {
            Signal::Down { failure, retry_after } => {
                self.pause_as_asked(Endpoint::Poll, retry_after);
                self.breaker.probed(Err(failure), now);
            }
            Signal::Account(failure) => self.halt(HaltCause::Account(failure), false),
            signal => {
                self.breaker.probed(Ok(()), now);
                if matches!(signal, Signal::Throttled { .. }) {
                    self.hear(Step::Poll, signal, now);
                }
            }
        }
    }

    /// Draws the conclusions of a download for the whole job.
    fn hear_of_download(&mut self, id: ItemId, signal: Signal) {
        let now = self.clock.instant();
        match signal {
            Signal::Sane => {
                let over = self.breaker.fetched(now);
                self.told.extend(over.map(|lasted| RunEvent::OutageOver { lasted }));
            }
            Signal::Down { failure, .. } => {
                if self.breaker.not_fetched(id, failure.clone(), now) {
                    self.told.push(RunEvent::Outage { failure });
                }
            }
            other => self.hear(Step::Fetch, other, now),
        }
    }

    fn tell(&mut self, step: Step, item: &Item, retrying: Option<Failure>) {
        match (&item.request, item.state) {
            (Some(request), ItemState::Submitted) if step == Step::Submit => {
                let request_id = request.id.clone();
                self.told.push(RunEvent::Submitted { item: item.id, request_id });
            }
            (_, state) if state.is_settled() => {
                self.told.push(RunEvent::Settled(Box::new(item.clone())));
            }
            _ => {}
        }
        if let Some(failure) = retrying {
            let after = item
                .not_before
                .map_or(self.rules.cadence.interval, |at| elapsed(self.clock.now(), at));
            self.told.push(RunEvent::WillRetry { item: item.id, code: failure.code, after });
        }
    }
}
