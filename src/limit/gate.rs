//! "Not before": a pause that the service asked for.

use tokio::time::Instant;

/// Closed until a moment, open after it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    opens: Option<Instant>,
}

impl Gate {
    /// Closes until `opens`; never shortens a pause that is already longer.
    pub(super) fn close_until(&mut self, opens: Instant) {
        self.opens = self.opens.max(Some(opens));
    }

    /// Returns when the gate opens, `None` when it is open.
    pub(super) fn opens_after(&self, now: Instant) -> Option<Instant> {
        self.opens.filter(|opens| *opens > now)
    }
}
