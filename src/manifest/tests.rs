//! Whole manifests, as text in and rows out.

use std::{
    io::{self, Cursor, Read, Write},
    path::PathBuf,
};

use proptest::prelude::*;

use super::*;
use crate::core::{ContentHash, Failure, FailureClass, FailureCode, ItemKey, escape_formula};

const BASE: &str = "/data/job";

fn options() -> ReadOptions {
    ReadOptions::new(BASE, 2, "v1.4")
}

fn open_with(
    text: impl AsRef<[u8]>,
    json_lines: Option<bool>,
    options: ReadOptions,
) -> Result<Manifest, ManifestError> {
    let input = Box::new(Cursor::new(text.as_ref().to_vec()));
    Manifest::from_reader("m.csv", json_lines, input, options)
}

fn open(text: impl AsRef<[u8]>) -> Result<Manifest, ManifestError> {
    open_with(text, None, options())
}

fn rows(text: impl AsRef<[u8]>) -> Vec<Row> {
    open(text).unwrap().collect::<Result<_, _>>().unwrap()
}

fn item(row: &Row) -> &RowItem {
    row.item.as_ref().unwrap()
}

fn complaint(row: &Row) -> &str {
    let Failure { class, code, message, .. } = row.item.as_ref().unwrap_err();
    assert_eq!((*class, *code), (FailureClass::Permanent, FailureCode::BadRow));
    message
}

fn complaints(text: impl AsRef<[u8]>) -> Vec<String> {
    let rows = rows(text);
    rows.iter().filter(|row| row.item.is_err()).map(|row| complaint(row).to_owned()).collect()
}

/// Says what reading to the end runs into.
fn fatal(text: impl AsRef<[u8]>) -> ManifestError {
    match open(text) {
        Err(error) => error,
        Ok(mut manifest) => manifest.find_map(Result::err).expect("the manifest is usable"),
    }
}

#[test]
fn a_row_becomes_an_item() {
    let rows =
        rows("note,img,scale,version,output\n a ,  x/1.jpg , 4 ,v2,out/one.png\n,y.jpg,,,\n");
    let one = item(&rows[0]);
    assert_eq!(one.source, Source::Path("/data/job/x/1.jpg".into()));
    assert_eq!((one.text.as_str(), one.scale, one.version.as_str()), ("x/1.jpg", 4, "v2"));
    assert_eq!(one.stem, "out/one");
    assert_eq!(rows[0].cells, [" a ", "  x/1.jpg ", " 4 ", "v2", "out/one.png"]);
    let two = item(&rows[1]);
    assert_eq!((two.scale, two.version.as_str(), two.stem.as_str()), (2, "v1.4", "y"));
    assert_eq!((rows[0].line, rows[1].line), (2, 3));
}

#[test]
fn every_dialect_reads_the_same() {
    let expected: Vec<_> = rows("img,note\na.jpg,\"x, y\"\nb.jpg,\n")
        .into_iter()
        .map(|row| (row.line, row.cells, row.key))
        .collect();
    for text in [
        "\u{feff}img,note\na.jpg,\"x, y\"\nb.jpg,\n",
        "img,note\r\na.jpg,\"x, y\"\r\nb.jpg,",
        "img,note\ra.jpg,\"x, y\"\rb.jpg,\r",
        "img;note\na.jpg;x, y\nb.jpg;\n",
        "img\tnote\na.jpg\tx, y\nb.jpg\t\n",
        "\"img\",\"note\"\n\"a.jpg\",\"x, y\"\n\"b.jpg\",\"\"\n",
    ] {
        let read: Vec<_> =
            rows(text).into_iter().map(|row| (row.line, row.cells, row.key)).collect();
        assert_eq!(read, expected, "{text:?}");
    }
}

#[test]
fn the_delimiter_is_the_one_that_yields_a_source() {
    assert_eq!(open("img;a, b, c\nx;y").unwrap().columns(), ["img", "a, b, c"]);
    assert_eq!(open("\"a;b;c\",url\n").unwrap().columns(), ["a;b;c", "url"]);
    assert_eq!(open("\"two\nlines, really\";IMG\n").unwrap().source_column(), 1);
}

