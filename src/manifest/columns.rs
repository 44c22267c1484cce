//! Which column means what.

use super::error::ManifestError;
use crate::core::{FAILURE_COLUMNS, RESULT_COLUMNS, unescape_formula};

/// Names of the column of sources, the preferred first.
pub(super) const SOURCE_NAMES: [&str; 5] = ["img", "image", "url", "path", "source"];

/// The columns of a manifest.
#[derive(Debug)]
pub(super) struct Columns {
    /// Names as read, without those that this program added itself.
    pub(super) names: Vec<String>,
    /// How many cells a row of the file has, with those.
    pub(super) width: usize,
    /// True when the file is a results.csv or failures.csv.
    pub(super) written_by_us: bool,
    pub(super) source: usize,
    pub(super) id: Option<usize>,
    pub(super) scale: Option<usize>,
    pub(super) version: Option<usize>,
    pub(super) output: Option<usize>,
}

impl Columns {
    /// Returns the columns of a file that is a mere list of sources.
    pub(super) fn of_a_list() -> Self {
        Self {
            names: vec![SOURCE_NAMES[0].to_owned()],
            width: 1,
            written_by_us: false,
            source: 0,
            id: None,
            scale: None,
            version: None,
            output: None,
        }
    }

    /// Reads the header of a table, which may be one that this program wrote.
    pub(super) fn of_table(
        file: &str,
        line: u64,
        mut names: Vec<String>,
    ) -> Result<Self, ManifestError> {
        let width = names.len();
        names.truncate(width - count_of_ours(&names));
        let written_by_us = names.len() < width;
        if written_by_us {
            restore_cells(&mut names);
        }
        let columns = Self::of_names(file, line, names)?;
        Ok(Self { width, written_by_us, ..columns })
    }

    /// Finds out what the columns named on `line` mean.
    pub(super) fn of_names(
        file: &str,
        line: u64,
        names: Vec<String>,
    ) -> Result<Self, ManifestError> {
        let header = Header { file, line, names: &names };
        let source = header.source()?;
        let (id, scale) = (header.option("id")?, header.option("scale")?);
        let (version, output) = (header.option("version")?, header.option("output")?);
        let width = names.len();
        Ok(Self { names, width, written_by_us: false, source, id, scale, version, output })
    }
}

/// Returns true for a name of the column of sources.
pub(super) fn is_source_name(cell: &str) -> bool {
    SOURCE_NAMES.iter().any(|name| matches(cell, name))
}

fn matches(cell: &str, name: &str) -> bool {
    cell.trim().eq_ignore_ascii_case(name)
}

/// Returns how many columns at the end are this program's own.
///
/// They are dropped, so that failures.csv is a manifest that never grows, and so
/// that the `output` of results.csv is not taken for the option of that name.
fn count_of_ours(names: &[String]) -> usize {
    let ends_with = |ours: &[&str]| {
        let split = names.len().checked_sub(ours.len()).map(|start| names.split_at(start));
        split.is_some_and(|(theirs, tail)| {
            let taken =
                |name: &str| theirs.iter().any(|other| matches(&unescape_formula(other), name));
            // As `report` names them.
            let written = |name: &str| {
                if taken(name) { format!("restore_{name}") } else { name.to_owned() }
            };
            tail.iter().eq(ours.iter().map(|name| written(name)).collect::<Vec<_>>().iter())
        })
    };
    if ends_with(&FAILURE_COLUMNS) {
        FAILURE_COLUMNS.len()
    } else if ends_with(&RESULT_COLUMNS) {
        RESULT_COLUMNS.len()
    } else {
        0
    }
}

/// Takes back what was done to the cells when the file was written, so that they
/// are those of the first manifest however often failures.csv becomes a manifest.
pub(super) fn restore_cells(cells: &mut [String]) {
    for cell in cells {
        let original = unescape_formula(cell);
        if original.len() < cell.len() {
            *cell = original.into_owned();
        }
    }
}

struct Header<'a> {
    file: &'a str,
    line: u64,
    names: &'a [String],
}

impl Header<'_> {
    fn source(&self) -> Result<usize, ManifestError> {
        for name in SOURCE_NAMES {
            if let Some(index) = self.option(name)? {
                return Ok(index);
            }
        }
        Err(ManifestError::NoSourceColumn {
            file: self.file.to_owned(),
            line: self.line,
            found: self.names.to_vec(),
            accepted: &SOURCE_NAMES,
        })
    }

    fn option(&self, name: &str) -> Result<Option<usize>, ManifestError> {
        let mut found = (0..self.names.len()).filter(|&index| matches(&self.names[index], name));
        let first = found.next();
        if found.next().is_some() {
            return Err(ManifestError::DuplicateColumn {
                file: self.file.to_owned(),
                line: self.line,
                column: name.to_owned(),
            });
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<Columns, ManifestError> {
        Columns::of_table("m.csv", 1, header.split(',').map(str::to_owned).collect())
    }

    #[test]
    fn names_are_found_in_any_case_and_order_of_preference() {
        let columns = read("note, Scale ,URL,IMG,id,VERSION,Output").unwrap();
        assert_eq!(columns.source, 3);
        assert_eq!((columns.scale, columns.id), (Some(1), Some(4)));
        assert_eq!((columns.version, columns.output), (Some(5), Some(6)));
        assert_eq!(columns.names[1], " Scale ");
        for name in SOURCE_NAMES {
            assert_eq!(read(&format!("a,{name}")).unwrap().source, 1);
        }
    }

    #[test]
    fn a_header_without_sources_says_what_it_has_and_needs() {
        let error = read("foto,note").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 1 of the manifest `m.csv` names no column of sources: found `foto`, `note`, \
             need one of `img`, `image`, `url`, `path`, `source`"
        );
        assert_eq!(error.line(), Some(1));
    }

    #[test]
    fn only_columns_that_matter_must_be_unique() {
        let twice = |header| matches!(read(header), Err(ManifestError::DuplicateColumn { .. }));
        assert!(twice("img,Img"));
        assert!(twice("img,scale,Scale"));
        assert!(!twice("img,note,note,,"));
        // `img` decides, so `url` is any column.
        assert!(!twice("img,url,url"));
    }

    #[test]
    fn our_own_columns_at_the_end_are_dropped() {
        for ours in [FAILURE_COLUMNS.join(","), RESULT_COLUMNS.join(",")] {
            let columns = read(&format!("img,note,{ours}")).unwrap();
            assert_eq!(columns.names, ["img", "note"]);
            assert_eq!(columns.output, None);
            assert!(columns.written_by_us);
            assert_eq!(columns.width, 2 + ours.split(',').count());
            let other = read(&format!("img,{ours},note")).unwrap();
            assert_eq!(other.names.len(), other.width);
            assert!(!other.written_by_us);
            let clash = format!("img,Code,status,{ours}");
            let (theirs, tail) = clash.split_at("img,Code,status,".len());
            let renamed: Vec<String> = tail
                .split(',')
                .map(|name| match name {
                    "code" | "status" => format!("restore_{name}"),
                    name => name.to_owned(),
                })
                .collect();
            let columns = read(&format!("{theirs}{}", renamed.join(","))).unwrap();
            assert_eq!(columns.names, ["img", "Code", "status"]);
            assert!(columns.written_by_us);
        }
        assert!(matches!(
            read(&FAILURE_COLUMNS.join(",")),
            Err(ManifestError::NoSourceColumn { .. })
        ));
    }
}
