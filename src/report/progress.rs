//! Progress for whoever watches: a bar on a terminal, plain lines elsewhere.

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{
    Reporter,
    words::{rounded, silent_party},
};
use crate::core::{HaltCause, Item, ItemState, RunEvent, without_queries};

/// Shortest time between two plain progress lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Counts that both forms show.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    photos: u64,
    bad: u64,
    all: bool,
    submitted: u64,
    done: u64,
    failed: u64,
    in_doubt: u64,
}

impl Counts {
    fn observe(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Imported { photos, bad, complete } => {
                self.photos = *photos;
                self.bad = *bad;
                self.all = *complete;
            }
            RunEvent::Submitted { .. } => self.submitted += 1,
            RunEvent::Named { was_told, .. } => {
                self.in_doubt = self.in_doubt.saturating_sub(u64::from(*was_told));
            }
            RunEvent::Settled(item) => match item.state {
                ItemState::Failed => self.failed += 1,
                ItemState::InDoubt => self.in_doubt += 1,
                _ => self.done += 1,
            },
            _ => {}
        }
    }

    fn settled(&self) -> u64 {
        self.done + self.failed + self.bad + self.in_doubt
    }

    fn describe(&self) -> String {
        let more = if self.all { "" } else { "+" };
        let mut text = format!("{} of {}{more} done", self.done, self.photos);
        for (count, name) in [(self.failed + self.bad, "failed"), (self.in_doubt, "in doubt")] {
            if count > 0 {
                let _ = write!(text, ", {count} {name}");
            }
        }
        let _ = write!(text, ", {} submitted in this run", self.submitted);
        text
    }
}

/// Returns the line for an event that people should see even in a long run.
fn notice(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::Settled(item) => failure_line(item),
        RunEvent::Named { source, request_id, .. } => Some(format!(
            "no longer in doubt: {}: the service has called back about request `{request_id}`",
            without_queries(source)
        )),
        RunEvent::GateClosed { endpoint, pause, per_second } => Some(format!(
            "the service asked for a pause: no {} for {:.1} s, then at most {} a second",
            endpoint.as_str(),
            pause.as_secs_f64(),
            rounded(*per_second)
        )),
        RunEvent::GateStillClosed { endpoint, pause } => Some(format!(
            "the service asked for a pause before this run: no {} for {:.1} s",
            endpoint.as_str(),
            pause.as_secs_f64()
        )),
        RunEvent::Outage { failure } => Some(format!(
            "{} does not answer sanely ({}); waiting and asking again, nothing is lost",
            silent_party(failure),
            failure.message
        )),
        RunEvent::OutageOver { lasted } => {
            Some(format!("the outage is over after {} s", lasted.as_secs()))
        }
        RunEvent::Halted(cause) => Some(halt_line(cause)),
        RunEvent::Draining { steps: 0 } => {
            Some("stopping: nothing is on its way, and the ledger knows the rest".to_owned())
        }
        RunEvent::Draining { steps } => Some(format!(
            "stopping: waiting for {steps} open steps; press Ctrl-C again to stop waiting"
        )),
        RunEvent::Abandoning { steps } => Some(format!(
            "stopping now: {steps} open steps are given up, and a submit among them will be in \
             doubt; press Ctrl-C again to end at once"
        )),
        _ => None,
    }
}

fn failure_line(item: &Item) -> Option<String> {
    let failure = item.failure.as_ref()?;
    let word = if item.state == ItemState::InDoubt { "in doubt" } else { "failed" };
    let told = matches!(item.state, ItemState::Failed | ItemState::InDoubt);
    // A bad row has no source; its message names the line.
    // A signed address is a key itself.
    let source = match without_queries(&item.source).as_str() {
        "" => String::new(),
        source => format!("{source}: "),
    };
    told.then(|| format!("{word}: {source}{failure}"))
}