#[test]
fn one_column_without_header_is_a_list() {
    let text = "https://x/a,b;c.jpg\n\n  \n\"quoted, too.jpg\"\nb.jpg";
    // The first line decides, and it holds delimiters: so it must be told apart.
    assert!(matches!(fatal(text), ManifestError::NoSourceColumn { .. }));
    let manifest = open(format!("first.jpg\n{text}")).unwrap();
    assert_eq!((manifest.columns(), manifest.source_column()), (&["img".to_owned()][..], 0));
    let read: Vec<_> = manifest.map(|row| row.unwrap()).map(|row| (row.line, row.cells)).collect();
    let expected =
        [(1, "first.jpg"), (2, "https://x/a,b;c.jpg"), (5, "quoted, too.jpg"), (6, "b.jpg")];
    assert_eq!(read, expected.map(|(line, cell)| (line, vec![cell.to_owned()])));
    assert_eq!(rows("Path\na.jpg\n").len(), 1);
}

#[test]
fn lines_count_quoted_line_ends_and_blank_lines() {
    let rows = rows("\n\nimg,note\n\na.jpg,\"1\n2\r\n3\"\n,,\n,\nb.jpg,x\n");
    let lines: Vec<_> = rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [5, 10]);
    assert_eq!(rows[0].cells[1], "1\n2\r\n3");
}

#[test]
fn a_bad_row_fails_alone() {
    let text = "img,scale,note\n\
        a.jpg,9,\n\
        b.jpg,2x,\n\
        c.jpg,2\n\
        d.jpg,2,n,surplus\n\
        ,2,n\n\
        ftp://x/e.jpg,2,\n\
        https://me:secret@x/f.jpg,,\n\
        g\0.jpg,2,\n\
        good.jpg,+3,\n";
    assert_eq!(
        complaints(text),
        [
            "line 2, column `scale`: `9` is not a factor from 1 to 4",
            "line 3, column `scale`: `2x` is not a factor from 1 to 4",
            "line 4: 2 cells where the header has 3",
            "line 5: 4 cells where the header has 3; quote a cell that contains `,`",
            "line 6, column `img`: is empty",
            "line 7, column `img`: `ftp:` is not supported; use `https://`, `http://`, `s3://` or a path",
            "line 8, column `img`: has a user name or password in the address; use a signed address instead",
            "line 9, column `img`: holds the control character '\\0'",
        ]
    );
    let rows = rows(text);
    assert_eq!(item(&rows[8]).scale, 3);
    assert_eq!(rows[2].cells, ["c.jpg", "2", ""]);
    assert_eq!(rows[3].cells, ["d.jpg", "2", "n,surplus"]);
}

#[test]
fn a_stray_quote_is_suspected() {
    // Without the check, the first two would swallow rows and say nothing.
    for (text, expected) in [
        (
            "img,note\na.jpg,\"x\nb.jpg,y\nc.jpg,\"z\"\nd.jpg,\n",
            "line 2, column `note`: text follows the closing quote",
        ),
        ("img,note\n\"a\"b.jpg,\n", "line 2, column `img`: text follows the closing quote"),
        (
            "img,note\n\"a.jpg,\nb.jpg,\nc.jpg,\"\n",
            "line 2: 1 cell where the header has 2; it goes on to line 4: is a quote missing?",
        ),
    ] {
        let found = complaints(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }
    assert_eq!(rows("img,note\n\"a.jpg\" , \"b\"\n")[0].cells, ["a.jpg ", " \"b\""]);
}

#[test]
fn rows_that_are_not_utf8_say_so() {
    let text = b"img,note\nM\xFCller.jpg,a\nb.jpg,\xE4\nc.jpg,d\n";
    assert_eq!(
        complaints(text),
        [
            "line 2, column `img`: is not UTF-8; save the manifest as UTF-8",
            "line 3, column `note`: is not UTF-8; save the manifest as UTF-8",
        ]
    );
    assert_eq!(rows(text)[0].cells[0], "M\u{fffd}ller.jpg");
    assert!(matches!(fatal(b"img,Gr\xF6\xDFe\na,b\n"), ManifestError::Encoding { line: 1, .. }));
}

#[test]
fn what_is_no_manifest_is_told_in_words() {
    for (bytes, expected) in [
        (&b""[..], "the manifest `m.csv` is empty"),
        (b"\xEF\xBB\xBF\r\n \n\n", "the manifest `m.csv` is empty"),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF\0", "`m.csv` is no manifest: it looks like a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "`m.csv` is no manifest: it looks like a PNG picture"),
        (b"PK\x03\x04\x14\0", "it looks like a spreadsheet (xlsx, ods) or ZIP archive"),
        (b"\0\0\0\x1cftypheic", "it looks like a HEIC or AVIF picture or a film"),
        (b"\n<!DOCTYPE html>", "it looks like an HTML page"),
        (b" [ {\"img\":1}]", "it looks like a JSON list"),
        (b"\x7fELF\x02\x01", "it looks like binary data"),
        (b"img\0,x\n", "it looks like binary data"),
        (b"\xFF\xFEi\0m\0g\0", "line 1 of the manifest `m.csv` is UTF-16, not UTF-8"),
        (b"\0i\0m\0g\0\n", "is UTF-16, not UTF-8"),
        (b"foto;note\na;b\n", "found `foto`, `note`, need one of `img`, `image`, `url`"),
        (b"img,x,IMG\n", "line 1 of the manifest `m.csv` has two columns `img`"),
        (b"img\na\n\"b\nc\n", "the quote opened on line 3 of the manifest `m.csv` is never closed"),
        (
            b"{\"img\":\"a\"\n",
            "line 1 of the manifest `m.csv` is no JSON object: the object is not",
        ),
        (b"{}\n", "names no column of sources: found , need one of"),
    ] {
        let error = fatal(bytes);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.help().is_empty());
    }
}

