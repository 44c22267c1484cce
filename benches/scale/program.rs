//! The measured program in a process of its own, and what the kernel says of it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::Result;

/// Time between two looks at the anonymous part of the memory, of which the kernel keeps no
/// peak.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The binary, unless `RESTORE_BATCH` names another.
pub(crate) fn binary() -> PathBuf {
    let usual = || OsString::from(env!("CARGO_BIN_EXE_restore-batch"));
    std::env::var_os("RESTORE_BATCH").unwrap_or_else(usual).into()
}

/// The binary without the user's settings and without limits of its own.
pub(crate) fn command(words: &[&str], manifest: &Path, base_url: &str) -> Command {
    let mut command = Command::new(binary());
    command.args(words).arg(manifest).env_clear().env("PIXAZO_API_KEY", "bench");
    command.args(["--allow-private", "--base-url", base_url]);
    for (flag, value) in
        [("--submit-rate", "100000"), ("--poll-rate", "100000"), ("--download-rate", "100000")]
    {
        command.args([flag, value]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// A run of it.
pub(crate) struct Program {
    child: Child,
    pid: u32,
    pub(crate) started: Instant,
    look: Arc<Look>,
}

#[derive(Default)]
struct Look {
    anonymous_kib: AtomicU64,
    peak_kib: AtomicU64,
    over: AtomicBool,
}

/// Peaks of memory in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    /// Everything resident, as the kernel keeps it: with pages of the binary and of files.
    pub(crate) resident: f64,
    /// What the program has allocated, as seen every [`LOOK_EVERY`].
    pub(crate) anonymous: f64,
}

impl std::fmt::Display for Peak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} ({:.0})", self.resident, self.anonymous)
    }
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let started = Instant::now();
        let child = command.spawn()?;
        let pid = child.id().ok_or("the program ended at once")?;
        let look = Arc::new(Look::default());
        let seen = look.clone();
        thread::spawn(move || {
            while !seen.over.load(Ordering::Relaxed) {
                let Some(status) = status_of(pid) else { return };
                if let (Some(anonymous), Some(peak)) =
                    (field(&status, "RssAnon:"), field(&status, "VmHWM:"))
                {
                    seen.anonymous_kib.fetch_max(anonymous, Ordering::Relaxed);
                    seen.peak_kib.fetch_max(peak, Ordering::Relaxed);
                }
                thread::park_timeout(LOOK_EVERY);
            }
        });
        Ok(Self { child, pid, started, look })
    }

    /// Waits until `is_there` says so, and fails when the program ends before.
    pub(crate) async fn until(&mut self, mut is_there: impl AsyncFnMut() -> bool) -> Result<()> {
        while !is_there().await {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("restore-batch ended with {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The peaks until now.
    pub(crate) fn peak(&self) -> Peak {
        let mib = |kib: &AtomicU64| kib.load(Ordering::Relaxed) as f64 / 1024.0;
        Peak { resident: mib(&self.look.peak_kib), anonymous: mib(&self.look.anonymous_kib) }
    }

    /// What is resident and what is anonymous now, in MiB.
    pub(crate) fn now(&self) -> Option<[f64; 2]> {
        let status = status_of(self.pid)?;
        let mib = |name| Some(field(&status, name)? as f64 / 1024.0);
        Some([mib("VmRSS:")?, mib("RssAnon:")?])
    }

    /// Asks it to stop, as an operator does; returns how long that took.
    pub(crate) async fn stop(mut self) -> Result<Duration> {
        let asked = Instant::now();
        let pid = self.pid.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        self.child.wait().await?;
        Ok(asked.elapsed())
    }

    /// Waits for its end; returns how long it ran.
    pub(crate) async fn end(&mut self) -> Result<(ExitStatus, Duration)> {
        let status = self.child.wait().await?;
        Ok((status, self.started.elapsed()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.look.over.store(true, Ordering::Relaxed);
    }
}

fn status_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
