//! What must have become of every request by the end of a job: its picture is here, and
//! its money is booked exactly.

use super::{
    World,
    books::Accepted,
    checks::Verdict,
    scenario::{FETCH_TRIES, MOST_REFRESHES, Scenario, Stopping},
    scene::lock,
    service::is_late,
};
use crate::core::{
    FailureCode, Item,
    invariant::{self, Attempted},
};

impl World {
    /// Looks at every request that the ledger can name.
    pub(super) fn check_results(&self) -> Verdict {
        let (books, witness) = (lock(&self.books), lock(&self.witness));
        for item in self.items_seen_by(&witness) {
            for Attempted { request, booking } in witness.attempts_of(item.id) {
                let Some(id) = request.map(|request| request.0) else { continue };
                let Some(request) = books.requests.get(&id) else { continue };
                if request.has_picture() {
                    let tried = is_named_by(&item, &id) && self.was_tried(&item, request);
                    invariant::result_is_kept(&item, &id, tried)?;
                }
                if request.heard.word && self.writes_what_it_hears() {
                    invariant::booking_is_exact(&id, request.is_paid(), booking)?;
                }
            }
        }
        Ok(())
    }

    /// Who was taken over, or has a ledger that fails, may hear the last word and not be able
    /// to write it down.
    fn writes_what_it_hears(&self) -> bool {
        let Scenario { stops, faults, .. } = self.scenario;
        stops != Stopping::Takeover && faults.ledger_down.seconds == 0
    }

    /// Returns true when everything was tried that has to be before an item fails as this
    /// one has.
    fn was_tried(&self, item: &Item, request: &Accepted) -> bool {
        let heard = request.heard;
        match item.failure.as_ref().map(|failure| failure.code) {
            Some(FailureCode::MediaUnavailable) => {
                heard.broken >= FETCH_TRIES || heard.expired > MOST_REFRESHES
            }
            // A clock that is wrong makes a request as old as it likes.
            Some(FailureCode::Deadline | FailureCode::UnknownRequest)
                if self.scenario.wall_jumps =>
            {
                true
            }
            // The grace of an unknown request counts from when its submit left, which may be
            // a request timeout before the service has it and calls back.
            Some(FailureCode::UnknownRequest) => self.scenario.webhooks,
            Some(FailureCode::Deadline) => is_late(heard.last_poll.checked_sub(request.at)),
            _ => false,
        }
    }
}

fn is_named_by(item: &Item, id: &str) -> bool {
    item.request.as_ref().is_some_and(|request| request.id.0 == id)
}
