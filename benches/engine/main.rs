//! Time and memory of the local engine, beside onnxruntime.
//!
//! ```text
//! cargo bench --all-features --bench engine
//! cargo bench --all-features --bench engine -- --write docs/speed.md    and rewrite the page
//! ```
//!
//! The engine restores a picture: a network and everything around it. Then onnxruntime runs
//! the same network on as many tiles of the same size, and nothing around it
//! (`scripts/bench-engine.py`), once with all threads on one tile and once with a tile a
//! thread. All repeat in turns, so that a busy machine slows all. Its Python is
//! `PYTHON`, or one with the packages of `scripts/bench-requirements.txt`, made in
//! `target`. The models that users add are measured if `just models` has fetched them.
//!
//! The peak of memory of the engine is that of a process of its own for each picture.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod case;
mod memory;
mod onnxruntime;
mod page;

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
};

use case::Case;
use memory::Peak;
use onnxruntime::{Onnxruntime, Threading};
use page::Figures;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What the program allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each side runs.
const REPEATS: usize = 3;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let page = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--memory-of", name, edge] => return memory::print(name, edge.parse()?),
        ["--write", page] => Some(PathBuf::from(page)),
        _ => None,
    };
    let python = onnxruntime::python()?;
    let load = load()?;
    let mut figures = Vec::new();
    for case in Case::all()? {
        eprintln!("{}", case.name);
        figures.push(measure(&case, &python)?);
    }
    let sizes = memory::of_sizes()?;
    let text = page::figures(&figures, &sizes, &[load, self::load()?])?;
    println!("{text}");
    if let Some(path) = page {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, page::page(&text))?;
        eprintln!("wrote `{}`", path.display());
    }
    Ok(())
}

/// Measures one case, all sides in turns.
fn measure(case: &Case, python: &Path) -> Result<Figures> {
    let mut others = Vec::new();
    for threading in Threading::ALL {
        others.push(Onnxruntime::start(python, case, threading)?);
    }
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); others.len()]);
    let megapixels = case.megapixels();
    case.run()?;
    for _ in 0..REPEATS {
        ours.push(case.run()? / megapixels);
        for (other, times) in others.iter_mut().zip(&mut theirs) {
            times.push(other.run()? / megapixels);
        }
    }
    let version = others[0].version.clone();
    let peaks = others.iter().map(|other| other.peak).collect();
    let python_peak = others[0].peak_before;
    drop(others);
    let peak = Peak::of(case.name, case.picture.width())?.whole;
    Ok(Figures { case: case.describe(), version, ours, theirs, peak, peaks, python_peak })
}

/// How many threads there are.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that wanted to run in the last minute, on average.
fn load() -> Result<f64> {
    let average = fs::read_to_string("/proc/loadavg")?;
    Ok(average.split(' ').next().unwrap_or_default().parse()?)
}

/// A path in the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
