//! Pace: how near the program comes to a client that knows when each request is done, and
//! how it finds a rate limit that nobody has told it.
//!
//! ```text
//! cargo bench --all-features --bench pace
//! cargo bench --all-features --bench pace -- --write docs/pace.md    and rewrite the page
//! cargo bench --all-features --bench pace -- --real 2000             the binary, in real time
//! ```
//!
//! The real coordinator with all its rules runs over the in-memory ledger; the service is a
//! script ([`service`]), and time is tokio's paused clock. So every figure is the same on
//! every machine, and an hour takes a second. What the ideal client does is said in
//! [`ideal`]. That virtual time does not lie is what `--real` shows: the same job, the
//! release binary, its durable ledger, HTTP over loopback.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod case;
mod ideal;
mod job;
mod limit;
mod page;
mod real;
mod service;

use std::{env, fs, path::Path};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (only, page) = match words[..] {
        ["--real"] => return real::check(2_000),
        ["--real", images] => return real::check(images.parse()?),
        ["--write", page] => ("", Some(page)),
        [only] => (only, None),
        _ => ("", None),
    };
    let text = page::figures(only)?;
    println!("{text}");
    if let Some(path) = page {
        if let Some(parent) = Path::new(path).parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, page::page(&text))?;
        eprintln!("wrote `{path}`");
    }
    Ok(())
}