#[test]
fn a_header_alone_is_a_manifest_without_rows() {
    for text in ["img", "img\n", "url,note\r\n\r\n"] {
        let mut manifest = open(text).unwrap();
        assert!(manifest.next().is_none());
        assert!(manifest.fingerprint().is_some());
    }
}

#[test]
fn a_dash_is_standard_input() {
    assert_eq!(Input::from(PathBuf::from("-")), Input::Stdin);
    assert_eq!(Input::from(PathBuf::from("./-")), Input::File("./-".into()));
}

#[test]
fn files_that_cannot_be_opened_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path| Manifest::open(&Input::File(path), options()).err().unwrap();
    assert!(matches!(open(folder.path().to_owned()), ManifestError::Folder { .. }));
    assert!(matches!(open(folder.path().join("none.csv")), ManifestError::Open { .. }));
}

#[test]
fn size_limits_fail_the_row_and_the_next_one_is_read() {
    let limits = ReadOptions { max_field_bytes: 2000, max_row_bytes: 3000, ..options() };
    let field = "x".repeat(2001);
    let half = "x".repeat(1800);
    let text =
        format!("img,note\na.jpg,{field}\nb.jpg,\"{half}\n{field}\"\n{half},{half}\nc.jpg,d\n");
    let rows: Vec<Row> =
        open_with(text, None, limits.clone()).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(complaint(&rows[0]), "line 2, column `note`: is larger than 2000 bytes");
    assert_eq!(complaint(&rows[1]), "line 3, column `note`: is larger than 2000 bytes");
    assert_eq!(complaint(&rows[2]), "line 5: the row is larger than 3000 bytes");
    assert_eq!((item(&rows[3]).text.as_str(), rows[3].line), ("c.jpg", 6));
    assert!(rows.iter().all(|row| row.cells.iter().all(|cell| cell.len() <= 1024)));

    let json = format!(
        "{{\"img\":\"a.jpg\",\"note\":1}}\n{{\"img\":\"b\",\"note\":\"{field}\"}}\n\
         {{\"img\":\"{half}\",\"note\":\"{half}\"}}\n{{\"img\":\"c.jpg\"}}\n"
    );
    let rows: Vec<Row> = open_with(json, None, limits).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(complaint(&rows[1]), "line 2, column `note`: is larger than 2000 bytes");
    assert_eq!(complaint(&rows[2]), "line 3: the row is larger than 3000 bytes");
    assert_eq!(rows[3].cells, ["c.jpg", ""]);
}

#[test]
fn endless_input_is_given_up() {
    for (start, line) in [("img,note\na.jpg,\n\"b.jpg", 3), ("img\n\nno end", 3)] {
        let input = Box::new(Cursor::new(start).chain(io::repeat(b'x')));
        let limits = ReadOptions { max_field_bytes: 1000, max_row_bytes: 2000, ..options() };
        let manifest = Manifest::from_reader("-", None, input, limits).unwrap();
        let results: Vec<_> = manifest.collect();
        let error = results.into_iter().next_back().unwrap().unwrap_err();
        assert_eq!(error.line(), Some(line), "{error}");
    }
}

#[test]
fn a_read_error_ends_the_iteration() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cable pulled"))
        }
    }
    let input = Box::new(Cursor::new("img\na.jpg\nb").chain(Broken));
    let mut manifest = Manifest::from_reader("m.csv", None, input, options()).unwrap();
    assert!(manifest.next().unwrap().is_ok());
    assert!(matches!(manifest.next(), Some(Err(ManifestError::Read { line: 3, .. }))));
    assert!(manifest.next().is_none());
    assert_eq!(manifest.fingerprint(), None);
}

