//! Makes the summary of a job from its ledger.

use std::time::Duration;

use super::job::Job;
use crate::{
    core::{HaltCause, ItemState, Micros},
    ledger::Totals,
    report::{Ending, Summary, silent_party},
    run::Outcome,
};

/// Returns what a job has come to; `retriable` when `retry` could take something up.
pub(super) fn summarise(
    job: &Job,
    totals: &Totals,
    price: Micros,
    retriable: bool,
    ending: Ending,
    outcome: Option<(&Outcome, Duration)>,
) -> Summary {
    let count = |state| totals.count(state);
    let duplicates = totals.rows.saturating_sub(totals.all());
    let mut summary = Summary {
        rows: totals.rows,
        items: totals.all(),
        done: count(ItemState::Done),
        skipped: count(ItemState::Skipped),
        failed: count(ItemState::Failed),
        in_doubt: count(ItemState::InDoubt),
        unanswered: count(ItemState::Submitting),
        in_flight: count(ItemState::Submitted) + count(ItemState::Ready),
        waiting: count(ItemState::Pending) + count(ItemState::Staged),
        charged: totals.money.charged,
        possibly_charged: totals.money.possibly_charged,
        reserved: totals.money.reserved,
        saved: price.times(duplicates),
        throttled: outcome.map_or(0, |(outcome, _)| outcome.submit.pauses + outcome.poll.pauses),
        pace: outcome.map(|(outcome, _)| outcome.submit),
        seconds: outcome.map_or(0.0, |(_, time)| time.as_secs_f64()),
        images: Job::shown(&job.images()),
        results: Job::shown(&job.dir.join("results.csv")),
        failures: Job::shown(&job.dir.join("failures.csv")),
        next: Vec::new(),
        ending,
    };
    let halted = outcome.and_then(|(outcome, _)| outcome.halted.as_ref());
    let capped = matches!(halted, Some(HaltCause::SpendCap { .. }));
    // A retry pays today's price once for each, whatever was paid for others.
    let twice = price.times(summary.in_doubt);
    summary.next = next_steps(&summary, retriable, capped, twice, &typed_words());
    summary
}

/// Returns what may be typed next, each with what it does. `typed` are the words of this
/// run, so that its folder and its service are the same again.
/// `capped` when the run halted at the spend cap: the same command would halt again.
/// `twice` is what sending all photos in doubt again costs.
fn next_steps(
    summary: &Summary,
    retriable: bool,
    capped: bool,
    twice: Micros,
    typed: &[String],
) -> Vec<String> {
    let words = same_job(&if capped { with_higher_cap(typed) } else { typed.to_vec() });
    let mut next = Vec::new();
    let unfinished = summary.unanswered + summary.in_flight + summary.waiting;
    if unfinished > 0 && summary.ending != Ending::Finished {
        let when = match &summary.ending {
            Ending::Halted { .. } if !capped => "once that is mended, continues",
            Ending::ManifestBroken => "once the manifest is mended, continues",
            _ => "continues",
        };
        next.push(format!("restore-batch {words}    {when}; nothing is paid twice"));
    }
    if summary.failed > 0 {
        next.push(format!("less {}    says what failed and why", shell_word(&summary.failures)));
        next.push(if retriable {
            format!("restore-batch retry {words}    tries failed photos again")
        } else {
            format!("restore-batch {words}    once the bad rows are mended in the manifest")
        });
    }
    if summary.in_doubt > 0 {
        next.push(format!(
            "restore-batch retry --in-doubt {words}    sends photos in doubt again; may pay up to {twice} USD twice"
        ));
    }
    next
}

/// Returns the typed words without the command and without what was meant for one run,
/// quoted for a shell.
fn same_job(typed: &[String]) -> String {
    let once = ["--json", "--in-doubt", "--service-moved"];
    let words = match typed.split_first() {
        Some((first, rest)) if ["run", "status", "retry"].contains(&first.as_str()) => rest,
        _ => typed,
    };
    let kept = words.iter().filter(|word| !once.contains(&word.as_str()));
    kept.map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// Replaces the amount of `--max-spend`, or adds one where it was set elsewhere.
fn with_higher_cap(typed: &[String]) -> Vec<String> {
    const FLAG: &str = "--max-spend";
    let mut words = Vec::new();
    let mut rest = typed.iter();
    while let Some(word) = rest.next() {
        if word == FLAG {
            rest.next();
        } else if !word.starts_with("--max-spend=") {
            words.push(word.clone());
        }
    }
    words.extend([FLAG.to_owned(), "HIGHER".to_owned()]);
    words
}

fn typed_words() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Quotes a word for a POSIX shell if it needs it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns how a run ended, for people.
pub(super) fn ending(outcome: &Outcome) -> Ending {
    match (&outcome.halted, outcome.interrupted) {
        _ if outcome.manifest.is_some() => Ending::ManifestBroken,
        (Some(cause), _) => halted(cause),
        (None, Some(_)) => Ending::Interrupted,
        (None, None) => Ending::Finished,
    }
}

fn halted(cause: &HaltCause) -> Ending {
    let (reason, advice) = match cause {
        HaltCause::Account(failure) => (failure.to_string(), failure.code.advice().to_owned()),
        HaltCause::Output(failure) => (
            failure.to_string(),
            "free space or make the folder writable, then run the same command again".to_owned(),
        ),
        HaltCause::SpendCap { committed, cap } => (
            format!("one more request would exceed --max-spend {cap} ({committed} USD committed)"),
            "raise --max-spend and run the same command again".to_owned(),
        ),
        HaltCause::Outage { lasted, failure } => {
            let who = silent_party(failure);
            (
                format!("{who} gave no sane answer for {} s: {failure}", lasted.as_secs()),
                format!("run the same command again when {who} is back"),
            )
        }
    };
    Ending::Halted { reason, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_about_the_same_job() {
        for (typed, expected) in [
            ("photos.csv --json", "photos.csv"),
            ("run --local photos.csv", "--local photos.csv"),
            ("retry --in-doubt photos.csv --out x", "photos.csv --out x"),
        ] {
            let typed: Vec<String> = typed.split(' ').map(str::to_owned).collect();
            assert_eq!(same_job(&typed), expected);
        }
    }

    #[test]
    fn after_the_spend_cap_the_next_command_has_another() {
        for typed in ["a.csv --max-spend 1 --local", "--max-spend=1 a.csv --local", "a.csv --local"]
        {
            let typed: Vec<String> = typed.split(' ').map(str::to_owned).collect();
            assert_eq!(with_higher_cap(&typed).join(" "), "a.csv --local --max-spend HIGHER");
        }
    }

    #[test]
    fn words_are_quoted_for_the_shell_when_needed() {
        for (word, quoted) in [
            ("photos.csv", "photos.csv"),
            ("my photos.csv", "'my photos.csv'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }
}
