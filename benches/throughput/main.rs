//! What the release binary costs beyond its requests, each figure as a ratio within one run.
//!
//! ```text
//! cargo bench --bench throughput                    everything
//! cargo bench --bench throughput -- small 20000 5   20,000 small pictures, 5 rounds
//! cargo bench --bench throughput -- large 40 3      40 pictures of 50 MB, 3 rounds
//! cargo bench --bench throughput -- rows 1000000    a manifest of a million rows
//! ```
//!
//! The service does no work and runs in a process of its own, as does the bare loop, which
//! makes the same three requests a picture and remembers nothing; the three share the
//! machine's processors. The binary runs as ever: a durable ledger, every picture checked
//! and published, both sheets written. Rates and the poll interval are set so that no policy
//! holds it back, and as many requests are in flight as with the bare loop.
//!
//! `rows` imports a manifest while the service keeps every request queued, and measures
//! the peak resident set.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod bare;
mod memory;
mod overhead;
mod process;
mod service;

use std::{path::Path, process::Stdio};

use overhead::Case;
use tokio::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds its own word.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if overhead::play_role(&words).await? {
        return Ok(());
    }
    let what = words.first().map(String::as_str);
    let number = |place: usize, default: usize| -> Result<usize> {
        Ok(words.get(place).map_or(Ok(default), |word| word.parse())?)
    };
    if matches!(what, None | Some("small")) {
        Case::small(number(1, 10_000)?, number(2, 3)?).run().await?;
    }
    if matches!(what, None | Some("large")) {
        Case::large(number(1, 16)?, number(2, 3)?).run().await?;
    }
    match what {
        None => {
            memory::measure(10_000).await?;
            memory::measure(100_000).await?;
        }
        Some("rows") => memory::measure(number(1, 100_000)?).await?,
        Some(_) => {}
    }
    Ok(())
}

/// The binary without any rate of its own, and without the user's settings.
fn restore_batch(manifest: &Path, base_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restore-batch"));
    command.arg(manifest).env_clear().env("PIXAZO_API_KEY", "bench");
    command.args(["--allow-private", "--base-url", base_url]);
    for flag in ["--submit-rate", "--poll-rate", "--download-rate"] {
        command.args([flag, "100000"]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}