#[test]
fn the_same_item_has_the_same_key() {
    let rows = rows(
        "img,scale,version,id\n\
         a.jpg,,,\n./x/../a.jpg,2,v1.4,\n/data/job/a.jpg,2,,\na.jpg,3,,\na.jpg,,v1.3,\n\
         http://X/a.jpg#1,,,\nhttp://x:80/a.jpg,,,\n\
         b.jpg,,,7\nc.jpg,4,, 7\nc.jpg,4,,8\n",
    );
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    assert!(keys[0] == keys[1] && keys[0] == keys[2]);
    assert!(keys[0] != keys[3] && keys[0] != keys[4] && keys[3] != keys[4]);
    assert_eq!(keys[5], keys[6]);
    assert_eq!((keys[7], keys[7]), (keys[8], ItemKey::of("id", &["7"])));
    assert_ne!(keys[8], keys[9]);
    assert_eq!(keys[0], ItemKey::of("item", &["a.jpg", "2", "v1.4"]));
}

#[test]
fn equal_bad_rows_stay_two_rows() {
    let rows = rows("img,note\n,x\n,x\n");
    assert_ne!(rows[0].key, rows[1].key);
    assert_eq!(rows[0].key, ItemKey::of("bad-row", &["2", "", "x"]));
}

#[test]
fn json_lines_read_like_a_table() {
    let table = rows("img,scale,note\na.jpg,3,x\nb.jpg,,\n");
    let json = rows(
        "\u{feff}\n{\"img\":\"a.jpg\",\"scale\":3,\"note\":\"x\"}\r\n\
         {\"note\":null,\"img\":\"b.jpg\"}",
    );
    let essence =
        |rows: &[Row]| rows.iter().map(|row| (row.cells.clone(), row.key)).collect::<Vec<_>>();
    assert_eq!(essence(&table), essence(&json));
    assert_eq!((json[0].line, json[1].line), (2, 3));
}

#[test]
fn bad_json_lines_fail_alone() {
    let text = "{\"img\":\"a.jpg\",\"n\":1}\n{\"img\":\"b.jpg\",\"colour\":1}\nhello\n\
        {\"img\":\"c.jpg\",\"img\":\"d.jpg\"}\n{\"img\":[\"e.jpg\"],\"n\":{ }}\n{\"n\":2}\n";
    assert_eq!(
        complaints(text),
        [
            "line 2: the key `colour` is not in the first object",
            "line 3: expected an object, such as {\"img\":\"photo.jpg\"}",
            "line 4: the key `img` is there twice",
            "line 6, column `img`: is empty",
        ]
    );
    let rows = rows(text);
    assert_eq!(rows[2].cells, ["hello", ""]);
    assert_eq!(rows[4].cells, ["[\"e.jpg\"]", "{}"]);
    let latin = b"{\"img\":\"a\"}\n{\"img\":\"\xFC.jpg\"}\n";
    assert_eq!(complaints(latin), ["line 2: not UTF-8; save the manifest as UTF-8"]);
}

#[test]
fn json_lines_are_known_by_name_or_first_character() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Manifest::open(&Input::File(path), options()).map(|manifest| manifest.columns().to_vec())
    };
    for name in ["a.jsonl", "a.NDJSON", "a.json", "a"] {
        assert_eq!(read(name, "{\"url\":\"x\"}").unwrap(), ["url"], "{name}");
    }
    assert!(matches!(read("b.jsonl", "img\nx"), Err(ManifestError::NotJsonLines { .. })));
    assert_eq!(read("a.csv", "{x}.jpg").unwrap(), ["img"]);
}

#[test]
fn our_own_files_are_manifests() {
    let text = "img,note,code,reason,http_status,request_id,attempts,charged\n\
        '=a.jpg,'-x,rejected,no,400,,1,0\n\
        b.jpg,-5,rejected,no,400,,1\n";
    let manifest = open(text).unwrap();
    assert_eq!(manifest.columns(), ["img", "note"]);
    let rows: Vec<_> = manifest.map(|row| row.unwrap()).collect();
    assert_eq!(rows[0].cells, ["=a.jpg", "-x"]);
    assert_eq!(item(&rows[0]).text, "=a.jpg");
    assert_eq!(complaint(&rows[1]), "line 3: 7 cells where the header has 8");
    assert_eq!(rows[1].cells, ["b.jpg", "-5"]);

    let results = "img,status,output,media_url,request_id,attempts,submitted_at,completed_at,\
        seconds,width,height,bytes,blake3,cost_usd\n\
        a/b.jpg,,images/zzz.png,,,1,,,,,,,,0.0031\n";
    let row = open(results).unwrap().next().unwrap().unwrap();
    assert_eq!(item(&row).stem, "a/b");
    assert_eq!(row.cells, ["a/b.jpg"]);
}

