//! Fetches what is to be restored, again when it was a passing fault.
//!
//! What passes is no fault of the picture: the network, the name server, or a server that
//! is busy. If it does not pass in time, the request ends as ERROR, which is refunded;
//! our own network may be the one that is down. All else is for good and ends as FAILED.
//!
//! Not responsible for: reading the picture. Called by `worker`, before anything of the
//! memory for pixels is taken.

use std::time::Duration;

use tokio::time::sleep;

use super::{requests::Order, shared::Shared};
use crate::{core::jitter, fetch::GetErrorKind};

/// Pauses between the tries, of which there is one more. All together they bridge the two
/// minutes that a router or a name server takes to start again, and no more: a place of a
/// worker is held meanwhile.
pub(super) const PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

/// Part of a pause by which it can be longer, so that pictures that failed together do not
/// all come back together.
const SPREAD: f64 = 0.2;

/// Statuses of a fault that passes though it is said to be the client's: "Request Timeout"
/// and "Too Many Requests" (RFC 9110, section 15.5.9; RFC 6585, section 4).
const PASSING: [u16; 2] = [408, 429];

/// A picture could not be fetched, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfetched {
    /// It may be there later.
    ForNow(String),
    /// No later try would help.
    ForGood(String),
}

/// Fetches what a request is about. Dropping it ends it, also during a pause.
///
/// # Errors
///
/// [`Unfetched`], without the query string of the address.
pub(super) async fn fetch(shared: &Shared, order: &Order) -> Result<Vec<u8>, Unfetched> {
    let pauses = &shared.settings.source_pauses;
    let mut tries = 0_u32;
    loop {
        let mut source = Vec::new();
        let limits = &shared.settings.source;
        let Err(error) = shared.client.get_to(&order.img, &mut source, limits).await else {
            return Ok(source);
        };
        let why = format!("the picture could not be fetched: {error}");
        let Some(asked) = passing(&error.kind) else { return Err(Unfetched::ForGood(why)) };
        let next = usize::try_from(tries).ok().and_then(|tries| pauses.get(tries));
        tries += 1;
        let Some(pause) = next else {
            return Err(Unfetched::ForNow(format!("{why}, {tries} times; submit it again later")));
        };
        let longest = pauses.iter().max().copied().unwrap_or_default();
        let pause = (*pause).max(asked.min(longest));
        let pause = pause.mul_f64(1.0 + SPREAD * jitter(0, order.submit, tries));
        tracing::info!(request.id = %order.id, %error, ?pause, "fetching the picture again");
        sleep(pause).await;
    }
}

/// Returns the pause that the server asks for, zero if none, when the fault is one that
/// passes.
fn passing(error: &GetErrorKind) -> Option<Duration> {
    match error {
        // Memory takes everything; should that change, it is no fault of the picture.
        GetErrorKind::Unreachable(_)
        | GetErrorKind::Cut(_)
        | GetErrorKind::TimedOut
        | GetErrorKind::Sink(_) => Some(Duration::ZERO),
        GetErrorKind::Status { status, retry_after } => {
            let passes = *status >= 500 || PASSING.contains(status);
            passes.then_some(retry_after.unwrap_or_default())
        }
        GetErrorKind::BadUrl(_)
        | GetErrorKind::Blocked
        | GetErrorKind::BadRedirect(_)
        | GetErrorKind::Downgrade
        | GetErrorKind::Redirect(_)
        | GetErrorKind::Encoded(_)
        | GetErrorKind::TooLarge { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_network_and_of_busy_servers_pass_and_no_others() {
        for status in 100..=599 {
            let asked = Duration::from_secs(7);
            let error = GetErrorKind::Status { status, retry_after: Some(asked) };
            let expected = status >= 500 || status == 408 || status == 429;
            assert_eq!(passing(&error), expected.then_some(asked), "{status}");
        }
        assert_eq!(passing(&GetErrorKind::TimedOut), Some(Duration::ZERO));
        for error in [
            GetErrorKind::Blocked,
            GetErrorKind::BadUrl("why"),
            GetErrorKind::Downgrade,
            GetErrorKind::Redirect("too often"),
            GetErrorKind::TooLarge { limit: 1 },
        ] {
            assert_eq!(passing(&error), None, "{error}");
        }
    }
}
