//! The shape of `src/`: who may use whom, how long a file may be, what `mod.rs` holds.
//!
//! Reads the source text: every `crate::…` path outside comments, strings and test
//! modules, in `use` trees and in code, is compared with [`ALLOWED`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::source_text::{Reference, Source};

/// What each module of `src/` may use of the others. `a::b` allows only that part.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("clock", &["core"]),
    ("sqlite", &[]),
    // The edges: they do not know one another; `run` joins them.
    ("manifest", &["core", "clock"]),
    ("ledger", &["core", "clock", "sqlite"]),
    ("limit", &["core", "clock"]),
    ("stage", &["core", "clock"]),
    ("api", &["core", "clock"]),
    ("fetch", &["core", "clock"]),
    ("report", &["core", "clock"]),
    ("run", &["core", "clock", "manifest", "ledger", "limit", "stage", "api", "fetch", "report"]),
    ("engine", &["core"]),
    ("gateway", &["core", "clock", "sqlite", "engine", "fetch", "api::wire"]),
    ("webhook", &["core", "api::webhook"]),
    ("config", &["core"]),
    ("telemetry", &["config"]),
    ("cli", EVERYTHING),
    ("testing", EVERYTHING),
    // The roots name the modules and nothing more.
    ("lib", EVERYTHING),
    ("main", &[]),
];

const EVERYTHING: &[&str] = &["*"];

/// Longest file, in lines before its tests.
const MOST_LINES: usize = 400;

/// Files that are longer for now, with the reason. Add none without one.
const LONGER: &[(&str, &str)] = &[];

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for source in production_sources() {
        let module = source.module();
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: `{module}` is not in ALLOWED", source.shown()));
            continue;
        };
        for Reference { line, path } in source.references() {
            if !may_use(&module, allowed, &path) {
                wrong.push(format!("{}:{line}: `{module}` uses crate::{path}", source.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the dependency direction:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_names_exactly_the_modules_there_are() {
    let there: BTreeSet<String> = production_sources().iter().map(Source::module).collect();
    let named: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, named);
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for source in production_sources() {
        let (lines, name) = (source.lines_before_tests(), source.shown());
        let excepted = LONGER.iter().any(|(file, _)| *file == name);
        match lines > MOST_LINES {
            true if !excepted => wrong.push(format!("{name} has {lines} lines before its tests")),
            false if excepted => wrong.push(format!("{name} is short now; take it off LONGER")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "more than {MOST_LINES} lines:\n{}", wrong.join("\n"));
}

#[test]
fn mod_files_hold_only_docs_and_declarations() {
    let mut wrong = Vec::new();
    for source in production_sources() {
        if source.path.file_name().is_some_and(|name| name == "mod.rs") {
            let others = source.statements_other_than_declarations();
            wrong.extend(others.iter().map(|text| format!("{}: {text}", source.shown())));
        }
    }
    assert!(wrong.is_empty(), "a mod.rs holds more:\n{}", wrong.join("\n"));
}

fn may_use(module: &str, allowed: &[&str], path: &str) -> bool {
    let below = |whole: &str| path == whole || path.starts_with(&format!("{whole}::"));
    below(module) || allowed.iter().any(|name| *name == "*" || below(name))
}

/// Returns all files of `src/` that are not only for tests.
fn production_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let sources: Vec<Source> = paths.iter().map(|path| Source::read(&root, path)).collect();
    let tests: Vec<PathBuf> = sources.iter().flat_map(Source::test_modules).collect();
    // `x` names both the file x.rs and the folder x.
    let is_test = |path: &Path| {
        tests.iter().any(|test| path.starts_with(test) || path.with_extension("") == *test)
    };
    sources.into_iter().filter(|source| !is_test(&source.path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
