//! How near the local engine comes to the truth, against Lanczos and the version before.
//!
//! ```text
//! cargo bench --bench quality                                  committed examples
//! QUALITY_PHOTOS=DIR cargo bench --bench quality               and all photographs of DIR
//! cargo bench --bench quality -- --write docs/quality.md       and rewrite the page
//! ```
//!
//! Each photograph is made worse in the four degrees of `testing::degrade`, restored at
//! scale 2, and compared with what it was. Tables and a contact sheet go to
//! `target/quality/`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod measure;
mod page;
mod photos;
mod sheet;

use std::{env, fs, path::Path, path::PathBuf};

use restore_batch::testing::degrade::Degree;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let target = PathBuf::from(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let folder = target.join("quality");
    fs::create_dir_all(&folder)?;
    let mut sets = Vec::new();
    let mut strips = Vec::new();
    for set in photos::sets()? {
        let mut rows = Vec::new();
        for (photo, truth) in &set.photos {
            for degree in Degree::ALL {
                eprintln!("{photo}, {}", degree.name());
                let (row, strip) = measure::measure(photo, truth, degree)?;
                rows.push(row);
                strips.push(strip);
            }
        }
        sets.push((set.title, rows));
    }
    let tables = page::tables(&sets);
    println!("{tables}");
    fs::write(folder.join("tables.md"), &tables)?;
    sheet::stack(&strips).save(folder.join("contact-sheet.png"))?;
    if let Some(path) = page_to_write() {
        let path = Path::new(&path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, page::page(&tables))?;
        eprintln!("wrote `{}`", path.display());
    }
    eprintln!("tables and contact sheet are in `{}`", folder.display());
    Ok(())
}

/// Returns what follows `--write`.
fn page_to_write() -> Option<String> {
    let mut words = env::args().skip_while(|word| word != "--write");
    words.nth(1)
}
