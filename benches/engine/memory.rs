//! The most memory the engine takes, each time in a process of its own.

use std::{env, fs, process::Command};

use crate::{Result, case::Case};

/// Edges of the pictures whose memory is compared.
const EDGES: [u32; 3] = [256, 1024, 2048];

/// Bytes a pixel of input: 3 of its own and, at scale 2, 12 of the result.
const BYTES_A_PIXEL: f64 = 15.0;

/// The peak of a process that restores one picture, in MiB.
pub(crate) struct Peak {
    /// Edge of the picture in pixels.
    pub(crate) edge: u32,
    pub(crate) whole: f64,
    /// What the picture and its result take.
    pub(crate) pictures: f64,
}

impl Peak {
    /// Runs this program again to restore the picture of one case.
    pub(crate) fn of(name: &str, edge: u32) -> Result<Self> {
        let program = env::current_exe()?;
        let ended =
            Command::new(program).args(["--memory-of", name, &edge.to_string()]).output()?;
        let said = String::from_utf8(ended.stdout)?;
        if !ended.status.success() {
            let error = String::from_utf8_lossy(&ended.stderr).into_owned();
            return Err(error.into());
        }
        let pixels = f64::from(edge) * f64::from(edge);
        let pictures = pixels * BYTES_A_PIXEL / 1024.0 / 1024.0;
        Ok(Self { edge, whole: said.trim().parse()?, pictures })
    }
}

/// Returns the peaks for clean square pictures of several sizes.
pub(crate) fn of_sizes() -> Result<Vec<Peak>> {
    EDGES.iter().map(|edge| Peak::of("waifu2x-photo-n0", *edge)).collect()
}

/// Restores the picture of one case and prints this process's peak in MiB.
pub(crate) fn print(name: &str, edge: u32) -> Result<()> {
    Case::of(name, edge)?.run()?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    println!("{}", peak / 1024.0);
    Ok(())
}
