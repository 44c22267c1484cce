//! The bytes of a bucket: entries of one size, in the order of their names.

use super::name::{Entry, Name};
use crate::sqlite::SqliteError;

const NAME_BYTES: usize = 16;

/// Ids and counts below 2^48.
const VALUE_BYTES: usize = 6;

const ENTRY_BYTES: usize = NAME_BYTES + VALUE_BYTES;

/// Writes sorted entries.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.name.0.to_be_bytes());
        bytes.extend_from_slice(&entry.value.to_be_bytes()[8 - VALUE_BYTES..]);
    }
    bytes
}

/// Reads all entries.
pub(super) fn decode(bytes: &[u8]) -> Result<impl Iterator<Item = Entry>, SqliteError> {
    Ok(rows(bytes)?.iter().map(entry))
}

/// Searches for those of the sorted `names` that are here, and hands them to `found`.
pub(super) fn find(
    bytes: &[u8],
    names: &[Name],
    mut found: impl FnMut(Entry),
) -> Result<(), SqliteError> {
    let rows = rows(bytes)?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    let (first, last) = (entry(first).name, entry(last).name);
    let from = names.partition_point(|name| *name < first);
    for name in names[from..].iter().take_while(|name| **name <= last) {
        if let Ok(index) = rows.binary_search_by_key(name, |row| entry(row).name) {
            found(entry(&rows[index]));
        }
    }
    Ok(())
}

fn rows(bytes: &[u8]) -> Result<&[[u8; ENTRY_BYTES]], SqliteError> {
    match bytes.as_chunks() {
        (rows, []) => Ok(rows),
        _ => Err(SqliteError::Damaged("a bucket of names is cut off".to_owned())),
    }
}

fn entry(row: &[u8; ENTRY_BYTES]) -> Entry {
    let (mut name, mut value) = ([0; NAME_BYTES], [0; 8]);
    name.copy_from_slice(&row[..NAME_BYTES]);
    value[8 - VALUE_BYTES..].copy_from_slice(&row[NAME_BYTES..]);
    Entry { name: Name(u128::from_be_bytes(name)), value: u64::from_be_bytes(value) }
}
