//! onnxruntime, in a process of Python that waits for lines.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::{Result, case::Case, in_repository, threads};

/// How onnxruntime uses the threads there are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Threading {
    /// All threads on one tile.
    Together,
    /// A tile on each thread, as the engine does.
    Apart,
}

impl Threading {
    pub(crate) const ALL: [Self; 2] = [Self::Together, Self::Apart];
}

/// The script, with one network loaded.
pub(crate) struct Onnxruntime {
    child: Child,
    go: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    pub(crate) version: String,
    /// Peak of memory in MiB before the network was loaded: Python and its packages.
    pub(crate) peak_before: f64,
    /// Peak of memory in MiB.
    pub(crate) peak: f64,
}

impl Onnxruntime {
    pub(crate) fn start(python: &Path, case: &Case, threading: Threading) -> Result<Self> {
        let (each, at_once) = match threading {
            Threading::Together => (threads(), 1),
            Threading::Apart => (1, threads()),
        };
        let mut child = Command::new(python)
            .arg(in_repository("scripts/bench-engine.py"))
            .arg(case.model())
            .args([case.seen(), case.tiles()].map(|number| number.to_string()))
            .args([each, at_once].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let go = child.stdin.take().ok_or("no standard input")?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut answers = BufReader::new(out).lines();
        let first = answers.next().ok_or("the script ended at once")??;
        let (version, peak) = first.split_once(' ').ok_or("the script said something else")?;
        let (version, peak_before) = (version.to_owned(), peak.parse()?);
        Ok(Self { child, go, answers, version, peak_before, peak: peak_before })
    }

    /// Returns the seconds of one run over all tiles.
    pub(crate) fn run(&mut self) -> Result<f64> {
        writeln!(self.go, "go")?;
        let answer = self.answers.next().ok_or("the script ended")??;
        let (seconds, peak) = answer.split_once(' ').ok_or("the script said something else")?;
        self.peak = peak.parse()?;
        Ok(seconds.parse()?)
    }
}

impl Drop for Onnxruntime {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a Python that has onnxruntime: `PYTHON`, or one made in `target`.
pub(crate) fn python() -> Result<PathBuf> {
    if let Some(python) = env::var_os("PYTHON") {
        return Ok(python.into());
    }
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| in_repository("target"), PathBuf::from);
    let made = Command::new(in_repository("scripts/python-environment"))
        .arg(target.join("bench-engine-python"))
        .arg(in_repository("scripts/bench-requirements.txt"))
        .stderr(Stdio::inherit())
        .output()?;
    if !made.status.success() {
        return Err("no onnxruntime: set PYTHON to a Python that has it".into());
    }
    Ok(String::from_utf8(made.stdout)?.trim().into())
}
