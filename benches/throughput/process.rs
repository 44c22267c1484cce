//! Runs one process to its end and says what it took.

use std::time::Duration;

use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::Result;

/// How often the resident set of a running process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Clock ticks in a second, as `/proc` counts: `USER_HZ` is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// From its start to its end.
    pub(super) wall: Duration,
    /// Seconds of processor time, its own and the kernel's on its behalf.
    pub(super) cpu: f64,
    /// The most memory it held, in KiB; 0 when it ended before anyone looked.
    pub(super) peak_kib: u64,
}

/// Runs `command` to its end. No other child may end meanwhile.
pub(super) async fn measure(mut command: Command) -> Result<Taken> {
    let before = cpu_of_ended_children()?;
    let started = Instant::now();
    let mut child = command.kill_on_drop(true).spawn()?;
    let (status, peak_kib) = watch(&mut child).await?;
    if !status.success() {
        return Err(
            format!("{} ended with {status}", command.as_std().get_program().display()).into()
        );
    }
    let wall = started.elapsed();
    Ok(Taken { wall, cpu: cpu_of_ended_children()? - before, peak_kib })
}

async fn watch(child: &mut Child) -> Result<(std::process::ExitStatus, u64)> {
    let pid = child.id().ok_or("the program ended at once")?;
    let mut peak = 0;
    loop {
        if let Ok(status) = tokio::time::timeout(LOOK_EVERY, child.wait()).await {
            return Ok((status?, peak));
        }
        peak = peak.max(peak_kib(pid).unwrap_or(0));
    }
}

/// The kernel's own high-water mark of a process's resident set.
fn peak_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Seconds of processor time of all children that have ended: fields 16 and 17 of
/// `/proc/self/stat`, see `proc_pid_stat(5)`.
fn cpu_of_ended_children() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, which is field 2, may hold spaces.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no name in /proc/self/stat")?;
    let ticks = |field: usize| -> Result<f64> {
        Ok(fields.split(' ').nth(field - 3).ok_or("a short /proc/self/stat")?.parse()?)
    };
    Ok((ticks(16)? + ticks(17)?) / TICKS_PER_SECOND)
}
