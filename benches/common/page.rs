//! The page that benchmarks of this program write together: `docs/performance.md`. Each
//! owns one section of it and leaves the rest alone.

use std::{env, fs, path::PathBuf};

use super::Result;

/// Prints the figures, and puts them into the page named by `--write`, if one is.
///
/// The section `name` lies between the lines `<!-- name -->` and `<!-- /name -->`.
///
/// # Errors
///
/// When the page has no such section, or cannot be read or written.
pub(crate) fn publish(name: &str, figures: &str) -> Result<()> {
    println!("{figures}");
    let Some(path) = page_to_write() else { return Ok(()) };
    let page = fs::read_to_string(&path)?;
    let page = replace_section(&page, name, figures)
        .ok_or_else(|| format!("`{}` has no section `{name}`", path.display()))?;
    fs::write(&path, page)?;
    eprintln!("wrote section `{name}` of `{}`", path.display());
    Ok(())
}

fn replace_section(page: &str, name: &str, figures: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = page.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}\n{}\n\n{close}{after}", figures.trim()))
}

/// Returns what follows `--write`.
fn page_to_write() -> Option<PathBuf> {
    env::args_os().skip_while(|word| word != "--write").nth(1).map(PathBuf::from)
}
