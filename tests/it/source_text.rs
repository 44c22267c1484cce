//! Just enough reading of Rust to see which modules a file uses.
//!
//! Not a parser: comments and literals are blanked, test modules cut out, and what is
//! left is searched. That is exact for the code style of this crate.

use std::{
    fs,
    path::{Path, PathBuf},
};

const TEST_ONLY: &str = "#[cfg(test)]";

/// One file of `src/`.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Below `src/`.
    relative: PathBuf,
    text: String,
    /// Without comments, literals and what is only for tests; as long as `text`.
    code: String,
    /// `mod x;` behind `#[cfg(test)]`: name, and the file when `#[path]` names one.
    test_modules: Vec<(String, Option<String>)>,
}

/// A path that starts at the crate's root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    /// Without `crate::`.
    pub(crate) path: String,
}

impl Source {
    pub(crate) fn read(root: &Path, path: &Path) -> Self {
        let relative = path.strip_prefix(root).unwrap().to_owned();
        Self::new(path.to_owned(), relative, fs::read_to_string(path).unwrap())
    }

    fn new(path: PathBuf, relative: PathBuf, text: String) -> Self {
        let (code, test_modules) = without_tests(&text, blank(&text));
        Self { path, relative, text, code, test_modules }
    }

    /// Returns the top-level module: `fetch` for `fetch/http.rs`, `clock` for `clock.rs`.
    pub(crate) fn module(&self) -> String {
        let first = self.relative.components().next().unwrap();
        Path::new(first.as_os_str()).with_extension("").display().to_string()
    }

    pub(crate) fn shown(&self) -> String {
        format!("src/{}", self.relative.display())
    }

    /// Returns where the modules are that only tests have, without extension.
    pub(crate) fn test_modules(&self) -> Vec<PathBuf> {
        let folder = self.path.parent().unwrap();
        let name = self.path.file_stem().unwrap();
        let is_root = ["mod", "lib", "main"].iter().any(|root| name == *root);
        let children = if is_root { folder.to_owned() } else { folder.join(name) };
        let place = |(name, file): &(String, Option<String>)| match file {
            Some(file) => folder.join(file).with_extension(""),
            None => children.join(name),
        };
        self.test_modules.iter().map(place).collect()
    }

    pub(crate) fn lines_before_tests(&self) -> usize {
        self.text.lines().take_while(|line| *line != TEST_ONLY).count()
    }

    /// Returns every path from the crate's root, `super::super::…` up to it included.
    pub(crate) fn references(&self) -> Vec<Reference> {
        let ups = "super::".repeat(self.depth());
        let mut found = Vec::new();
        for start in ["crate::", ups.as_str()].into_iter().filter(|start| !start.is_empty()) {
            for (at, _) in self.code.match_indices(start) {
                if self.code[..at].ends_with([':', '$', '_']) || ends_a_word(&self.code[..at]) {
                    continue;
                }
                let line = 1 + self.code[..at].matches('\n').count();
                let tree = &self.code[at + start.len()..];
                let mut paths = Vec::new();
                expand(tree, "", &mut paths);
                found.extend(paths.into_iter().map(|path| Reference { line, path }));
            }
        }
        found
    }

    /// Returns how many `super` lead to the root.
    fn depth(&self) -> usize {
        let parts = self.relative.components().count();
        let name = self.relative.file_stem().unwrap();
        match name.to_str() {
            Some("lib" | "main") if parts == 1 => 0,
            Some("mod") => parts - 1,
            _ => parts,
        }
    }

    /// Returns the start of each statement that is neither `mod` nor `use`.
    pub(crate) fn statements_other_than_declarations(&self) -> Vec<String> {
        let mut others = Vec::new();
        let mut rest = self.code.trim_start();
        while !rest.is_empty() {
            while rest.starts_with("#[") || rest.starts_with("#![") {
                rest = rest[rest.find(']').unwrap() + 1..].trim_start();
            }
            let end = rest.find(';').map_or(rest.len(), |at| at + 1);
            let words = rest[..end].trim_start_matches("pub(crate)").trim_start();
            let words = words.trim_start_matches("pub(super)").trim_start_matches("pub ").trim();
            let declares = words.starts_with("mod ") || words.starts_with("use ");
            if !declares || words.starts_with("mod ") && words.contains('{') {
                others.push(rest.lines().next().unwrap_or_default().to_owned());
            }
            rest = rest[end..].trim_start();
        }
        others
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn ends_a_word(text: &str) -> bool {
    text.ends_with(is_word)
}

/// Adds every path of a use tree, or the one path of an expression: `a::{b, c::d}` is
/// `a::b` and `a::c::d`. Returns what follows it.
fn expand<'a>(tree: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = expand(rest, prefix, paths);
            // ` as name` and the comma.
            rest = rest.trim_start_matches(|c: char| c != ',' && c != '}');
            rest = rest.strip_prefix(',').unwrap_or(rest);
            assert!(rest.len() < before, "a use tree that cannot be read: {tree}");
        }
    }
    let end = tree.find(|c| !is_word(c)).unwrap_or(tree.len());
    let path = match (prefix, &tree[..end]) {
        (_, "self") => prefix.to_owned(),
        ("", word) => word.to_owned(),
        (prefix, word) => format!("{prefix}::{word}"),
    };
    match tree[end..].strip_prefix("::") {
        // A turbofish ends the path.
        Some(rest) if !rest.starts_with('<') => expand(rest, &path, paths),
        _ => {
            paths.push(path);
            &tree[end..]
        }
    }
}

