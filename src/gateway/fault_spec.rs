//! Reads and writes faults as one line of text, for a gateway in a process of its own.

use std::{fmt, ops::Range, str::FromStr, time::Duration};

use jiff::SignedDuration;

use super::settings::GatewayFaults;

/// A text that names no faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultSpecError {
    /// A part is not of the form `name=value`.
    #[error("`{0}` is not of the form NAME=VALUE; write for example `seed=7,reply-lost=0.05`")]
    NoValue(String),
    /// There is no fault of this name.
    #[error("there is no fault `{0}`; there are: seed, latency, slow-for, {names}", names = names())]
    Unknown(String),
    /// The value is not of the kind that the name wants.
    #[error("`{value}` is no value of `{name}`; it must be {wanted}")]
    Value {
        /// The fault.
        name: String,
        /// What was written.
        value: String,
        /// What is possible.
        wanted: &'static str,
    },
}

/// A fault's name and its place.
type Named<'a> = (&'static str, &'a mut f64);

/// Every fault that is a probability.
fn probabilities(faults: &mut GatewayFaults) -> [Named<'_>; 13] {
    [
        ("throttled", &mut faults.throttled),
        ("unavailable", &mut faults.unavailable),
        ("server-error", &mut faults.server_error),
        ("reset", &mut faults.reset),
        ("reply-lost", &mut faults.reply_lost),
        ("malformed", &mut faults.malformed),
        ("slow-reply", &mut faults.slow_reply),
        ("service-error", &mut faults.service_error),
        ("failed", &mut faults.failed),
        ("early-unknown", &mut faults.early_unknown),
        ("late-media", &mut faults.late_media),
        ("media-cut", &mut faults.media_cut),
        ("media-expired", &mut faults.media_expired),
    ]
}

fn names() -> String {
    probabilities(&mut GatewayFaults::default()).map(|(name, _)| name).join(", ")
}

impl FromStr for GatewayFaults {
    type Err = FaultSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| FaultSpecError::NoValue(part.to_owned()))?;
            set(&mut faults, name, value)?;
        }
        Ok(faults)
    }
}

fn set(faults: &mut GatewayFaults, name: &str, value: &str) -> Result<(), FaultSpecError> {
    let wrong =
        |wanted| FaultSpecError::Value { name: name.to_owned(), value: value.to_owned(), wanted };
    match name {
        "seed" => faults.seed = value.parse().map_err(|_| wrong("a whole number"))?,
        "slow-for" => {
            faults.slow_for = duration(value).ok_or_else(|| wrong("a time such as 2s"))?;
        }
        "latency" => {
            faults.latency = range(value).ok_or_else(|| wrong("a range such as 10ms..2s"))?;
        }
        _ => {
            let mut known = probabilities(faults);
            let found = known.iter_mut().find(|(known, _)| *known == name);
            let (_, place) = found.ok_or_else(|| FaultSpecError::Unknown(name.to_owned()))?;
            let probability: Option<f64> = value.parse().ok();
            **place = probability
                .filter(|probability| (0.0..=1.0).contains(probability))
                .ok_or_else(|| wrong("a probability from 0 to 1"))?;
        }
    }
    Ok(())
}

fn duration(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok())
}

fn range(text: &str) -> Option<Range<Duration>> {
    let (start, end) = text.split_once("..")?;
    let (start, end) = (duration(start)?, duration(end)?);
    (start <= end).then_some(start..end)
}

impl fmt::Display for GatewayFaults {
    /// Writes what differs from no faults at all, and always the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}", self.seed)?;
        for (name, probability) in probabilities(&mut self.clone()) {
            if *probability > 0.0 {
                write!(f, ",{name}={probability}")?;
            }
        }
        if !self.slow_for.is_zero() {
            write!(f, ",slow-for={}ms", self.slow_for.as_millis())?;
        }
        if self.latency != Range::default() {
            let (start, end) = (self.latency.start.as_millis(), self.latency.end.as_millis());
            write!(f, ",latency={start}ms..{end}ms")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "seed=7,reply-lost=0.05,media-cut=1,slow-for=1500ms,latency=10ms..2000ms";
        let faults: GatewayFaults = text.parse().unwrap();
        let expected = GatewayFaults {
            seed: 7,
            reply_lost: 0.05,
            media_cut: 1.0,
            slow_for: Duration::from_millis(1_500),
            latency: Duration::from_millis(10)..Duration::from_secs(2),
            ..GatewayFaults::default()
        };
        assert_eq!(faults, expected);
        assert_eq!(faults.to_string(), text);
        assert_eq!(GatewayFaults::default().to_string().parse(), Ok(GatewayFaults::default()));
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        let mut faults = GatewayFaults::default();
        for (number, (_, place)) in (1_u8..).zip(probabilities(&mut faults)) {
            *place = f64::from(number) / 16.0;
        }
        assert_eq!(faults.to_string().parse(), Ok(faults));
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        for (text, part) in [
            ("reply-lost", "`reply-lost` is not of the form"),
            ("reply_lost=1", "there is no fault `reply_lost`; there are: seed, "),
            ("reset=1.1", "`1.1` is no value of `reset`"),
            ("reset=NaN", "a probability from 0 to 1"),
            ("latency=2s..1s", "a range such as"),
            ("slow-for=-1s", "a time such as"),
            ("seed=-1", "a whole number"),
        ] {
            let said = text.parse::<GatewayFaults>().unwrap_err().to_string();
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
