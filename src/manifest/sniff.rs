//! Looks at the first bytes of the input: what it is, and which delimiter it uses.

use std::io::{self, ErrorKind, Read};

use super::{
    columns::SOURCE_NAMES,
    error::ManifestError,
    splitter::{Limits, SplitRow, Splitter},
};

/// Most bytes looked at; headers longer than this are still read, only their
/// delimiter is judged by this much.
const HEAD: usize = 64 * 1024;

/// Cells are separated by one of these.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Written by Windows programs in front of UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How files of other kinds begin, so that a wrong name is told in words.
const OTHER_FILES: [(&[u8], &str); 14] = [
    (b"\xFF\xD8\xFF", "a JPEG picture"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a WebP picture or another RIFF file"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"PK\x03\x04", "a spreadsheet (xlsx, ods) or ZIP archive"),
    (b"\xD0\xCF\x11\xE0", "an old Excel or other Office file"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"%PDF-", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
];

/// Reads the beginning of the input: at least its first line, if that is not huge.
pub(super) fn read_head(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut length = 0;
    while length < HEAD && !holds_a_line(&head[..length]) {
        match input.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(length);
    Ok(head)
}

fn holds_a_line(head: &[u8]) -> bool {
    let text = without_mark(head).trim_ascii_start();
    let mut quoted = false;
    text.iter().any(|&byte| {
        quoted ^= byte == b'"';
        !quoted && matches!(byte, b'\n' | b'\r')
    })
}

/// Returns the bytes after the byte order mark, if there is one.
pub(super) fn without_mark(head: &[u8]) -> &[u8] {
    head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head)
}

/// Returns true when the text begins like a JSON object.
pub(super) fn begins_an_object(head: &[u8]) -> bool {
    without_mark(head).trim_ascii_start().starts_with(b"{")
}

/// Refuses what is certainly no manifest.
pub(super) fn refuse_other_files(file: &str, head: &[u8]) -> Result<(), ManifestError> {
    let text = without_mark(head).trim_ascii_start();
    let pairs = head.get(..4).unwrap_or_default();
    let wide = matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..])
        || matches!(pairs, [0, 1..=127, 0, 1..=127] | [1..=127, 0, 1..=127, 0]);
    if wide {
        return Err(ManifestError::Encoding { file: file.into(), line: 1, encoding: "UTF-16" });
    }
    let known = OTHER_FILES.iter().find(|(magic, _)| text.starts_with(magic));
    let kind = match known {
        Some((_, kind)) => kind,
        // ISO 14496-12: the second word of HEIC, AVIF, MP4 and their like.
        None if head.get(4..8) == Some(b"ftyp") => "a HEIC or AVIF picture or a film",
        None if begins_a_json_list(text) => "a JSON list",
        None => return Ok(()),
    };
    Err(ManifestError::OtherFile { file: file.into(), kind })
}

fn begins_a_json_list(text: &[u8]) -> bool {
    text.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"{"))
}

/// Returns what separates the cells: the delimiter that yields a column of sources,
/// else the one that yields most columns. `None` means that the first line is one
/// cell and no header, so that the file is a list of sources, commas and all.
pub(super) fn delimiter(head: &[u8], limits: Limits) -> Option<u8> {
    let mut best = (false, 1, None);
    for delimiter in DELIMITERS {
        let Some(row) = first_row(without_mark(head), delimiter, limits) else {
            continue;
        };
        let named = row.cells.iter().any(|cell| is_source_name(cell));
        if (named, row.count) > (best.0, best.1) {
            best = (named, row.count, Some(delimiter));
        }
    }
    best.2
}

fn is_source_name(cell: &[u8]) -> bool {
    SOURCE_NAMES.iter().any(|name| cell.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

fn first_row(mut text: &[u8], delimiter: u8, limits: Limits) -> Option<SplitRow> {
    let mut splitter = Splitter::new(Some(delimiter), limits);
    loop {
        let (used, row) = splitter.feed(text).ok()?;
        match row {
            Some(row) if row.is_blank() => text = &text[used..],
            Some(row) => return Some(row),
            None => return splitter.finish().ok()?,
        }
    }
}
