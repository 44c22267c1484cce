//! Memory, start and resume of the release binary at manifests of growing length.
//!
//! ```text
//! cargo bench --bench scale                                  10^4, 10^5 and 10^6 rows
//! cargo bench --bench scale -- rows 10000 10000000           these lengths, nothing else
//! cargo bench --bench scale -- in-flight 500 5000            so many requests at the service
//! cargo bench --bench scale -- start-up
//! cargo bench --bench scale -- --write FILE                  everything, and into a file
//! ```
//!
//! Prints tables in Markdown. The service is the benchmark's own and lives in this process;
//! what is measured is the program in a process of its own, by what the service hears and
//! what the kernel says of that process. `RESTORE_BATCH` names another binary, to compare.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod in_flight;
mod ledger_file;
mod program;
mod rows;
mod service;
mod start_up;

use std::{path::PathBuf, time::Duration};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Lengths of manifests without arguments. 10^7 rows take some ten minutes and 10 GB.
const ROWS: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Requests at the service at once without arguments.
const IN_FLIGHT: [usize; 3] = [500, 1_000, 5_000];

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let numbers = |words: &[String], usual: &[usize]| -> Result<Vec<usize>> {
        let numbers: std::result::Result<Vec<usize>, _> =
            words.iter().map(|word| word.parse()).collect();
        Ok(if words.is_empty() { usual.to_vec() } else { numbers? })
    };
    let mut file = None;
    let text = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["rows", ..] => rows::table(&numbers(&words[1..], &ROWS)?).await?,
        ["in-flight", ..] => in_flight::table(&numbers(&words[1..], &IN_FLIGHT)?).await?,
        ["start-up"] => start_up::table().await?,
        [] | ["--write", _] => {
            file = words.get(1).map(PathBuf::from);
            let start_up = start_up::table().await?;
            let rows = rows::table(&ROWS).await?;
            [start_up, rows, in_flight::table(&IN_FLIGHT).await?].join("\n")
        }
        _ => return Err("it takes `rows`, `in-flight`, `start-up` or `--write FILE`".into()),
    };
    print!("{text}");
    if let Some(file) = file {
        std::fs::write(&file, &text)?;
        eprintln!("wrote `{}`", file.display());
    }
    Ok(())
}

/// The middle one, and the least and the most.
fn spread(times: &[Duration]) -> String {
    let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.1} ({least:.1} to {most:.1})", sorted[sorted.len() / 2])
}
