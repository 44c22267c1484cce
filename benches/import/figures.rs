//! Sizes and rates.

use std::{path::Path, time::Duration};

use super::Result;

/// The kernel's own high-water mark of this process's resident set.
pub(super) fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

pub(super) fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

pub(super) fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

pub(super) fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
