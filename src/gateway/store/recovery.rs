//! What a start finds in the results folder: leftovers, and results whose requests had not
//! ended yet.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    folder::{State, StateError, at_path},
    orphans::set_aside,
    record::{Ended, ID_PREFIX, ResultFacts},
    rows::Kept,
};
use crate::{api::wire::Status, fetch::sweep_leftovers};

/// First and last bytes of every PNG file: its signature, and its empty last chunk with
/// length and checksum (PNG, third edition, sections 5.2 and 11.2.5).
const PNG_START: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// Sweeps what a crash has left, and ends the requests whose results are there.
///
/// # Errors
///
/// [`StateError`] when the folder cannot be read or the database not be written.
pub(in crate::gateway) async fn recover(
    state: &State,
    kept: &mut Kept,
    now: Timestamp,
) -> Result<(), StateError> {
    let results = state.results();
    let known: HashMap<_, _> =
        kept.records.iter().map(|record| (record.id.clone(), record.status)).collect();
    let folder = results.clone();
    let looked = tokio::task::spawn_blocking(move || look(&folder, &known, now)).await;
    let found = looked
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|source| StateError::Folder { path: results, source })?;
    for record in &mut kept.records {
        let Some(result) = found.get(&record.id) else { continue };
        tracing::info!(request.id = %record.id, "its result was there already");
        // What the engine said of it went with the process.
        let (error, report) = (None, None);
        let status = Status::Completed;
        let refund = record.end(Ended { at: now, status, error, result: Some(*result), report });
        let ended = state.store.end(record.clone(), refund).await;
        ended.map_err(|error| at_path(&error, state.folder()))?;
    }
    Ok(())
}

/// Removes every result that its request does not need, sets aside what no request knows,
/// and returns the results of requests that have not ended.
fn look(
    folder: &Path,
    states: &HashMap<String, Status>,
    now: Timestamp,
) -> io::Result<HashMap<String, ResultFacts>> {
    let swept = sweep_leftovers(folder)?;
    let (mut found, mut orphans) = (HashMap::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // What is not ours by its name stays: somebody may have chosen a folder in use.
        let ours = name.strip_suffix(".png").filter(|id| id.starts_with(ID_PREFIX));
        let Some(id) = ours.filter(|_| path.is_file()) else { continue };
        match states.get(id) {
            Some(Status::Completed) => {}
            Some(Status::Queued) => match whole(&path)? {
                Some(result) => drop(found.insert(id.to_owned(), result)),
                None => remove(path)?,
            },
            Some(Status::Processing | Status::Failed | Status::Error) => remove(path)?,
            None => orphans.push(path),
        }
    }
    set_aside(folder, &orphans, now)?;
    if swept > 0 {
        tracing::info!(swept, "removed results that were not finished");
    }
    Ok(found)
}

fn remove(path: PathBuf) -> io::Result<()> {
    tracing::info!(path = %path.display(), "removed a result that no request needs");
    fs::remove_file(path)
}

/// Returns the facts of a result file. It has its name, so it was written whole; one that
/// is none of ours shows at its ends.
fn whole(path: &Path) -> io::Result<Option<ResultFacts>> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes < (PNG_START.len() + PNG_END.len()) as u64 {
        return Ok(None);
    }
    let (mut start, mut end) = ([0; PNG_START.len()], [0; PNG_END.len()]);
    file.read_exact(&mut start)?;
    file.seek(SeekFrom::End(-12))?;
    file.read_exact(&mut end)?;
    if (start, end) != (PNG_START, PNG_END) {
        return Ok(None);
    }
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(Some(ResultFacts { bytes, blake3: hasher.finalize() }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat};

    use super::*;

    #[test]
    fn only_whole_results_of_open_requests_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut png = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(3, 2).write_to(&mut png, ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write("gfpgan_open.png", &png);
        write("gfpgan_cut.png", &png[..png.len() - 1]);
        write("gfpgan_empty.png", b"");
        write("gfpgan_done.png", &png);
        write("gfpgan_failed.png", &png);
        write("gfpgan_unknown.png", &png);
        write(".restore-batch-x.part", &png);
        write("holiday.png", &png);
        fs::create_dir(folder.path().join("gfpgan_folder")).unwrap();
        let states = [
            ("gfpgan_open", Status::Queued),
            ("gfpgan_cut", Status::Queued),
            ("gfpgan_empty", Status::Queued),
            ("gfpgan_done", Status::Completed),
            ("gfpgan_failed", Status::Failed),
        ];
        let states = states.map(|(id, status)| (id.to_owned(), status)).into();
        let found = look(folder.path(), &states, Timestamp::now()).unwrap();
        let bytes = png.len() as u64;
        let facts = ResultFacts { bytes, blake3: blake3::hash(&png) };
        assert_eq!(found, HashMap::from([("gfpgan_open".to_owned(), facts)]));
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected =
            ["gfpgan_done.png", "gfpgan_folder", "gfpgan_open.png", "holiday.png", "orphaned"];
        assert_eq!(left, expected);
        assert_eq!(fs::read(folder.path().join("orphaned/gfpgan_unknown.png")).unwrap(), png);
    }
}
