//! How fast a manifest is read into a ledger, how large both become, and how long the
//! items that are under way have to wait for it.
//!
//! ```text
//! cargo bench --bench import                        10^4, 10^5 and 10^6 rows
//! cargo bench --bench import -- 10000000
//! cargo bench --bench import -- 1000000 edited      then reads it again with every tenth row changed
//! ```
//!
//! Each length is measured in a process of its own, so that its peak resident set is its
//! own. Manifest and ledger lie in the folder for temporary files and are removed.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod advances;
mod figures;

use std::{
    io::{BufWriter, Write as _},
    path::Path,
    process::Command,
    sync::Arc,
};

use restore_batch::{
    core::Fence,
    ledger::{Ledger, SqliteLedger},
    manifest::{Input, Manifest, ReadOptions},
    run::{self, IntakeNotice, IntakePlan},
};
use tokio::time::Instant;

use crate::figures::{mebibytes, peak_kib, rate, size_of};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tells the process that it is to measure one length.
const CHILD: &str = "one-length";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let edited = words.iter().any(|word| word == "edited");
    let lengths: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if words.iter().any(|word| word == CHILD) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(measure(lengths[0], edited));
    }
    let lengths = if lengths.is_empty() { vec![10_000, 100_000, 1_000_000] } else { lengths };
    for rows in lengths {
        let mut child = Command::new(std::env::current_exe()?);
        child.args([CHILD, &rows.to_string()]).args(edited.then_some("edited"));
        if !child.status()?.success() {
            return Err(format!("measuring {rows} rows failed").into());
        }
    }
    Ok(())
}

async fn measure(rows: u64, edited: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("photos.csv");
    write_manifest(&manifest, rows, None)?;
    println!("{rows} rows, {:.0} bytes each", size_of(&manifest) as f64 / rows as f64);
    read_only(&manifest, rows)?;
    let path = folder.path().join("state/ledger.db");
    let ledger = Arc::new(SqliteLedger::open(&path).await?);
    let fence = ledger.begin_session().await?;
    import(&ledger, fence, &manifest, rows).await?;
    if edited {
        write_manifest(&manifest, rows, Some(10))?;
        import(&ledger, fence, &manifest, rows).await?;
    }
    Arc::into_inner(ledger).ok_or("the ledger is still used")?.close().await;
    println!("  ledger            {:.0} bytes a row", size_of(&path) as f64 / rows as f64);
    println!("  peak              {:.0} MiB resident", mebibytes(peak_kib()?));
    Ok(())
}

/// Writes rows of the usual shape. Of every `changed` rows one is another photo.
fn write_manifest(path: &Path, rows: u64, changed: Option<u64>) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "img,title")?;
    for row in 0..rows {
        let name = if changed.is_some_and(|step| row % step == 0) { "new" } else { "scan" };
        writeln!(
            file,
            "https://photos.example.org/archive/{name}-{row:08}.jpg,Photo number {row}"
        )?;
    }
    file.into_inner()?;
    Ok(())
}

fn open(path: &Path) -> Result<Manifest> {
    let base_dir = path.parent().ok_or("no folder")?;
    Ok(Manifest::open(&Input::File(path.to_owned()), ReadOptions::new(base_dir, 2, "v1.4"))?)
}

/// Reads, names and identifies every row, and keeps none.
fn read_only(manifest: &Path, rows: u64) -> Result<()> {
    let begun = Instant::now();
    let mut read = 0;
    for row in open(manifest)? {
        read += u64::from(run::new_row(row?).item.state.is_ok());
    }
    println!("  read only         {:.0} rows/s", rate(rows, begun.elapsed()));
    assert_eq!(read, rows);
    Ok(())
}

/// Imports as a run does, while items advance.
async fn import(
    ledger: &Arc<SqliteLedger>,
    fence: Fence,
    manifest: &Path,
    rows: u64,
) -> Result<()> {
    let manifest = open(manifest)?;
    let begun = Instant::now();
    let header = run::header_of(&manifest, "/".to_owned());
    let edition = ledger.begin_edition(fence, header).await?;
    let plan = IntakePlan::Read { manifest: Box::new(manifest), edition, defaults: String::new() };
    let (mut notices, reading) = run::start_intake(ledger.clone(), fence, plan);
    let mut advances = None;
    let mut first = None;
    while let Some(notice) = notices.recv().await {
        match notice {
            IntakeNotice::Rows(_) => {
                first.get_or_insert_with(|| begun.elapsed());
                advances.get_or_insert_with(|| advances::start(ledger.clone(), fence));
            }
            IntakeNotice::Complete(intake) => assert_eq!(intake.rows, rows),
            IntakeNotice::Failed(error) => return Err(error.into()),
        }
    }
    let took = begun.elapsed();
    reading.await?;
    println!("  imported          {:.0} rows/s", rate(rows, took));
    println!("  first rows after  {:.0?}", first.unwrap_or(took));
    if let Some(advances) = advances {
        let waits = advances.stop().await?;
        println!("  one advance took  {waits}");
    }
    Ok(())
}
