//! Any bytes as a manifest: no panic, growing lines, rows as wide as the header, names
//! that stay in the output folder. And what failures.csv says of its rows is a manifest
//! that says the same.

#![no_main]

use std::{fs::File, io::Cursor, path::Path};

use libfuzzer_sys::fuzz_target;
use restore_batch::{
    core::{Edition, Failure, FailureClass, FailureCode, Item, ItemId, ItemState, Photo},
    manifest::{Manifest, ReadOptions, Row, Source},
    report::{Sheet, SheetKind, SheetRow},
};

/// Where the manifest seems to lie.
const FOLDER: &str = "/photos";

struct Read {
    columns: Vec<String>,
    source_column: usize,
    rows: Vec<Row>,
}

fuzz_target!(|input: (Option<bool>, &[u8])| {
    let (json_lines, bytes) = input;
    // Small limits, so that short inputs reach them.
    let limits = ReadOptions {
        max_field_bytes: 1 << 10,
        max_row_bytes: 4 << 10,
        ..ReadOptions::new(FOLDER, 2, "v1.4")
    };
    let manifest =
        Manifest::from_reader("fuzz", json_lines, Box::new(Cursor::new(bytes.to_vec())), limits);
    let Ok(manifest) = manifest else { return };
    let read = read(manifest);
    let mut last = 0;
    for row in &read.rows {
        assert!(row.line > last, "line {} after {last}", row.line);
        last = row.line;
        assert_eq!(row.cells.len(), read.columns.len());
        if let Ok(item) = &row.item {
            assert!((1..=4).contains(&item.scale));
            let parts: Vec<&str> = item.stem.split('/').collect();
            assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{parts:?}");
        }
    }
    failures_are_a_manifest(&read);
});

/// Reads to the end, or to where the rest is not usable.
fn read(mut manifest: Manifest) -> Read {
    let columns = manifest.columns().to_vec();
    let source_column = manifest.source_column();
    let rows: Vec<Row> = manifest.by_ref().map_while(Result::ok).collect();
    assert!(manifest.next().is_none(), "nothing follows the end");
    Read { columns, source_column, rows }
}

/// Writes failures.csv as if every good row had been refused, and reads it.
fn failures_are_a_manifest(original: &Read) {
    let good: Vec<(&Row, Item)> =
        original.rows.iter().filter_map(|row| Some((row, refused(row)?))).collect();
    if good.is_empty() {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut sheet = Sheet::new(
        SheetKind::Failures,
        folder.path(),
        Path::new(FOLDER),
        &original.columns,
        original.source_column,
    );
    sheet.begin_rewrite().unwrap();
    let rows = good.iter().map(|(row, item)| SheetRow { cells: &row.cells, first: true, item });
    sheet.rewrite_rows(rows).unwrap();
    sheet.finish_rewrite().unwrap();

    let file = Box::new(File::open(sheet.path()).unwrap());
    let options = ReadOptions::new(folder.path(), 2, "v1.4");
    let again = read(Manifest::from_reader("failures.csv", Some(false), file, options).unwrap());
    assert_eq!(again.columns, original.columns);
    assert_eq!(again.rows.len(), good.len());
    for (again, (before, _)) in again.rows.iter().zip(&good) {
        let (now, then) = (again.item.as_ref().unwrap(), before.item.as_ref().unwrap());
        assert_eq!((now.scale, &now.version), (then.scale, &then.version));
        for (index, (now, then)) in again.cells.iter().zip(&before.cells).enumerate() {
            assert!(index == original.source_column || now == then, "{now:?} was {then:?}");
        }
        // A path is written anew, as seen from the other folder.
        if matches!(then.source, Source::Url(_) | Source::Bucket(_)) {
            assert_eq!((&now.source, &again.key), (&then.source, &before.key));
        }
    }
}

/// Returns the item of a good row as one that the service has refused.
fn refused(row: &Row) -> Option<Item> {
    let item = row.item.as_ref().ok()?;
    let photo = Photo {
        source: item.text.clone(),
        scale: item.scale,
        version: item.version.clone(),
        stem: item.stem.clone(),
    };
    let mut item = Item::new(ItemId(1), Edition(1), photo, ItemState::Failed);
    let failure = Failure::new(FailureClass::Permanent, FailureCode::Rejected, "=refused,\n\"x\"");
    item.failure = Some(failure);
    Some(item)
}
