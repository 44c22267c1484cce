//! What the release binary costs beyond its requests, each figure as a ratio within one run.
//!
//! ```text
//! cargo bench --bench throughput                                    everything
//! cargo bench --bench throughput -- small 20000 5                   20,000 pictures, 5 rounds
//! cargo bench --bench throughput -- large                           pictures of 1 to 50 MB
//! cargo bench --bench throughput -- --write docs/performance.md     and into the page
//! ```
//!
//! The service does no work and runs in a process of its own, as does each client. There
//! are three clients, with the same number of requests in flight:
//!
//! - the bare loop makes the three requests of a picture and throws the bytes away;
//! - the keeping loop puts them into a file as well, durably and under a name, which is the
//!   least that anyone must do who wants the picture;
//! - the release binary runs as ever: a durable ledger, every picture checked and published,
//!   both sheets written. Rates and the poll interval are set so that no policy holds it back.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod bare;
mod overhead;
#[path = "../common/page.rs"]
mod page;
mod process;
mod roles;
mod service;
mod tables;

use overhead::Case;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Small pictures and rounds without arguments.
const SMALL: (usize, usize) = (10_000, 3);

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds its own word.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if roles::play(&words).await? {
        return Ok(());
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = match words[..] {
        [] | ["--write", _] => [small(SMALL.0, SMALL.1).await?, large().await?].join("\n"),
        ["small"] => small(SMALL.0, SMALL.1).await?,
        ["small", pictures, rounds] => small(pictures.parse()?, rounds.parse()?).await?,
        ["large"] => large().await?,
        _ => return Err("it takes `small [PICTURES ROUNDS]`, `large` or `--write FILE`".into()),
    };
    page::publish("throughput", &text)
}

/// Many small pictures: what counts is work for each, not for its bytes.
async fn small(pictures: usize, rounds: usize) -> Result<String> {
    let mut cases = Vec::new();
    for at_once in [200, 1_000] {
        cases.push(Case { side: 48, pictures, at_once, rounds }.run().await?);
    }
    Ok(tables::overhead(&cases))
}

/// Large pictures: what counts is memory.
async fn large() -> Result<String> {
    let mut cases = Vec::new();
    for (side, pictures) in [(592, 400), (1_872, 64), (4_096, 24)] {
        for at_once in [8, 16] {
            cases.push(Case { side, pictures, at_once, rounds: 1 }.run().await?);
        }
    }
    Ok(tables::memory(&cases))
}
