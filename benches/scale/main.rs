//! Memory, start and resume of the release binary at manifests of growing length.
//!
//! ```text
//! cargo bench --bench scale                                  all that follows
//! cargo bench --bench scale -- rows 10000 10000000           manifests of these lengths
//! cargo bench --bench scale -- in-flight 500 5000            so many requests at the service
//! cargo bench --bench scale -- start-up
//! cargo bench --bench scale -- rows 10000 --write docs/performance.md
//! ```
//!
//! Prints tables in Markdown, and puts them into their sections of the page after `--write`.
//! The service is the benchmark's own and lives in this process; what is measured is the program in a process of its own, by what the service hears and
//! what the kernel says of that process. `RESTORE_BATCH` names another binary, to compare.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod in_flight;
mod ledger_file;
#[path = "../common/page.rs"]
mod page;
mod program;
mod rows;
mod service;
mod start_up;

use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Lengths of manifests without arguments.
const ROWS: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Requests at the service at once without arguments.
const IN_FLIGHT: [usize; 3] = [500, 1_000, 5_000];

#[tokio::main]
async fn main() -> Result<()> {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.take_while(|word| word != "--write").collect();
    let numbers = |usual: &[usize]| -> Result<Vec<usize>> {
        let numbers: std::result::Result<Vec<usize>, _> =
            words.iter().skip(1).map(|word| word.parse()).collect();
        Ok(if words.len() < 2 { usual.to_vec() } else { numbers? })
    };
    match words.first().map(String::as_str) {
        Some("rows") => publish_rows(&numbers(&ROWS)?).await,
        Some("in-flight") => publish_in_flight(&numbers(&IN_FLIGHT)?).await,
        Some("start-up") => publish_start_up().await,
        None => {
            publish_start_up().await?;
            publish_rows(&ROWS).await?;
            publish_in_flight(&IN_FLIGHT).await
        }
        Some(_) => Err("it takes `rows`, `in-flight` or `start-up`".into()),
    }
}

async fn publish_rows(lengths: &[usize]) -> Result<()> {
    let command = command_line("rows", lengths);
    page::publish("scale", &format!("{}\n{command}", rows::table(lengths).await?))
}

async fn publish_in_flight(counts: &[usize]) -> Result<()> {
    let command = command_line("in-flight", counts);
    page::publish("in-flight", &format!("{}\n{command}", in_flight::table(counts).await?))
}

async fn publish_start_up() -> Result<()> {
    let command = command_line("start-up", &[]);
    page::publish("startup", &format!("{}\n{command}", start_up::table().await?))
}

/// Says how a table is written.
fn command_line(what: &str, numbers: &[usize]) -> String {
    let mut words = vec!["cargo bench --bench scale --".to_owned(), what.to_owned()];
    words.extend(numbers.iter().map(usize::to_string));
    format!("Written by `{} --write docs/performance.md`.", words.join(" "))
}

/// The middle one, and the least and the most.
fn spread(times: &[Duration]) -> String {
    let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.1} ({least:.1} to {most:.1})", sorted[sorted.len() / 2])
}
