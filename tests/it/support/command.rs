//! Runs the real binary with nothing of the tester's own environment.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

use super::{KEY, Service, SmallDisk, World};

/// Pace for tests, as fast as the gateway answers; in the environment, so that the
/// commands that the program proposes stay short.
const FAST: [(&str, &str); 9] = [
    ("RESTORE_BATCH_ALLOW_PRIVATE", "true"),
    ("RESTORE_BATCH_POLL_INTERVAL", "40ms"),
    ("RESTORE_BATCH_MAX_POLL_INTERVAL", "80ms"),
    ("RESTORE_BATCH_SUBMIT_RATE", "2000"),
    ("RESTORE_BATCH_POLL_RATE", "2000"),
    ("RESTORE_BATCH_DOWNLOAD_RATE", "2000"),
    ("RESTORE_BATCH_CONNECT_TIMEOUT", "5s"),
    ("RESTORE_BATCH_REQUEST_TIMEOUT", "20s"),
    ("RESTORE_BATCH_DOWNLOAD_TIMEOUT", "20s"),
];

/// A command line before it is started.
pub(crate) struct Command<'a> {
    world: &'a World,
    process: std::process::Command,
    stdin: Option<Vec<u8>>,
}

impl<'a> Command<'a> {
    /// Makes a command in the world's folder, with an empty home and no environment.
    pub(crate) fn new(world: &'a World, words: &[&str]) -> Self {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_restore-batch"));
        process.args(words).env_clear().env("HOME", world.home()).current_dir(world.work());
        Self { world, process, stdin: None }
    }

    /// Runs it where `disk` is mounted.
    pub(crate) fn inside(self, disk: &SmallDisk) -> Self {
        self.behind(disk.enter())
    }

    /// Lets it write no file longer than this, as a quota would.
    pub(crate) fn with_file_limit(self, kilobytes: u64) -> Self {
        // In units of 512 bytes. The signal would end the program before it could tell.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2);
        self.behind(["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()])
    }

    /// Starts it by another command, whose words come before its own.
    fn behind(mut self, words: impl IntoIterator<Item = String>) -> Self {
        let mut words = words.into_iter();
        let mut process = std::process::Command::new(words.next().unwrap());
        process.args(words).arg(self.process.get_program()).args(self.process.get_args());
        process.env_clear().current_dir(self.world.work());
        for (name, value) in self.process.get_envs() {
            process.env(name, value.unwrap_or_default());
        }
        self.process = process;
        self
    }

    /// Uses `service` with its key, at the pace of tests.
    pub(crate) fn with(self, service: &Service) -> Self {
        self.fast().args([format!("--base-url={}", service.url())]).env("PIXAZO_API_KEY", KEY)
    }

    /// Does not wait longer than needed.
    pub(crate) fn fast(self) -> Self {
        FAST.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }

    pub(crate) fn args(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.process.args(words.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.process.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// Starts it. Standard input is a pipe that stays open when content was given for
    /// it, and empty otherwise.
    pub(crate) fn start(mut self) -> Running<'a> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [stdout, stderr] =
            ["out", "err"].map(|name| self.world.logs().join(format!("{number}.{name}")));
        self.process.stdout(File::create(&stdout).unwrap());
        self.process.stderr(File::create(&stderr).unwrap());
        self.process.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.process.spawn().unwrap();
        let mut stdin = child.stdin.take();
        if let (Some(pipe), Some(content)) = (&mut stdin, self.stdin) {
            // A command that ends before it has read everything says so by its exit code.
            let _ = pipe.write_all(&content);
        }
        Running { world: self.world, child, stdin, stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().wait()
    }
}

/// A command that runs. It is killed when dropped.
pub(crate) struct Running<'a> {
    world: &'a World,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has written on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until standard error holds `part`.
    pub(crate) fn says(&self, part: &str) {
        self.world.until(&format!("`{part}` on standard error"), || {
            let said = self.stderr();
            if said.contains(part) { Ok(()) } else { Err(said) }
        });
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let sent = std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success(), "`{kill}` failed");
    }

    /// Ends it without any warning, as a power cut would.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        let ended = self.wait();
        assert_eq!(ended.status.signal(), Some(9), "it had ended before: {ended:?}");
        ended
    }

    /// Returns whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it by a signal, unless it has ended by itself.
    pub(crate) fn end(mut self, signal: &str) -> Ended {
        if !self.has_ended() {
            self.signal(signal);
        }
        self.wait()
    }

    /// Sends a signal while standard input stays open, and waits for the end.
    pub(crate) fn end_while_reading(mut self, signal: &str) -> Ended {
        let open = self.stdin.take();
        self.signal(signal);
        let ended = self.wait();
        drop(open);
        ended
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        self.stdin = None;
        let world = self.world;
        let status = world.until("the end of the command", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(format!("it still runs and says: {}", text(&self.stderr))),
            Err(error) => Err(error.to_string()),
        });
        Ended { status, stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &PathBuf) -> String {
    String::from_utf8(fs::read(path).unwrap()).unwrap()
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks the exit code, and shows everything said when it is another.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(self.status.code(), Some(expected), "{}", self.said());
        self
    }

    /// Checks that the process was ended by this signal itself.
    #[track_caller]
    pub(crate) fn by_signal(self, expected: i32) -> Self {
        assert_eq!(self.status.signal(), Some(expected), "{}", self.said());
        self
    }

    /// Reads what `--json` has printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    pub(crate) fn said(&self) -> String {
        format!("{}\n-- stdout:\n{}\n-- stderr:\n{}", self.status, self.stdout, self.stderr)
    }
}
