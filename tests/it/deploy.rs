//! What `deploy/` tells administrators to use works.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use restore_batch::{clock::Clock, ledger::JobLock};

/// The crontab, with the folders of a test in place of its own.
struct Crontab {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    commands: Vec<String>,
}

impl Crontab {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        fs::copy(root.join("examples/photos/coins-grainy.jpg"), folder.path().join("coins.jpg"))
            .unwrap();
        fs::write(folder.path().join("photos.csv"), "img,scale\ncoins.jpg,1\n").unwrap();
        let text = fs::read_to_string(root.join("deploy/cron/restore-batch.cron")).unwrap();
        let (mut variables, mut commands) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once('=') {
                Some((name, value)) if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') => {
                    variables.push((name.to_owned(), value.to_owned()));
                }
                _ => commands.push(command(line).replace("/srv/archive", &shown(folder.path()))),
            }
        }
        Self { folder, variables, commands }
    }

    fn run(&self, command: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_restore-batch"));
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).env_clear().envs(self.variables.clone());
        shell.env("HOME", self.folder.path());
        let path = format!("{}:/usr/bin:/bin", shown(program.parent().unwrap()));
        shell.env("PATH", path).output().unwrap()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("restore-batch.log")).unwrap_or_default()
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Cuts off the five fields of time.
fn command(line: &str) -> &str {
    assert!(!line.contains('%'), "cron ends a command at `%`: {line}");
    (0..5).fold(line, |rest, _| rest.trim_start().split_once(' ').unwrap().1).trim_start()
}

/// Returns what cron would mail, for a command that must end well.
fn mail(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

#[test]
fn cron_restores_quietly_and_speaks_up_when_it_matters() {
    let cron = Crontab::new();
    let [run, status] = cron.commands.as_slice() else { panic!("{:?}", cron.commands) };
    let local = run.replace("restore-batch photos.csv", "restore-batch photos.csv --local");
    assert_ne!(*run, local);

    // There is no key: the administrator is told.
    let told = mail(&cron.run(run));
    assert!(told.contains("exit code 6") && told.contains("restore-batch.log"), "{told}");
    assert!(cron.log().contains("api-key"), "{}", cron.log());

    assert_eq!(mail(&cron.run(&local)), "");
    assert!(cron.log().contains("done      1"), "{}", cron.log());
    assert!(cron.at("photos.restored/images/coins.png").exists());

    // The next one finds nothing to do; one that overlaps leaves without a word.
    assert_eq!(mail(&cron.run(&local)), "");
    let state = cron.at("photos.restored/.restore-batch");
    let lock = JobLock::acquire(&state, Clock::system().now(), "restore-batch").unwrap();
    assert_eq!(mail(&cron.run(&local)), "");
    assert!(cron.log().contains("in use by another run"), "{}", cron.log());
    drop(lock);

    assert!(mail(&cron.run(status)).contains("done      1"));
}