/// Found by fuzzing: names of columns are escaped like cells.
#[test]
fn columns_that_look_like_formulas_come_back_from_our_own_files() {
    let text = "img,'=1+1,code,reason,http_status,request_id,attempts,charged\na.jpg,x,,,,,,\n";
    assert_eq!(open(text).unwrap().columns(), ["img", "=1+1"]);
    assert_eq!(open("img,'=1+1\na.jpg,x\n").unwrap().columns(), ["img", "'=1+1"]);
    let text = "img,'\tcode,restore_code,reason,http_status,request_id,attempts,charged\n\
        a.jpg,x,,,,,,\n";
    assert_eq!(open(text).unwrap().columns(), ["img", "\tcode"]);
}

/// Found by fuzzing: failures.csv would have a header that is refused.
#[test]
fn keys_that_no_table_could_have_are_refused() {
    let error = open("{\"img\":\"a.jpg\",\"x\\u0007\":1}\n").unwrap_err();
    assert!(error.to_string().contains("holds a control character"), "{error}");
}

#[test]
fn cells_that_look_like_formulas_are_kept_but_understood() {
    let rows = rows("img,note,output\n'=a.jpg,'=1+1,'-out\n=a.jpg,,\n");
    assert_eq!(rows[0].cells, ["'=a.jpg", "'=1+1", "'-out"]);
    assert_eq!((item(&rows[0]).text.as_str(), item(&rows[0]).stem.as_str()), ("=a.jpg", "-out"));
    assert_eq!(rows[0].key, rows[1].key);
}

#[test]
fn the_fingerprint_is_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.csv", "\u{feff}img,note\r\na.jpg,\"x\ny\"\r\n\n".repeat(5000)),
        ("b.jsonl", "{\"img\":\"a.jpg\"}\n".repeat(9000)),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, &text).unwrap();
        let mut manifest = Manifest::open(&Input::File(path.clone()), options()).unwrap();
        assert_eq!(manifest.fingerprint(), None);
        for row in manifest.by_ref() {
            row.unwrap();
        }
        let expected = fingerprint_file(&path).unwrap();
        assert_eq!(manifest.fingerprint(), Some(expected.clone()));
        assert_eq!(expected, ContentHash::from(blake3::hash(text.as_bytes())));
    }
}

/// Hands out one byte at a time, as a slow pipe may.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

#[test]
fn pipes_may_be_slow() {
    let text = "\u{feff}img;note\r\na.jpg;\"x\r\ny\"\r\n";
    let trickle = Box::new(Trickle(Cursor::new(text.into())));
    let slow: Vec<Row> = Manifest::from_reader("-", None, trickle, options())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(slow, rows(text));
}

