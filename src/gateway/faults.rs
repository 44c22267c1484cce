//! Decides which requests a test wants to go wrong.

use std::time::Duration;

use super::settings::GatewayFaults;
use crate::core::jitter;

/// The faults; the number sets their draws apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Throttled = 1,
    ServerError = 2,
    ReplyLost = 3,
    ServiceError = 4,
    Unavailable = 6,
    Reset = 7,
    Malformed = 8,
    SlowReply = 9,
    Failed = 10,
    EarlyUnknown = 11,
    LateMedia = 12,
    MediaCut = 13,
    MediaExpired = 14,
}

/// Number of the draw for latency, which is no fault of its own.
const LATENCY: u32 = 5;

impl GatewayFaults {
    /// Returns whether `fault` hits the submit with this number.
    pub(super) fn hits(&self, fault: Fault, submit: i64) -> bool {
        let probability = match fault {
            Fault::Throttled => self.throttled,
            Fault::ServerError => self.server_error,
            Fault::ReplyLost => self.reply_lost,
            Fault::ServiceError => self.service_error,
            Fault::Unavailable => self.unavailable,
            Fault::Reset => self.reset,
            Fault::Malformed => self.malformed,
            Fault::SlowReply => self.slow_reply,
            Fault::Failed => self.failed,
            Fault::EarlyUnknown => self.early_unknown,
            Fault::LateMedia => self.late_media,
            Fault::MediaCut => self.media_cut,
            Fault::MediaExpired => self.media_expired,
        };
        jitter(self.seed, submit, fault as u32) < probability
    }

    /// Returns how much longer the submit with this number takes.
    pub(super) fn latency(&self, submit: i64) -> Duration {
        let range = self.latency.end.saturating_sub(self.latency.start);
        self.latency.start + range.mul_f64(jitter(self.seed, submit, LATENCY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_wrong_by_default() {
        let faults = GatewayFaults::default();
        for submit in 0..1_000 {
            assert!(!faults.hits(Fault::ReplyLost, submit));
            assert_eq!(faults.latency(submit), Duration::ZERO);
        }
    }

    #[test]
    fn faults_come_as_often_as_asked_and_again_with_the_same_seed() {
        let faults =
            GatewayFaults { seed: 7, reply_lost: 0.3, throttled: 1.0, ..Default::default() };
        let hit: Vec<i64> = (0..1_000).filter(|&n| faults.hits(Fault::ReplyLost, n)).collect();
        assert!((250..350).contains(&hit.len()), "{}", hit.len());
        assert_eq!(
            hit,
            (0..1_000).filter(|&n| faults.hits(Fault::ReplyLost, n)).collect::<Vec<_>>()
        );
        assert!((0..1_000).all(|submit| faults.hits(Fault::Throttled, submit)));
        assert!((0..1_000).all(|submit| !faults.hits(Fault::ServerError, submit)));
    }

    #[test]
    fn latency_stays_in_its_range() {
        let (start, end) = (Duration::from_millis(10), Duration::from_millis(20));
        let faults = GatewayFaults { latency: start..end, ..Default::default() };
        let seen: Vec<Duration> = (0..100).map(|submit| faults.latency(submit)).collect();
        assert!(seen.iter().all(|latency| (start..end).contains(latency)), "{seen:?}");
        assert!(seen.iter().any(|latency| *latency != seen[0]));
    }
}
