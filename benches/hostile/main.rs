//! Peak memory of the release binary among hostile neighbours.
//!
//! ```text
//! cargo bench --bench hostile               every case
//! cargo bench --bench hostile -- gzip png   cases with one of these words in the name
//! ```
//!
//! Each case is a job of a few rows whose answers are all of one hostile kind, at the
//! default limits of size and shorter ones of time. Its peak resident set is compared
//! with that of a job of as many rows whose answers are harmless. Hostile answers end by
//! themselves after 2 GiB, and so does a job that still tries again after
//! [`LONGEST`]. A case whose peak is above its limit (`cases`) fails the benchmark.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod cases;

use std::{fmt::Write as _, path::Path, process::Stdio, time::Duration};

use cases::{Case, Place};
use restore_batch::testing::scripted_server::{Reply, ScriptedServer};
use tokio::{process::Command, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Rows of each job: more than are downloaded or decoded at once.
const ROWS: usize = 24;

/// When a job that still tries again is ended; by then each row has met its trick.
const LONGEST: Duration = Duration::from_secs(15);

/// Time between two looks at the peak: the kernel keeps it, but not beyond the end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a job took.
struct Figures {
    peak_kib: u64,
    took: Duration,
    /// `None` when it was ended from here.
    code: Option<i32>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let harmless = run(&Case::harmless()).await?;
    println!("{:<44} {:>9} {:>6} {:>6} {:>7}  end", "case", "peak MiB", "limit", "ratio", "s");
    let mut above = print(&Case::harmless(), &harmless, &harmless);
    for case in cases::all() {
        if words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())) {
            let figures = run(&case).await?;
            above += print(&case, &figures, &harmless);
        }
    }
    if above > 0 {
        return Err(format!("{above} above the limit").into());
    }
    Ok(())
}

/// Prints one line, and returns how many peaks in it are above their limit.
fn print(case: &Case, figures: &Figures, harmless: &Figures) -> u32 {
    let is_above = figures.peak_kib > case.limit << 10;
    let end = figures.code.map_or_else(|| "stopped".to_owned(), |code| format!("exit {code}"));
    println!(
        "{:<44} {:>9.1} {:>6} {:>6.2} {:>7.1}  {end}{}",
        case.name,
        figures.peak_kib as f64 / 1024.0,
        case.limit,
        figures.peak_kib as f64 / harmless.peak_kib as f64,
        figures.took.as_secs_f64(),
        if is_above { ", ABOVE THE LIMIT" } else { "" }
    );
    is_above.into()
}

async fn run(case: &Case) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let server = serve(case).await;
    let mut manifest = "img\n".to_owned();
    for row in 0..ROWS {
        match &case.place {
            Place::Source(write) => {
                write(&folder.path().join(format!("{row}.jpg")))?;
                writeln!(manifest, "{row}.jpg")?;
            }
            _ => writeln!(manifest, "https://example.org/{row}.jpg")?,
        }
    }
    let path = folder.path().join("photos.csv");
    std::fs::write(&path, manifest)?;
    let started = Instant::now();
    let mut child = command(&path, &server.url("/")).spawn()?;
    let pid = child.id().ok_or("the program ended at once")?;
    let (mut peak_kib, mut code) = (0, None);
    while started.elapsed() < LONGEST {
        peak_kib = peak_of(pid).unwrap_or(peak_kib);
        if let Some(status) = child.try_wait()? {
            code = status.code();
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took = started.elapsed();
    if code.is_none() {
        child.kill().await?;
    }
    Ok(Figures { peak_kib, took, code })
}

/// Starts a service that is harmless but for the case's one place.
async fn serve(case: &Case) -> ScriptedServer {
    let server = ScriptedServer::start(vec![]).await;
    server.add("GET /v2/requests/status/restore-batch-probe", Reply::status(404));
    for row in 0..ROWS {
        let accepted = Reply::json(202, &format!(r#"{{"request_id":"r{row}"}}"#));
        let media = server.url(&format!("/media/{row}"));
        let completed = format!(r#"{{"status":"COMPLETED","output":{{"media_url":"{media}"}}}}"#);
        let (mut submit, mut status) = (accepted, Reply::json(200, &completed));
        let mut picture = cases::small_picture();
        match &case.place {
            Place::Submit(reply) => submit = reply.clone(),
            Place::Status(reply) => status = reply.clone(),
            Place::Media(reply) => picture = reply.clone(),
            Place::Source(_) => {}
        }
        server.add_about("POST /gfpgan/v1/gfpgan/generate", &format!("/{row}.jpg"), submit);
        server.add(&format!("GET /v2/requests/status/r{row}"), status);
        server.add(&format!("GET /media/{row}"), picture);
    }
    server
}

/// The binary at its default limits of size, without the user's settings.
fn command(manifest: &Path, base_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restore-batch"));
    command.arg(manifest).env_clear().env("PIXAZO_API_KEY", "bench");
    command.args(["--allow-private", "--base-url", base_url]);
    if let Some(folder) = manifest.parent() {
        command.arg(format!("--public-base={}=https://example.org/", folder.display()));
    }
    for (flag, value) in [
        ("--submit-rate", "1000"),
        ("--poll-rate", "1000"),
        ("--download-rate", "1000"),
        ("--poll-interval", "100ms"),
        ("--request-timeout", "3s"),
        ("--download-timeout", "5s"),
        ("--deadline", "3s"),
    ] {
        command.args([flag, value]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// The kernel's own high-water mark of a process's resident set; `None` once it is over.
fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
