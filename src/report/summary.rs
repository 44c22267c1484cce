//! What a person reads at the end, and what `--json` prints.

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use super::words::{counted, rounded};
use crate::core::{Micros, Pace};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ending {
    /// Nothing is left to do.
    Finished,
    /// Stopped by the account, the spend cap, an outage or the output folder.
    Halted {
        /// Why.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// Stopped by a signal.
    Interrupted,
    /// The manifest could not be read to its end.
    ManifestBroken,
    /// No run: the state as `status` sees it.
    Looked,
}

/// Everything a job has come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How the run ended.
    pub ending: Ending,
    /// Manifest rows.
    pub rows: u64,
    /// Different items among them.
    pub items: u64,
    /// Items with an artifact made.
    pub done: u64,
    /// Items that needed none.
    pub skipped: u64,
    /// Items that failed.
    pub failed: u64,
    /// Items whose submit has no known answer.
    pub in_doubt: u64,
    /// Items that are being submitted, or were when a run was cut off: they may be in
    /// doubt.
    pub unanswered: u64,
    /// Items accepted by the service and not finished.
    pub in_flight: u64,
    /// Items not submitted yet.
    pub waiting: u64,
    /// US dollars taken by the service.
    #[serde(rename = "charged_usd", serialize_with = "dollars")]
    pub charged: Micros,
    /// US dollars the service may have taken.
    #[serde(rename = "possibly_charged_usd", serialize_with = "dollars")]
    pub possibly_charged: Micros,
    /// US dollars set aside for requests without an answer.
    #[serde(rename = "reserved_usd", serialize_with = "dollars")]
    pub reserved: Micros,
    /// US dollars not spent because several rows name the same item.
    #[serde(rename = "saved_usd", serialize_with = "dollars")]
    pub saved: Micros,
    /// Times the service asked for a pause in this run.
    pub throttled: u64,
    /// How fast this run could submit; `None` without a run.
    #[serde(rename = "submits_per_second")]
    pub pace: Option<Pace>,
    /// Seconds this run took.
    pub seconds: f64,
    /// Folder with the artifacts.
    pub images: String,
    /// The results file.
    pub results: String,
    /// The failures file.
    pub failures: String,
    /// What to do next, each with its command.
    pub next: Vec<String>,
}

/// JSON readers get a string, because a binary fraction would not be exact.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn dollars<S: Serializer>(amount: &Micros, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

impl Summary {
    /// Returns the summary for people, several lines, each ended; empty when there is no
    /// job because the manifest broke off before its first row.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if self.rows == 0 && self.ending == Ending::ManifestBroken {
            return text;
        }
        self.write_counts(&mut text);
        self.write_money(&mut text);
        self.write_pace(&mut text);
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<9} {value}");
        };
        line("pictures", &self.images);
        line("results", &self.results);
        if self.failed + self.in_doubt > 0 {
            line("failures", &self.failures);
        }
        if let Ending::Halted { reason, advice } = &self.ending {
            let _ = writeln!(text, "\nhalted: {reason}\n  help: {advice}");
        }
        if !self.next.is_empty() {
            text.push_str("\nnext:\n");
            for step in &self.next {
                let _ = writeln!(text, "  {step}");
            }
        }
        text
    }

    fn write_counts(&self, text: &mut String) {
        let duplicates = self.rows.saturating_sub(self.items);
        let _ = match duplicates {
            0 => writeln!(text, "{}", counted(self.rows, "photo")),
            more => writeln!(
                text,
                "{}, {} ({})",
                counted(self.rows, "row"),
                counted(self.items, "photo"),
                counted(more, "duplicate")
            ),
        };
        for (count, name) in [
            (Some(self.done), "done"),
            (Some(self.skipped).filter(|count| *count > 0), "skipped"),
            (Some(self.failed), "failed"),
            (Some(self.in_doubt).filter(|count| *count > 0), "in doubt"),
            (Some(self.unanswered).filter(|count| *count > 0), "sent"),
            (Some(self.in_flight).filter(|count| *count > 0), "in flight"),
            (Some(self.waiting).filter(|count| *count > 0), "waiting"),
        ] {
            if let Some(count) = count {
                let note = match name {
                    "sent" => " (no answer yet; may be in doubt)",
                    "in doubt" => " (answer lost; perhaps paid for)",
                    _ => "",
                };
                let _ = writeln!(text, "  {name:<9} {count}{note}");
            }
        }
    }

    fn write_money(&self, text: &mut String) {
        let _ = write!(text, "  {:<9} {} USD", "charged", self.charged);
        for (amount, what) in [
            (self.possibly_charged, "possibly charged"),
            (self.reserved, "reserved"),
            (self.saved, "saved on duplicates"),
        ] {
            if amount != Micros::ZERO {
                let _ = write!(text, ", {amount} USD {what}");
            }
        }
        text.push('\n');
    }

    /// Tells of pauses, because they are why a run took longer than its settings say.
    fn write_pace(&self, text: &mut String) {
        if self.throttled == 0 {
            return;
        }
        let _ = write!(text, "  {:<9} {} asked for", "pace", counted(self.throttled, "pause"));
        if let Some(pace) = self.pace.filter(|pace| pace.slowest < pace.allowed) {
            let [slowest, allowed, now] = [pace.slowest, pace.allowed, pace.now].map(rounded);
            let _ = write!(text, "; submits slowed from {allowed} to {slowest} a second");
            let _ = if now == allowed {
                write!(text, ", and back at {allowed}")
            } else {
                write!(text, ", now at {now}")
            };
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            ending: Ending::Finished,
            rows: 8,
            items: 8,
            done: 8,
            skipped: 0,
            failed: 0,
            in_doubt: 0,
            unanswered: 0,
            in_flight: 0,
            waiting: 0,
            charged: Micros(24_800),
            possibly_charged: Micros::ZERO,
            reserved: Micros::ZERO,
            saved: Micros::ZERO,
            throttled: 0,
            pace: Some(Pace::steady(5.0)),
            seconds: 1.5,
            images: "photos.restored/images".into(),
            results: "photos.restored/results.csv".into(),
            failures: "photos.restored/failures.csv".into(),
            next: Vec::new(),
        }
    }

    #[test]
    fn a_clean_end_is_short() {
        insta::assert_snapshot!(summary().to_text());
    }

    #[test]
    fn nothing_is_told_of_a_manifest_that_breaks_off_at_its_start() {
        let none = Summary { rows: 0, items: 0, ending: Ending::ManifestBroken, ..summary() };
        assert_eq!(none.to_text(), "");
        assert_ne!(Summary { rows: 1, items: 1, ..none }.to_text(), "");
    }

    #[test]
    fn trouble_is_told_with_the_next_step() {
        let troubled = Summary {
            ending: Ending::Halted {
                reason: "insufficient-balance: your wallet is empty".into(),
                advice: "add funds, then run the same command again".into(),
            },
            rows: 10,
            done: 2,
            failed: 1,
            in_doubt: 1,
            unanswered: 2,
            in_flight: 1,
            waiting: 1,
            possibly_charged: Micros(3_100),
            reserved: Micros(3_100),
            saved: Micros(6_200),
            throttled: 3,
            pace: Some(Pace { slowest: 1.25, now: 2.75, pauses: 2, ..Pace::steady(5.0) }),
            next: vec!["restore-batch photos.csv    continues where this run stopped".into()],
            ..summary()
        };
        insta::assert_snapshot!(troubled.to_text());
        insta::assert_json_snapshot!(troubled);
    }
}
