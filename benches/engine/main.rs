//! Time and memory of the local engine for each megapixel of input, beside onnxruntime.
//!
//! ```text
//! cargo bench --bench engine                 both, in turns
//! PYTHON=/path/python cargo bench --bench engine     with this Python's onnxruntime
//! ```
//!
//! A clean picture is enlarged by two: waifu2x's network and everything around it. Then
//! onnxruntime runs the same network on as many tiles of the same size, on as many threads,
//! and nothing around it (`scripts/bench-engine.py`). Both repeat in turns, so that a busy
//! machine slows both. Without `PYTHON`, onnxruntime is installed into a folder of
//! `target`; where that fails, only the engine is measured.
//!
//! The peak of memory is that of a process of its own for each size of picture.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use image::{DynamicImage, Rgb, RgbImage};
use restore_batch::engine::{Engine, EngineReport, LocalEngine, Watch};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Edge of the picture whose time is measured: 64 tiles.
const EDGE: u32 = 1024;
/// The engine's tile, and how many of them the picture has.
const TILE: u32 = 128;
const TILES: u32 = (EDGE / TILE) * (EDGE / TILE);
/// How often each side runs.
const REPEATS: usize = 7;
/// Edges of the pictures whose memory is measured.
const MEMORY_EDGES: [u32; 4] = [256, 1024, 2048, 4096];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, edge] = &arguments[..]
        && word == "--memory-of"
    {
        return memory_of(edge.parse()?);
    }
    time()?;
    println!("\n{:>12} {:>10} {:>18} {:>10}", "picture", "peak MiB", "of them pictures", "others");
    for edge in MEMORY_EDGES {
        let program = env::current_exe()?;
        let output = Command::new(program).args(["--memory-of", &edge.to_string()]).output()?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Prints the seconds of both sides and their ratio.
fn time() -> Result<()> {
    let mut other = match Onnxruntime::start() {
        Ok(other) => Some(other),
        Err(error) => {
            println!("no onnxruntime ({error}): only the engine is measured");
            None
        }
    };
    let picture = picture(EDGE);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    restore(&picture)?;
    for _ in 0..REPEATS {
        ours.push(restore(&picture)?.took.as_secs_f64());
        if let Some(other) = &mut other {
            theirs.push(other.run()?);
        }
    }
    let megapixels = f64::from(EDGE) * f64::from(EDGE) / 1e6;
    println!("seconds a megapixel of input, {} threads, {REPEATS} repeats", threads());
    println!("{:<28} {:>8} {:>8} {:>8}", "", "median", "least", "most");
    print_times("engine, whole", &mut ours, megapixels);
    if let Some(other) = &other {
        print_times(&format!("onnxruntime {}", other.version), &mut theirs, megapixels);
        println!("ratio of the medians: {:.2}", median(&ours) / median(&theirs));
    }
    Ok(())
}

/// Sorts the times and prints them.
fn print_times(name: &str, times: &mut [f64], megapixels: f64) {
    times.sort_by(f64::total_cmp);
    let [least, .., most] = times else { return };
    let (least, most) = (*least / megapixels, *most / megapixels);
    println!("{name:<28} {:>8.2} {least:>8.2} {most:>8.2}", median(times) / megapixels);
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Prints the peak of this process after a picture of `edge` by `edge` pixels.
fn memory_of(edge: u32) -> Result<()> {
    let (restored, _) = LocalEngine::new(u64::MAX).restore(&picture(edge), 2, &Watch::default())?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    let pictures = f64::from(edge) * f64::from(edge) * 15.0 / 1024.0;
    println!(
        "{:>12} {:>10.0} {:>18.0} {:>10.0}",
        format!("{edge}x{edge}"),
        peak / 1024.0,
        pictures / 1024.0,
        (peak - pictures) / 1024.0
    );
    drop(restored);
    Ok(())
}

fn restore(picture: &DynamicImage) -> Result<EngineReport> {
    let (_, report) = LocalEngine::default().restore(picture, 2, &Watch::default())?;
    let models: Vec<&str> = report.models.iter().map(|model| model.name.as_str()).collect();
    if models != ["waifu2x-photo-n0"] {
        return Err(format!("the engine ran {models:?}: change the picture").into());
    }
    Ok(report)
}

/// A clean picture: slopes and discs.
fn picture(edge: u32) -> DynamicImage {
    let level = |value: u32| u8::try_from(value % 256).unwrap_or(u8::MAX);
    RgbImage::from_fn(edge, edge, |x, y| {
        let (across, down) = ((x % 64).abs_diff(32), (y % 64).abs_diff(32));
        let inside = across * across + down * down < 400;
        let base = 60 + (x + y) * 100 / (2 * edge);
        Rgb([level(base + u32::from(inside) * 60), level(base), level(base + 20)])
    })
    .into()
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The script, waiting for lines.
struct Onnxruntime {
    child: Child,
    go: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    version: String,
}

impl Onnxruntime {
    fn start() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(python(root)?)
            .arg(root.join("scripts/bench-engine.py"))
            .arg(root.join("src/engine/models/waifu2x-photo-n0.onnx"))
            .args([TILE, TILES].map(|number| number.to_string()))
            .arg(threads().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let go = child.stdin.take().ok_or("no standard input")?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut answers = BufReader::new(out).lines();
        let version = answers.next().ok_or("the script ended at once")??;
        Ok(Self { child, go, answers, version })
    }

    /// Returns the seconds of one run over all tiles.
    fn run(&mut self) -> Result<f64> {
        writeln!(self.go, "go")?;
        Ok(self.answers.next().ok_or("the script ended")??.parse()?)
    }
}

impl Drop for Onnxruntime {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a Python that has onnxruntime: `PYTHON`, or one made in `target`.
fn python(root: &Path) -> Result<PathBuf> {
    if let Some(python) = env::var_os("PYTHON") {
        return Ok(python.into());
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("bench-engine-python");
    let python = folder.join("bin/python");
    let installed = folder.join("installed");
    if !installed.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let packages = ["-m", "pip", "install", "--quiet", "onnxruntime", "numpy"];
        run(Command::new(&python).args(packages))?;
        fs::write(installed, "")?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
