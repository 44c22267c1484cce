//! Throughput and memory of the release binary, each as a ratio within one run.
//!
//! ```text
//! cargo bench --bench throughput                    2,000 pictures, 10^4 and 10^5 rows
//! cargo bench --bench throughput -- 2000 10000 1000000
//! ```
//!
//! The first number is pictures restored through the project's own gateway with the
//! engine that does nothing, against a bare loop that makes the same three requests a
//! picture and remembers nothing. The others are manifests imported while the service
//! keeps every request queued, for which the peak resident set is measured.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod bare;
mod memory;
mod service;

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (pictures, rows) = match numbers.split_first() {
        Some((pictures, rows)) => (*pictures, rows.to_vec()),
        None => (2_000, vec![10_000, 100_000]),
    };
    if pictures > 0 {
        throughput(pictures).await?;
    }
    for rows in rows {
        memory::measure(rows).await?;
    }
    Ok(())
}

async fn throughput(pictures: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = service::Instant::start(folder.path(), pictures).await?;
    let bare = bare::run(&service).await?;
    let manifest = folder.path().join("photos.csv");
    std::fs::write(&manifest, service.manifest())?;
    let ours = run_binary(&manifest, service.base_url()).await?;
    service.stop().await;
    let rate = |time: Duration| pictures as f64 / time.as_secs_f64();
    println!("pictures              {pictures}");
    println!("bare loop             {:.0} pictures/s", rate(bare));
    println!("restore-batch         {:.0} pictures/s", rate(ours));
    println!("ratio                 {:.2}", rate(ours) / rate(bare));
    Ok(())
}

/// Runs the binary to its end and returns how long it took.
async fn run_binary(manifest: &Path, base_url: &str) -> Result<Duration> {
    let started = Instant::now();
    let status = command(manifest, base_url).status().await?;
    if !status.success() {
        return Err(format!("restore-batch ended with {status}").into());
    }
    Ok(started.elapsed())
}

/// The binary without any limit of its own, and without the user's settings.
fn command(manifest: &Path, base_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restore-batch"));
    command.arg(manifest).env_clear().env("PIXAZO_API_KEY", "bench");
    command.args(["--allow-private", "--base-url", base_url]);
    for (flag, value) in [
        ("--submit-rate", "100000"),
        ("--poll-rate", "100000"),
        ("--download-rate", "100000"),
        ("--in-flight", "200"),
        ("--downloads", "32"),
        ("--poll-interval", "100ms"),
    ] {
        command.args([flag, value]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}
