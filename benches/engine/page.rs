//! The tables, and the page of the documentation around them.

use std::{fmt::Write as _, fs};

use crate::{REPEATS, Result, memory::Peak, threads};

/// The page with a gap for the figures.
const PAGE: &str = include_str!("page.md");

/// What was measured of one case. Times are seconds a megapixel of input; those of
/// onnxruntime in the order of [`Threading::ALL`](crate::onnxruntime::Threading::ALL).
pub(crate) struct Figures {
    /// Network and picture.
    pub(crate) case: [String; 2],
    /// Of onnxruntime.
    pub(crate) version: String,
    pub(crate) ours: Vec<f64>,
    pub(crate) theirs: Vec<Vec<f64>>,
    /// Peaks of memory in MiB.
    pub(crate) peak: f64,
    pub(crate) peaks: Vec<f64>,
    /// That of Python with its packages, before a network was loaded.
    pub(crate) python_peak: f64,
}

/// Returns the page with the figures in it.
pub(crate) fn page(figures: &str) -> String {
    PAGE.replace("{{figures}}\n", figures)
}

/// Returns the tables; `loads` are those of the machine before and after.
pub(crate) fn figures(all: &[Figures], sizes: &[Peak], loads: &[f64; 2]) -> Result<String> {
    let version = all.first().map_or("", |figures| &figures.version);
    let [before, after] = loads;
    let mut text = format!(
        "Measured on {} with {} threads, against onnxruntime {version}, {REPEATS} repeats in turns. The machine's load\n\
         average was {before:.1} before and {after:.1} after; the benchmark itself adds up to {1}.\n\n",
        machine()?,
        threads(),
    );
    text += &times(all);
    text += &peaks(all);
    text += &peaks_of_sizes(sizes);
    Ok(text)
}

fn times(all: &[Figures]) -> String {
    let mut text = String::from(
        "## Time\n\nSeconds a megapixel of input, median (least to most). *Ratio* is the engine's median over the \
         better one of\nonnxruntime's.\n\n\
         | Network | Picture | Engine | onnxruntime, all threads on a tile | onnxruntime, a tile a thread | Ratio |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for Figures { case: [network, picture], ours, theirs, .. } in all {
        let theirs_median = theirs.iter().map(|times| median(times)).fold(f64::INFINITY, f64::min);
        let ratio = median(ours) / theirs_median;
        let theirs: Vec<String> = theirs.iter().map(|times| spread(times)).collect();
        let (ours, theirs) = (spread(ours), theirs.join(" | "));
        let _ = writeln!(text, "| {network} | {picture} | {ours} | {theirs} | {ratio:.2} |");
    }
    text
}

fn peaks(all: &[Figures]) -> String {
    let mut text = String::from(
        "\n## Memory\n\nMost resident memory in MiB of a process that does the above once (the engine) or all repeats \
         (onnxruntime).\n\n\
         | Network | Engine | onnxruntime, all threads on a tile | onnxruntime, a tile a thread | of these, Python |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for Figures { case: [network, _], peak, peaks, python_peak, .. } in all {
        let peaks: Vec<String> = peaks.iter().map(|peak| format!("{peak:.0}")).collect();
        let peaks = peaks.join(" | ");
        let _ = writeln!(text, "| {network} | {peak:.0} | {peaks} | {python_peak:.0} |");
    }
    text
}

fn peaks_of_sizes(sizes: &[Peak]) -> String {
    let mut text = String::from(
        "\nThe engine with waifu2x-photo-n0, by size of the picture:\n\n\
         | Picture | Engine | of this, picture and result | the rest |\n| --- | --- | --- | --- |\n",
    );
    for Peak { edge, whole, pictures } in sizes {
        let rest = whole - pictures;
        let _ = writeln!(text, "| {edge}x{edge} | {whole:.0} | {pictures:.0} | {rest:.0} |");
    }
    text
}

/// Median, least and most, with as many digits as make sense.
fn spread(times: &[f64]) -> String {
    let show = |time: f64| if time < 100.0 { format!("{time:.2}") } else { format!("{time:.0}") };
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = times.iter().copied().fold(0.0, f64::max);
    format!("{} ({} to {})", show(median(times)), show(least), show(most))
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Processor and the widest vectors it has, as Linux tells them.
fn machine() -> Result<String> {
    let about = fs::read_to_string("/proc/cpuinfo")?;
    let value = |key: &str| {
        let line = about.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim())
    };
    let name = value("model name").unwrap_or("an unknown processor");
    let flags: Vec<&str> = value("flags").unwrap_or_default().split(' ').collect();
    let vectors = [("avx512f", ", AVX-512"), ("avx2", ", AVX2")];
    let vectors =
        vectors.iter().find(|(flag, _)| flags.contains(flag)).map_or("", |(_, name)| name);
    Ok(format!("{name}{vectors}"))
}
