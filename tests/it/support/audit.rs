//! Reads back what a job has written, and refuses everything that is not whole.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::World;

/// A CSV file, read as strictly as can be.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Sheet {
    /// Reads a file; one that is not there yet has no rows.
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Self {
        if !path.exists() {
            return Self::default();
        }
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'), "{} ends in the middle of a line", path.display());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let header = cells(reader.headers().unwrap());
        // Not flexible: a row with more or fewer cells than the header is an error.
        let rows = reader.records().map(|record| cells(&record.unwrap())).collect();
        Self { header, rows }
    }

    /// Returns a column, row by row.
    #[track_caller]
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let index = self.header.iter().position(|column| column == name);
        let index = index.unwrap_or_else(|| panic!("no column `{name}` in {:?}", self.header));
        self.rows.iter().map(|row| row[index].as_str()).collect()
    }
}

/// Both files of a job, checked.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) results: Sheet,
    pub(crate) failures: Sheet,
}

/// Reads both files of the job in the folder `job`, and checks every artifact that they
/// or the images folder name: it decodes, and its content is what was recorded.
///
/// Holds at every moment, also after the program was killed.
#[track_caller]
pub(crate) fn audit(world: &World, job: &str) -> Audit {
    let folder = world.path(job);
    let results = Sheet::read(&folder.join("results.csv"));
    let failures = Sheet::read(&folder.join("failures.csv"));
    if !results.rows.is_empty() {
        for (output, blake3) in results.column("output").iter().zip(results.column("blake3")) {
            let content = fs::read(folder.join(output)).unwrap();
            assert_eq!(blake3::hash(&content).to_string(), blake3, "{output}");
        }
    }
    for path in visible_files(&folder.join("images")) {
        let decoded = image::open(&path);
        assert!(decoded.is_ok(), "{} is not whole: {decoded:?}", path.display());
    }
    Audit { results, failures }
}

impl Audit {
    /// Checks that each of `rows` manifest rows, told apart by the column `number`, is in
    /// exactly one of the two files, and returns how many are in each.
    #[track_caller]
    pub(crate) fn every_row_ended_once(&self, rows: usize) -> (usize, usize) {
        let mut numbers: Vec<usize> = [&self.results, &self.failures]
            .into_iter()
            .flat_map(|sheet| sheet.column("number"))
            .map(|number| number.parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..rows).collect::<Vec<_>>());
        (self.results.rows.len(), self.failures.rows.len())
    }
}

/// Returns all files below a folder but those that are still being written.
pub(crate) fn visible_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(visible_files(&path));
        } else if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Returns every file below a folder, hidden ones included.
pub(crate) fn all_files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