fn halt_line(cause: &HaltCause) -> String {
    let why = match cause {
        HaltCause::Account(failure) | HaltCause::Output(failure) => failure.to_string(),
        HaltCause::SpendCap { committed, cap } => {
            format!("the spend cap of {cap} USD is reached ({committed} USD committed)")
        }
        HaltCause::Outage { lasted, failure } => {
            let who = silent_party(failure);
            format!("no sane answer from {who} for {} s ({failure})", lasted.as_secs())
        }
    };
    // The service's own words may end a sentence.
    let why = why.trim_end_matches(['.', ' ']);
    match cause {
        HaltCause::SpendCap { .. } => {
            format!("no further submits: {why}; what is paid for is still fetched")
        }
        // Whether polls go on depends on what was asked when it happened.
        HaltCause::Account(_) | HaltCause::Outage { .. } => format!(
            "no further submits: {why}; what is paid for is fetched as far as possible, and \
             the rest by the next run"
        ),
        HaltCause::Output(_) => format!(
            "no further submits and downloads: {why}; what is paid for is fetched by the next run"
        ),
    }
}

/// A bar on a terminal, with notices above it.
#[derive(Debug)]
pub struct ProgressBar {
    counts: Counts,
    bars: MultiProgress,
    bar: indicatif::ProgressBar,
}

impl ProgressBar {
    /// Draws on standard error. `bars` is shared with the log writer, so that log lines
    /// appear above the bar; `already_done` items of earlier runs count as progress.
    #[must_use]
    pub fn new(bars: MultiProgress, already_done: u64) -> Self {
        bars.set_draw_target(ProgressDrawTarget::stderr());
        let bar = bars.add(indicatif::ProgressBar::new(0));
        let template = "{bar:30} {percent:>3}%  {msg}  {elapsed}  eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { counts: Counts { done: already_done, ..Counts::default() }, bars, bar }
    }
}