/// Writes a table with the `csv` crate, as `report` does.
fn write_table(header: &[&str], rows: &[Vec<String>], delimiter: u8) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    writer.write_record(header).unwrap();
    for row in rows {
        writer.write_record(row).unwrap();
    }
    writer.into_inner().unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        cells in prop::collection::vec(prop::array::uniform2("(\\PC|[\"\r\n,;\t'=+@\0-]){0,8}"), 0..8),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
    ) {
        // The first cell is never empty, so that no row is blank.
        let written: Vec<Vec<String>> = cells
            .iter()
            .map(|[one, two]| vec!["p.jpg".to_owned(), one.clone(), two.clone()])
            .collect();
        let read = rows(write_table(&["img", "one", "two"], &written, delimiter));
        prop_assert!(read.iter().all(|row| row.item.is_ok()));
        let read: Vec<_> = read.into_iter().map(|row| row.cells).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn failures_are_manifests_for_ever(img in "('?[=+@-])?[a-c1.]{1,6}", note in "('{0,2}[=+@-])?\\PC{0,6}") {
        let header = ["img", "note", "code", "reason", "http_status", "request_id", "attempts", "charged"];
        let first = rows(write_table(&header[..2], &[vec![img, note]], b',')).remove(0);
        let mut row = first.clone();
        for _ in 0..3 {
            let mut cells: Vec<_> = row.cells.iter().map(|cell| escape_formula(cell).into_owned()).collect();
            cells.resize(header.len(), String::new());
            row = rows(write_table(&header, &[cells], b',')).remove(0);
            prop_assert_eq!(&row.cells, &first.cells);
            prop_assert_eq!((&row.key, &row.item.is_ok()), (&first.key, &first.item.is_ok()));
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_lose_its_place(
        bytes in prop::collection::vec(prop::sample::select(b"img,;\t\"\r\n{}:[\\a1\0\xFF\xC3\xA4 ".to_vec()), 0..80),
        header in prop::sample::select(vec!["", "img\n", "img;scale\n", "{\"img\":\"a\",\"scale\":1}\n"]),
    ) {
        let text = [header.as_bytes(), &bytes].concat();
        let Ok(manifest) = open(&text) else { return Ok(()) };
        let width = manifest.columns().len();
        let mut last = 0;
        for row in manifest {
            let Ok(row) = row else { break };
            prop_assert!(row.line > last, "line {} after {last}", row.line);
            prop_assert_eq!(row.cells.len(), width);
            last = row.line;
        }
    }
}

/// Writes rows as they are asked for, so that only the reader takes memory.
struct Generated {
    row: u64,
    rows: u64,
    buffer: Cursor<Vec<u8>>,
}

impl Read for Generated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.buffer.position() == self.buffer.get_ref().len() as u64 && self.row < self.rows {
            let row = self.row;
            self.row += 1;
            self.buffer = Cursor::new(Vec::new());
            writeln!(
                self.buffer,
                "https://cdn.example.com/archive/{:03}/photo-{row}.jpg,{},\"box {}, album\"",
                row % 1000,
                row % 4 + 1,
                row % 77
            )?;
            self.buffer.set_position(0);
        }
        self.buffer.read(buffer)
    }
}

#[test]
#[ignore = "measures; run with --release --run-ignored all, nextest prints the time"]
fn a_million_rows() {
    let input = Cursor::new("img,scale,note\n").chain(Generated {
        row: 0,
        rows: 1_000_000,
        buffer: Cursor::new(Vec::new()),
    });
    let manifest = Manifest::from_reader("m.csv", None, Box::new(input), options()).unwrap();
    assert_eq!(manifest.filter(|row| row.as_ref().unwrap().item.is_ok()).count(), 1_000_000);
}

/// Its own job knows that it may be paid for; a new job would not.
#[test]
fn what_is_in_doubt_in_failures_csv_is_not_sent_by_another_job() {
    let header = "img,code,reason,http_status,request_id,attempts,charged\n";
    let rows = rows(format!(
        "{header}a.jpg,in-doubt,lost,,,1,possibly 0.0031\nb.jpg,rejected,no,400,,1,0.00\n"
    ));
    let failure = rows[0].item.as_ref().unwrap_err();
    assert!(failure.message.contains("retry --in-doubt"), "{failure}");
    assert!(rows[1].item.is_ok());
}

/// `retry` in its own job costs nothing; a new job would pay again.
#[test]
fn what_is_paid_in_failures_csv_is_not_sent_by_another_job() {
    for (theirs, ours) in [("note", "code"), ("code", "restore_code")] {
        for (code, sent) in [
            ("media-unavailable", false),
            ("media-too-large", false),
            ("not-writable", false),
            ("deadline", false),
            ("unknown-request", false),
            ("source-unreadable", true),
            ("service-error", true),
        ] {
            let rows = rows(format!(
                "img,{theirs},{ours},reason,http_status,request_id,attempts,charged\n\
                 a.jpg,x,{code},why,,r1,1,0.0031\n"
            ));
            assert_eq!(rows[0].cells, ["a.jpg", "x"]);
            assert_eq!(rows[0].item.is_ok(), sent, "{code}");
        }
    }
}

#[test]
fn what_is_done_in_results_csv_is_not_paid_for_again() {
    let ours = crate::core::RESULT_COLUMNS.join(",");
    let rest = ",".repeat(crate::core::RESULT_COLUMNS.len() - 1);
    let rows = rows(format!("img,{ours}\na.jpg,done{rest}\nb.jpg,{rest}\n"));
    let failure = rows[0].item.as_ref().unwrap_err();
    assert!(failure.message.contains("delete the columns"), "{failure}");
    assert!(rows[1].item.is_ok());
}