/// Replaces comments and literals by spaces; lines and positions stay.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = ends_a_word(&code);
        let length = literal(rest, after_word).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        for byte in rest[..length].bytes() {
            code.push(if byte == b'\n' { '\n' } else { ' ' });
        }
        rest = &rest[length..];
    }
    code
}

/// Returns the length of the comment or literal that `text` begins with.
fn literal(text: &str, after_word: bool) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |at| at + 2));
    }
    if let Some(inner) = text.strip_prefix('"') {
        return Some(1 + quoted(inner, '"'));
    }
    if text.starts_with('r') && !after_word {
        let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
        let inner = text[1 + hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let close = inner.find(&end).map_or(inner.len(), |at| at + end.len());
        return Some(2 + hashes + close);
    }
    let inner = text.strip_prefix('\'')?;
    // `'a` of a lifetime has no second quote right behind it.
    let mut characters = inner.chars();
    let is_literal = match characters.next()? {
        '\\' => true,
        _ => characters.next() == Some('\''),
    };
    is_literal.then(|| 1 + quoted(inner, '\''))
}

/// Returns the length up to and with the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if !escaped && character == quote {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    text.len()
}

/// Blanks every item behind `#[cfg(test)]`; returns the modules among them that have
/// files of their own.
fn without_tests(text: &str, mut code: String) -> (String, Vec<(String, Option<String>)>) {
    let mut modules = Vec::new();
    while let Some(start) = code.find(TEST_ONLY) {
        let mut at = start + TEST_ONLY.len();
        let mut file = None;
        loop {
            at += code[at..].len() - code[at..].trim_start().len();
            if !code[at..].starts_with("#[") {
                break;
            }
            let end = at + code[at..].find(']').unwrap() + 1;
            let attribute = &text[at..end];
            if attribute.starts_with("#[path") {
                file = attribute.split('"').nth(1).map(str::to_owned);
            }
            at = end;
        }
        let end = at + item_length(&code[at..]);
        if let Some(name) =
            code[at..end].strip_suffix(';').and_then(|item| item.split("mod ").nth(1))
        {
            modules.push((name.trim().to_owned(), file));
        }
        let spaces: String =
            code[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &spaces);
    }
    (code, modules)
}

/// Returns the length of an item: to its semicolon or its closing brace.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, character) in code.char_indices() {
        match character {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(relative: &str, text: &str) -> Source {
        let relative = PathBuf::from(relative);
        Source::new(Path::new("/src").join(&relative), relative, text.to_owned())
    }

    fn paths(relative: &str, text: &str) -> Vec<String> {
        source(relative, text).references().into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn use_trees_and_paths_in_code_are_found() {
        let text = "
            use crate::{\n a::b::C,\n d::{self, e::{F, G}}, h as i,\n};
            pub(crate) use crate::j::*;
            fn f<'a>(x: &'a str) -> crate::k::L { crate::m::<u8>(); $crate::no(); o::crate::no }
        ";
        assert_eq!(
            paths("x/y.rs", text),
            ["a::b::C", "d", "d::e::F", "d::e::G", "h", "j::", "k::L", "m"]
        );
    }

    #[test]
    fn comments_literals_and_tests_do_not_count() {
        let text = "
            //! [`x`](crate::a)
            /* crate::b */ const S: &str = \"\\\" crate::c\";
            const R: &str = r#\"crate::d \" \"#; const C: char = '\"'; const Q: char = '\\'';
            use crate::e;
            #[cfg(test)]
            mod tests { use crate::f; fn g() { if true { crate::h() } } }
            #[cfg(test)]
            #[path = \"other.rs\"]
            mod more;
            use crate::i;
        ";
        assert_eq!(paths("x/y.rs", text), ["e", "i"]);
        let tests = source("x/y.rs", text).test_modules();
        assert_eq!(tests, [Path::new("/src/x/other")]);
        assert_eq!(
            source("x/mod.rs", "#[cfg(test)]\nmod t;").test_modules(),
            [Path::new("/src/x/t")]
        );
    }

    #[test]
    fn super_that_reaches_the_root_counts() {
        assert_eq!(paths("x/y.rs", "use super::super::a::B; use super::c;"), ["a::B"]);
        assert_eq!(paths("x/mod.rs", "use super::a;"), ["a"]);
        assert_eq!(paths("lib.rs", "use crate::a;"), ["a"]);
    }

    #[test]
    fn statements_are_told_apart() {
        let text = "//! Docs.\n#[cfg(test)]\nmod t;\nmod a;\npub(crate) use a::{b, c};\nconst X: u8 = 1;\nmod d { fn f() {} }";
        let others = source("x/mod.rs", text).statements_other_than_declarations();
        assert_eq!(others, ["const X: u8 = 1;", "mod d { fn f() {} }"]);
    }
}
