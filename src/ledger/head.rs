//! What a ledger keeps in memory of the job as a whole: who may write, which edition
//! is current, the next numbers, and the totals.
//!
//! The rules that both ledgers share are here, so that the simulation, which uses
//! [`MemoryLedger`](super::MemoryLedger), and real jobs cannot differ in them. It
//! reads and writes no storage.

use jiff::Timestamp;

use super::{
    contract::{LedgerError, LedgerResult},
    record::{Money, Totals},
};
use crate::core::{Booking, Edition, Fence, Item, ItemEvent, ItemId, ItemState, Micros, RequestId};

/// An item and the number of its current settlement.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) item: Item,
    pub(super) settlement: Option<i64>,
}

/// One attempt as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptRecord {
    pub(super) item: ItemId,
    pub(super) number: u32,
    pub(super) booking: Booking,
    pub(super) price: Micros,
    pub(super) request_id: Option<RequestId>,
    pub(super) submitted_at: Option<Timestamp>,
    /// When its cost became known; `None` while it is reserved.
    pub(super) booked_at: Option<Timestamp>,
    /// The HTTP status that ended it, if a failure did.
    pub(super) http_status: Option<u16>,
}

/// The job as a whole.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The session that may write.
    pub(super) fence: Fence,
    /// The edition begun last; 0 before the first.
    pub(super) edition: Edition,
    /// True between begin and finish of that edition.
    pub(super) reading: bool,
    /// The highest item id given out.
    pub(super) last_item: i64,
    /// The highest settlement number given out.
    pub(super) last_settlement: i64,
    pub(super) totals: Totals,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            fence: Fence(0),
            edition: Edition(0),
            reading: false,
            last_item: 0,
            last_settlement: 0,
            totals: Totals::default(),
        }
    }
}

impl Head {
    /// Refuses a writer of an older session.
    pub(super) fn check_fence(&self, fence: Fence) -> LedgerResult<()> {
        if fence == self.fence { Ok(()) } else { Err(LedgerError::StaleFence) }
    }

    /// Refuses an older session, and rows of an edition that is not being read.
    pub(super) fn check_import(&self, fence: Fence, edition: Edition) -> LedgerResult<()> {
        self.check_fence(fence)?;
        if self.reading && edition == self.edition {
            Ok(())
        } else {
            Err(LedgerError::NotReading(edition))
        }
    }

    /// Starts the next edition. Nothing is named by it yet, so that only what is
    /// owed still counts.
    pub(super) fn begin_edition(&mut self) -> Edition {
        self.edition = Edition(self.edition.0 + 1);
        self.reading = true;
        self.totals.rows = 0;
        for state in ItemState::ALL.into_iter().filter(|state| !state.is_owed()) {
            self.totals.items[state as usize] = 0;
        }
        self.edition
    }

    /// Returns true when an item counts and is offered: the current edition names
    /// it, or money is out for it.
    pub(super) fn offers(&self, edition: Edition, state: ItemState) -> bool {
        edition == self.edition || state.is_owed()
    }

    pub(super) fn next_item(&mut self) -> ItemId {
        self.last_item += 1;
        ItemId(self.last_item)
    }

    pub(super) fn next_settlement(&mut self) -> i64 {
        self.last_settlement += 1;
        self.last_settlement
    }

    /// Counts an item that the current edition names and that did not count before.
    pub(super) fn count_named(&mut self, state: ItemState) {
        self.totals.items[state as usize] += 1;
    }

    /// Applies `event` to `kept`, and what follows from it to the totals. Returns the
    /// attempt when the event has changed it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Illegal`]; nothing is changed then.
    pub(super) fn advance(
        &mut self,
        kept: &mut Kept,
        event: ItemEvent,
        now: Timestamp,
    ) -> LedgerResult<Option<AttemptRecord>> {
        let before = &kept.item;
        let now = whole_millis(now);
        let mut after = before
            .clone()
            .apply(event, now)
            .map_err(|source| LedgerError::Illegal { item: before.id, source })?;
        after.not_before = after.not_before.map(whole_millis);
        if after.state != before.state {
            kept.settlement = after.state.is_settled().then(|| self.next_settlement());
        }
        self.recount(before, &after);
        let attempt = changed_attempt(before, &after, now);
        kept.item = after;
        Ok(attempt)
    }

    fn recount(&mut self, before: &Item, after: &Item) {
        if self.offers(before.edition, before.state) {
            let count = &mut self.totals.items[before.state as usize];
            *count = count.saturating_sub(1);
        }
        if self.offers(after.edition, after.state) {
            self.totals.items[after.state as usize] += 1;
        }
        let (old, new) = (money_of(before), money_of(after));
        let money = &mut self.totals.money;
        money.charged = money.charged - old.charged + new.charged;
        money.possibly_charged =
            money.possibly_charged - old.possibly_charged + new.possibly_charged;
        money.reserved = money.reserved - old.reserved + new.reserved;
        let newly_accepted = before.request.is_none() && after.request.is_some();
        self.totals.submits += u64::from(newly_accepted);
    }
}

/// Returns what one item has cost. Only its latest attempt can still be reserved:
/// the next one is opened after the last has been booked.
fn money_of(item: &Item) -> Money {
    let open = item.attempt.as_ref().filter(|attempt| attempt.booking == Booking::Reserved);
    Money {
        charged: item.charged,
        possibly_charged: item.possibly_charged,
        reserved: open.map_or(Micros::ZERO, |attempt| attempt.price),
    }
}

fn changed_attempt(before: &Item, after: &Item, now: Timestamp) -> Option<AttemptRecord> {
    let attempt = after.attempt.as_ref()?;
    if before.attempt == after.attempt && before.request == after.request {
        return None;
    }
    let is_booked = attempt.booking != Booking::Reserved;
    Some(AttemptRecord {
        item: after.id,
        number: attempt.number,
        booking: attempt.booking,
        price: attempt.price,
        request_id: after.request.as_ref().map(|request| request.id.clone()),
        submitted_at: after.submitted_at,
        booked_at: is_booked.then_some(now),
        http_status: after.failure.as_ref().and_then(|failure| failure.http_status),
    })
}

/// Cuts a time to the milliseconds in which ledgers store it, so that an item which
/// was just advanced equals the one that is read back.
pub(super) fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
