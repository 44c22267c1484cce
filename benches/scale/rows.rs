//! Manifests of growing length: import, resume, retry, and a finished job run again.

use std::{
    fmt::Write as _,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Result,
    ledger_file::LedgerFile,
    program::{Peak, Program, command},
    service::Service,
};

/// Requests at the service while a manifest is imported.
const IN_FLIGHT: &str = "--in-flight=200";

/// A request of an earlier run is polled after this, not after the usual 5 to 30 s.
const POLL_SOON: [&str; 2] = ["--poll-interval=100ms", "--max-poll-interval=100ms"];

/// Looks at `status`; the middle one counts.
const LOOKS: usize = 5;

/// Longest manifest that is also resumed, retried and written out: more would take minutes
/// and say nothing else.
const TAKEN_UP: usize = 2_000_000;

/// Longest look at what a run does in the background.
const BACKGROUND: Duration = Duration::from_mins(1);

/// What was measured of one manifest.
struct Figures {
    rows: usize,
    /// From start to the first submit.
    first_submit: Duration,
    /// From start to the last row in the ledger.
    imported: Duration,
    peak: Peak,
    /// From SIGTERM to the end of the process.
    stop: Duration,
    /// Of the ledger.
    bytes: u64,
    status: Duration,
    /// What came of the job afterwards.
    taken_up: Option<TakenUp>,
}

/// What was measured of a job that is done, all but ten photos, or failed.
struct TakenUp {
    /// Of the ledger when all is done.
    bytes: u64,
    /// From start to the first submit when all but ten are done.
    resume: Duration,
    resume_peak: Peak,
    /// From start to the first poll when all have failed and are tried again.
    retry: Duration,
    retry_peak: Peak,
    /// A run in which everything is done already: both files are written anew.
    again: Duration,
    again_peak: Peak,
    status: Duration,
}

/// Measures manifests of these lengths.
pub(crate) async fn table(lengths: &[usize]) -> Result<String> {
    let mut all = Vec::new();
    for rows in lengths {
        eprintln!("{rows} rows");
        all.push(measure(*rows).await?);
    }
    let mut text = String::from(
        "Memory is the peak of the resident set in MiB, and in parentheses that of its anonymous \
         part, which is what the program\nallocates; the rest is pages of the binary and of \
         files, which the kernel takes back when it wants to.\n\n\
         | Rows | first submit after start | import, rows/s | memory while importing, 200 in flight \
         | ledger, bytes a row | stop after SIGTERM | `status` |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for Figures { rows, first_submit, imported, peak, stop, bytes, status, .. } in &all {
        let rate = *rows as f64 / imported.as_secs_f64();
        let bytes = bytes / *rows as u64;
        let [first, stop, status] = [first_submit, stop, status].map(|time| seconds(*time));
        let _ = writeln!(
            text,
            "| {rows} | {first} | {rate:.0} | {peak} | {bytes} | {stop} | {status} |"
        );
    }
    text += "\n| Rows | ledger when all is done, bytes a row | `status` \
             | all done but ten: first submit after start | memory |\n\
             | --- | --- | --- | --- | --- |\n";
    let taken_up = || all.iter().filter_map(|all| Some((all.rows, all.taken_up.as_ref()?)));
    for (rows, TakenUp { bytes, status, resume, resume_peak, .. }) in taken_up() {
        let [resume, status] = [resume, status].map(|time| seconds(*time));
        let bytes = bytes / rows as u64;
        let _ = writeln!(text, "| {rows} | {bytes} | {status} | {resume} | {resume_peak} |");
    }
    text += "\n| Rows | all done, run again: both files written, rows/s | memory \
             | all failed, `retry`: first poll after start | memory |\n\
             | --- | --- | --- | --- | --- |\n";
    for (rows, TakenUp { retry, retry_peak, again, again_peak, .. }) in taken_up() {
        let rate = rows as f64 / again.as_secs_f64();
        let retry = seconds(*retry);
        let _ = writeln!(text, "| {rows} | {rate:.0} | {again_peak} | {retry} | {retry_peak} |");
    }
    Ok(text)
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

async fn measure(rows: usize) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let manifest = write_manifest(folder.path(), rows)?;
    let ledger = LedgerFile::of(&manifest);

    let service = Service::start(None).await?;
    let mut program = Program::start(command(&[IN_FLIGHT], &manifest, &service.base_url))?;
    program.until(async || service.first_call().is_some()).await?;
    let first_submit = since(&program, &service);
    program.until(async || ledger.is_imported().await).await?;
    let imported = program.started.elapsed();
    program.until(async || service.counts()[0] >= rows.min(200) as u64).await?;
    let peak = program.peak();
    let stop = program.stop().await?;
    let bytes = ledger.bytes()?;
    let status = status(&manifest).await?;
    eprintln!("  imported in {imported:.1?}");
    let taken_up = if rows <= TAKEN_UP {
        Some(take_up(rows, &manifest, &ledger, &service).await?)
    } else {
        None
    };
    service.stop();
    Ok(Figures { rows, first_submit, imported, peak, stop, bytes, status, taken_up })
}

