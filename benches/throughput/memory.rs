//! The resident set while manifests of different lengths are imported.

use std::{
    io::{BufWriter, Write as _},
    time::Duration,
};

use tokio::{process::Command, time::Instant};

use super::{Result, process::peak_kib, restore_batch, service};

/// Imports `rows` rows while 200 requests are in flight, and prints time and peak.
pub(super) async fn measure(rows: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("photos.csv");
    let mut file = BufWriter::new(std::fs::File::create(&manifest)?);
    writeln!(file, "img,title")?;
    for row in 0..rows {
        writeln!(file, "https://photos.example.org/archive/{row:08}.jpg,Photo number {row}")?;
    }
    file.into_inner()?;
    let (base_url, server) = service::stalled().await?;
    let started = Instant::now();
    let mut command = restore_batch(&manifest, &base_url);
    command.args(["--poll-interval", "100ms"]);
    let mut child = command.spawn()?;
    let pid = child.id().ok_or("the program ended at once")?;
    while imported(&manifest).await? < rows as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(status) = child.try_wait()? {
            return Err(format!("restore-batch ended with {status}").into());
        }
    }
    let took = started.elapsed();
    println!(
        "{rows:>9} rows        {:.0} rows/s imported while submitting, peak {} MiB",
        rows as f64 / took.as_secs_f64(),
        peak_kib(pid)? / 1024
    );
    child.kill().await?;
    server.abort();
    Ok(())
}

/// Asks another process how many rows are in the ledger, as an operator would.
async fn imported(manifest: &std::path::Path) -> Result<u64> {
    let output = Command::new(env!("CARGO_BIN_EXE_restore-batch"))
        .args(["status", "--json"])
        .arg(manifest)
        .env_clear()
        .output()
        .await?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok(status["rows"].as_u64().unwrap_or(0))
}
