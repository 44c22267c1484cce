//! The README tells the truth.
//!
//! - Between `<!-- generated: NAME -->` and `<!-- end -->` stands what this program's own
//!   tables say.
//! - Each ```` ```console ```` block is run, in order, in a copy of `examples/`, and must
//!   print what the block shows. `…` stands for any text; alone on a line, for any lines.
//! - Every flag that is mentioned exists.
//!
//! `UPDATE_README=1 cargo test --test it readme` rewrites what differs. Blocks of `sh`
//! are not run: they need a key, the network or a long time.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use restore_batch::{
    cli::exit::ExitCode,
    config::{KEYS, Key},
    core::{FAILURE_COLUMNS, FailureCode, RESULT_COLUMNS},
};

/// What is typed in a checkout; the tests have built it already.
const CARGO_RUN: &str = "cargo run --release --";

/// Flags of other programs.
const OTHER_FLAGS: [&str; 4] = ["--release", "--all-features", "--locked", "--path"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_readme_says_what_the_program_says() {
    let old = readme();
    let mut new = old.clone();
    for (name, table) in [
        ("settings", settings()),
        ("exit codes", exit_codes()),
        ("failure codes", failure_codes()),
        ("results columns", column_list(&RESULT_COLUMNS)),
        ("failures columns", column_list(&FAILURE_COLUMNS)),
    ] {
        new = with_block(&new, name, &table);
    }
    new = with_real_output(&new);
    if std::env::var_os("UPDATE_README").is_some_and(|value| value == "1") {
        fs::write(root().join("README.md"), new).unwrap();
        return;
    }
    let differences: Vec<String> = old
        .lines()
        .zip(new.lines())
        .filter(|(old, new)| old != new)
        .map(|(old, new)| format!("- {old}\n+ {new}\n"))
        .collect();
    assert!(
        old == new,
        "the README differs from the program from here on; UPDATE_README=1 rewrites it\n{}",
        differences.iter().take(5).map(String::as_str).collect::<String>()
    );
}

fn settings() -> String {
    let mut table = String::from("| Setting | Default | What it is |\n| --- | --- | --- |\n");
    for key in KEYS {
        let _ = writeln!(table, "| `{}` | {} | {} |", key.name, default(key), cell(key.help));
    }
    table
}

fn default(key: &Key) -> String {
    match (key.default, key.local) {
        ("", _) => "none".to_owned(),
        (default, None) => format!("`{default}`"),
        (default, Some(local)) => format!("`{default}`; with `--local` `{local}`"),
    }
}

fn exit_codes() -> String {
    let mut table = String::from("| Code | Meaning | What helps |\n| --- | --- | --- |\n");
    for (code, meaning, help) in ExitCode::TABLE {
        let _ = writeln!(table, "| {} | {} | {} |", code as u8, cell(meaning), cell(help));
    }
    table
}

fn failure_codes() -> String {
    let mut table = String::from("| Code | What helps |\n| --- | --- |\n");
    for code in FailureCode::ALL {
        let _ = writeln!(table, "| `{code}` | {} |", cell(code.advice()));
    }
    table
}

fn column_list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ") + "\n"
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn with_block(text: &str, name: &str, content: &str) -> String {
    let start = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no `{}`", start.trim()));
    let (_, after) = rest.split_once("<!-- end -->").expect("a block ends");
    format!("{before}{start}\n{content}\n<!-- end -->{after}")
}

/// Runs every command and replaces what is shown wherever it is not what is printed.
fn with_real_output(readme: &str) -> String {
    let place = Place::new();
    let mut new = String::new();
    let mut rest = readme;
    while let Some((before, block, after)) = next_block(rest) {
        new.push_str(before);
        for Step { command, shown } in steps(block) {
            let printed = place.run(&command);
            let true_output = if like(&shown, &printed) { shown } else { printed };
            let _ = write!(new, "$ {command}\n{true_output}");
        }
        rest = after;
    }
    new + rest
}

#[test]
fn every_flag_exists() {
    let place = Place::new();
    let mut known: BTreeSet<String> = OTHER_FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    for command in ["run", "retry", "check", "gateway", "gateway-key"] {
        known.extend(flags(&place.run(&format!("restore-batch {command} --help"))));
    }
    let mentioned = flags(&readme());
    assert!(mentioned.contains("--local"));
    let unknown: Vec<_> = mentioned.difference(&known).collect();
    assert!(unknown.is_empty(), "the README mentions flags that do not exist: {unknown:?}");
}

fn flags(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .filter(|word| word.as_bytes()[2].is_ascii_lowercase())
        .map(str::to_owned)
        .collect()
}

/// One command and what the README says it prints, whole lines.
struct Step {
    command: String,
    shown: String,
}

/// Returns what is before the next console block and in it, and the rest.
fn next_block(text: &str) -> Option<(&str, &str, &str)> {
    const START: &str = "```console\n";
    let start = text.find(START)? + START.len();
    let end = start + text[start..].find("```").expect("a block ends");
    Some((&text[..start], &text[start..end], &text[end..]))
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: String::new() });
        } else {
            let step = steps.last_mut().expect("a console block begins with `$ `");
            step.shown.push_str(line);
            step.shown.push('\n');
        }
    }
    steps
}

/// A folder like a fresh clone, with an empty home and the program on the path.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        copy(&root().join("examples"), &at("work/examples"));
        fs::create_dir_all(at("home")).unwrap();
        fs::create_dir_all(at("bin")).unwrap();
        let program = env!("CARGO_BIN_EXE_restore-batch");
        std::os::unix::fs::symlink(program, at("bin/restore-batch")).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns what a command prints, both outputs in one, without what depends on how
    /// fast the machine is.
    fn run(&self, command: &str) -> String {
        let command = command.replace(CARGO_RUN, "restore-batch");
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(self.at("work"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.at("bin").display()))
            .env("HOME", self.at("home"))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let is_progress = |line: &str| line.ends_with(" submitted in this run");
        printed.split_inclusive('\n').filter(|line| !is_progress(line.trim_end())).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        let is_job = from.extension().is_some_and(|extension| extension == "restored");
        if from.is_dir() && !is_job {
            copy(&from, &to);
        } else if from.is_file() {
            fs::copy(from, to).unwrap();
        }
    }
}

/// Returns true when `shown`, where `…` stands for anything, describes `printed`.
fn like(shown: &str, printed: &str) -> bool {
    let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
    lines_like(&shown, &printed)
}

fn lines_like(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|n| lines_like(rest, &printed[n..])),
        ([one, shown @ ..], [other, printed @ ..]) => {
            line_like(one, other) && lines_like(shown, printed)
        }
        _ => false,
    }
}

fn line_like(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(mut printed) = printed.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = printed.find(part) else { return false };
        printed = &printed[at + part.len()..];
    }
    printed.ends_with(end)
}

#[test]
fn wildcards_match_what_they_should() {
    for (shown, printed, expected) in [
        ("a\n", "a\n", true),
        ("a\n", "a\nb\n", false),
        ("a\n…\n", "a\nb\nc\n", true),
        ("a\n…\nc\n", "a\nc\n", true),
        ("a … c … e\n", "a b c d e\n", true),
        ("a … c\n", "a b\n", false),
        ("", "a\n", false),
    ] {
        assert_eq!(like(shown, printed), expected, "{shown:?} {printed:?}");
    }
}
