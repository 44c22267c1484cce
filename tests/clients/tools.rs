//! Interpreters and packages.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use crate::support::World;

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the folder of the Python environment's programs, made before if need be.
///
/// # Panics
///
/// When it cannot be made: a check that did not take place has not passed.
pub(crate) fn python_programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-tools");
        let mut script = Command::new("bash");
        let made = script.arg(root().join("scripts/test-tools")).arg(&folder).output().unwrap();
        assert!(made.status.success(), "scripts/test-tools: {}", said(&made));
        folder.join("venv/bin")
    })
}

/// Makes a command in the world's folder that sees nothing of the tester's environment but
/// where programs are.
pub(crate) fn program(world: &World, name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", world.home()).env("LC_ALL", "C.UTF-8");
    command.current_dir(world.work());
    command
}

/// Returns everything that a program has said.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}