impl Reporter for ProgressBar {
    fn observe(&mut self, event: &RunEvent) {
        self.counts.observe(event);
        if let Some(line) = notice(event) {
            // A terminal that went away must not end the job.
            let _ = self.bars.println(line);
        }
        self.bar.set_length(self.counts.photos.max(self.counts.settled()));
        self.bar.set_position(self.counts.settled());
        self.bar.set_message(self.counts.describe());
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Plain lines, one every ten seconds and one for each notice.
#[derive(Debug)]
pub struct ProgressLines<W: Write> {
    counts: Counts,
    to: W,
    last: Option<Instant>,
    /// The counts as they were last told.
    told: String,
}

impl ProgressLines<io::Stderr> {
    /// Writes to standard error.
    #[must_use]
    pub fn stderr(already_done: u64) -> Self {
        Self::to(io::stderr(), already_done)
    }
}

impl<W: Write> ProgressLines<W> {
    /// Writes to `to`; `already_done` items of earlier runs count as progress.
    pub fn to(to: W, already_done: u64) -> Self {
        let counts = Counts { done: already_done, ..Counts::default() };
        Self { counts, to, last: None, told: String::new() }
    }

    fn line(&mut self, text: &str) {
        // A closed pipe must not end the job.
        let _ = writeln!(self.to, "{text}");
    }

    fn line_of_counts(&mut self) {
        let counts = self.counts.describe();
        if counts != self.told {
            self.line(&counts);
            self.told = counts;
        }
    }
}

impl<W: Write + Send> Reporter for ProgressLines<W> {
    fn observe(&mut self, event: &RunEvent) {
        self.counts.observe(event);
        if let Some(line) = notice(event) {
            self.line(&line);
        }
        let due = self.last.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due && matches!(event, RunEvent::Settled(_)) {
            self.last = Some(Instant::now());
            self.line_of_counts();
        }
    }
}

impl<W: Write> Drop for ProgressLines<W> {
    /// The last line is where the run has come to.
    fn drop(&mut self) {
        // Without one line before, the summary that follows says it better.
        if self.last.is_some() {
            self.line_of_counts();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        Edition, Endpoint, Failure, FailureClass, FailureCode, ItemId, Micros, Photo, RequestId,
    };

    #[tokio::test(start_paused = true)]
    async fn notices_are_written_as_lines() {
        let mut text = Vec::new();
        let mut lines = ProgressLines::to(&mut text, 3);
        lines.observe(&RunEvent::Imported { photos: 10, bad: 0, complete: true });
        lines.observe(&RunEvent::GateClosed {
            endpoint: Endpoint::Submit,
            pause: Duration::from_secs(2),
            per_second: 2.5,
        });
        lines.observe(&RunEvent::Halted(HaltCause::SpendCap {
            committed: Micros(9_300),
            cap: Micros(10_000),
        }));
        lines.observe(&RunEvent::Outage {
            failure: Failure::new(FailureClass::Transient, FailureCode::NotSent, "no connection"),
        });
        drop(lines);
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_line_is_where_the_run_has_come_to() {
        let photo =
            Photo { source: "a.png".into(), scale: 2, version: "v1.4".into(), stem: "a".into() };
        let item = Item::new(ItemId(1), Edition(1), photo, ItemState::Done);
        let settled = RunEvent::Settled(Box::new(item));
        let mut text = Vec::new();
        let mut lines = ProgressLines::to(&mut text, 0);
        lines.observe(&RunEvent::Imported { photos: 3, bad: 0, complete: true });
        for _ in 0..3 {
            lines.observe(&settled);
        }
        drop(lines);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "1 of 3 done, 0 submitted in this run\n3 of 3 done, 0 submitted in this run\n"
        );
    }

    #[test]
    fn the_service_s_last_stop_is_trimmed() {
        let failure = Failure::new(FailureClass::Account, FailureCode::KeyRefused, "revoked.");
        assert_eq!(
            halt_line(&HaltCause::Account(failure)),
            "no further submits: key-refused: revoked; what is paid for is fetched as far as \
             possible, and the rest by the next run"
        );
    }

    #[test]
    fn a_halt_promises_only_what_will_be_done() {
        let full = Failure::new(FailureClass::Account, FailureCode::NotWritable, "disk full");
        assert_eq!(
            halt_line(&HaltCause::Output(full)),
            "no further submits and downloads: not-writable: disk full; what is paid for is \
             fetched by the next run"
        );
    }

    #[test]
    fn an_outage_names_who_does_not_answer() {
        let outage = |code| {
            let failure = Failure::new(FailureClass::Transient, code, "status 500");
            let halted =
                HaltCause::Outage { lasted: Duration::from_mins(30), failure: failure.clone() };
            notice(&RunEvent::Outage { failure }).unwrap() + &halt_line(&halted)
        };
        for code in [FailureCode::NotSent, FailureCode::StatusUnavailable] {
            let text = outage(code);
            assert!(text.starts_with("the service does not answer sanely"), "{text}");
            assert!(text.contains("from the service for 1800 s"), "{text}");
        }
        for code in [FailureCode::MediaUnavailable, FailureCode::MediaInvalid] {
            let text = outage(code);
            assert!(text.starts_with("the file host does not answer sanely"), "{text}");
            assert!(text.contains("from the file host for 1800 s"), "{text}");
        }
    }

    #[test]
    fn a_doubt_of_an_earlier_run_is_counted_when_it_is_settled() {
        let photo =
            Photo { source: "a.png".into(), scale: 2, version: "v1.4".into(), stem: "a".into() };
        let item = |id, state| Item::new(ItemId(id), Edition(1), photo.clone(), state);
        let settled = |item| RunEvent::Settled(Box::new(item));
        let named = |id, was_told| RunEvent::Named {
            item: ItemId(id),
            source: "a.png".into(),
            request_id: RequestId("r".into()),
            was_told,
        };
        let mut counts = Counts { photos: 2, all: true, ..Counts::default() };
        counts.observe(&settled(item(1, ItemState::InDoubt)));
        counts.observe(&named(2, false));
        let before = "0 of 2 done, 1 in doubt, 0 submitted in this run";
        assert_eq!(counts.describe(), before, "the doubt of this run is another");
        counts.observe(&settled(item(2, ItemState::Done)));
        counts.observe(&named(1, true));
        assert_eq!(counts.describe(), "1 of 2 done, 0 submitted in this run");
    }
}
