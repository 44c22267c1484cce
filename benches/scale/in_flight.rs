//! Many requests at the service at once, held for a while and replaced by others.

use std::{fmt::Write as _, time::Duration};

use super::{
    Result,
    program::{Program, command},
    service::Service,
};

/// How long the service holds each request.
const HELD: Duration = Duration::from_secs(10);

/// How often all of them are replaced while memory is watched.
const ROUNDS: u32 = 12;

/// What was seen with so many requests at the service.
struct Figures {
    in_flight: usize,
    /// Downloads until the end.
    done: u64,
    polls: u64,
    /// Resident and anonymous MiB each second, from when all slots were taken.
    seen: Vec<[f64; 2]>,
}

/// Measures so many requests at once.
pub(crate) async fn table(counts: &[usize]) -> Result<String> {
    let mut text = format!(
        "The service holds each request for {} s. Resident set in MiB (its anonymous part), the \
         middle of the looks\neach second of a round, in which all requests are replaced. \
         Downloads begin with the second round.\n\n\
         | In flight | round 1 | round 2 | round {} | round {ROUNDS} | most | restored meanwhile \
         | polls each |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
        HELD.as_secs(),
        ROUNDS / 2,
    );
    for in_flight in counts {
        eprintln!("{in_flight} in flight");
        let Figures { in_flight, done, polls, seen } = measure(*in_flight).await?;
        let show = |[resident, anonymous]: [f64; 2]| format!("{resident:.0} ({anonymous:.0})");
        let rounds: Vec<String> = seen
            .chunks(usize::try_from(HELD.as_secs())?)
            .map(|round| show(middle(round)))
            .collect();
        eprintln!("  {}", rounds.join(", "));
        let most =
            seen.iter().copied().fold([0.0; 2], |a: [f64; 2], b| [a[0].max(b[0]), a[1].max(b[1])]);
        let last = rounds.len() - 1;
        let shown = [0, 1, rounds.len() / 2 - 1, last].map(|at| rounds[at].as_str()).join(" | ");
        let each = polls as f64 / done.max(1) as f64;
        let most = show(most);
        let _ = writeln!(text, "| {in_flight} | {shown} | {most} | {done} | {each:.1} |");
    }
    Ok(text)
}

async fn measure(in_flight: usize) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let manifest = super::rows::write_manifest(folder.path(), in_flight * 20)?;
    let service = Service::start(Some(HELD)).await?;
    let mut command = command(&[], &manifest, &service.base_url);
    command.arg(format!("--in-flight={in_flight}")).args(["--poll-interval=5s", "--downloads=16"]);
    let mut program = Program::start(command)?;
    program.until(async || service.counts()[0] >= in_flight as u64).await?;
    let mut seen = Vec::new();
    for _ in 0..HELD.as_secs() * u64::from(ROUNDS) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.extend(program.now());
    }
    let [_, polls, done] = service.counts();
    program.stop().await?;
    service.stop();
    Ok(Figures { in_flight, done, polls, seen })
}

/// The middle look, by the resident set.
fn middle(seen: &[[f64; 2]]) -> [f64; 2] {
    let mut sorted = seen.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
    sorted[sorted.len() / 2]
}