async fn take_up(
    rows: usize,
    manifest: &Path,
    ledger: &LedgerFile,
    service: &Service,
) -> Result<TakenUp> {
    ledger.finish().await?;
    let mut program = Program::start(command(&[IN_FLIGHT], manifest, &service.base_url))?;
    let (code, again) = program.end().await?;
    if !code.success() {
        return Err(format!("a finished job ended with {code}").into());
    }
    let again_peak = program.peak();
    let bytes = ledger.bytes()?;
    let status = status(manifest).await?;
    eprintln!("  written out in {again:.1?}");

    ledger.open_ten().await?;
    let (resume, resume_peak) = until_first_call(&[IN_FLIGHT], manifest, service, rows).await?;
    eprintln!("  resumed in {resume:.1?}");
    ledger.finish().await?;
    ledger.fail_fetches().await?;
    let words = [&["retry", IN_FLIGHT], &POLL_SOON[..]].concat();
    let (retry, retry_peak) = until_first_call(&words, manifest, service, rows).await?;
    eprintln!("  tried again in {retry:.1?}");
    Ok(TakenUp { bytes, resume, resume_peak, retry, retry_peak, again, again_peak, status })
}

/// Runs until the service hears of a photo and some time longer.
async fn until_first_call(
    words: &[&str],
    manifest: &Path,
    service: &Service,
    rows: usize,
) -> Result<(Duration, Peak)> {
    service.listen_anew();
    let mut program = Program::start(command(words, manifest, &service.base_url))?;
    program.until(async || service.first_call().is_some()).await?;
    let first = since(&program, service);
    // What goes on in the background, at 20,000 rows a second at least.
    let background = Duration::from_secs(2 + rows as u64 / 20_000).min(BACKGROUND);
    tokio::time::sleep(background).await;
    let peak = program.peak();
    program.stop().await?;
    Ok((first, peak))
}

fn since(program: &Program, service: &Service) -> Duration {
    service.first_call().unwrap_or_else(Instant::now) - program.started
}

async fn status(manifest: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        let mut command = command(&["status"], manifest, "http://127.0.0.1:9");
        let started = Instant::now();
        command.status().await?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[LOOKS / 2])
}

pub(crate) fn write_manifest(folder: &Path, rows: usize) -> Result<PathBuf> {
    let manifest = folder.join("photos.csv");
    let mut file = BufWriter::new(std::fs::File::create(&manifest)?);
    writeln!(file, "img,title")?;
    for row in 0..rows {
        writeln!(file, "https://photos.example.org/archive/{row:08}.jpg,Photo number {row}")?;
    }
    file.into_inner()?;
    Ok(manifest)
}
