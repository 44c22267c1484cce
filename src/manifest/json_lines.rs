//! JSON Lines: one object a line, its keys the columns.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    bytes::ByteStream,
    columns::Columns,
    error::ManifestError,
    row::{Complaint, RawRow},
    splitter::{Limits, MOST_CELLS, PREVIEW},
    table::is_binary,
};

/// A JSON Lines file whose columns are known.
pub(super) struct JsonLines {
    file: String,
    bytes: ByteStream,
    limits: Limits,
    /// Number of the line read last.
    line: u64,
    text: Vec<u8>,
    /// True when `text` is only the beginning of its line.
    cut: bool,
    /// True when `text` is the first object, read for its keys.
    pending: bool,
}

impl JsonLines {
    /// Reads the first object, whose keys are the columns.
    pub(super) fn open(
        file: &str,
        bytes: ByteStream,
        limits: Limits,
    ) -> Result<(Self, Columns), ManifestError> {
        let mut lines = Self {
            file: file.to_owned(),
            bytes,
            limits,
            line: 0,
            text: Vec::new(),
            cut: false,
            pending: true,
        };
        if !lines.read_line()? {
            return Err(ManifestError::Empty { file: lines.file });
        }
        let object = lines.parse_line().and_then(refuse_odd_keys);
        let object = object.map_err(|reason| ManifestError::NotJsonLines {
            file: file.to_owned(),
            line: lines.line,
            reason,
        })?;
        let names = object.into_iter().map(|(key, _)| key).collect();
        let columns = Columns::of_names(file, lines.line, names)?;
        Ok((lines, columns))
    }

    pub(super) fn bytes(&self) -> &ByteStream {
        &self.bytes
    }

    /// Returns the next row, with as many cells as there are columns.
    pub(super) fn next(&mut self, columns: &Columns) -> Result<Option<RawRow>, ManifestError> {
        if !self.pending && !self.read_line()? {
            return Ok(None);
        }
        self.pending = false;
        let mut cells = vec![String::new(); columns.width];
        let complaint = match self.parse_line() {
            Ok(object) => self.fill(&mut cells, object, columns),
            Err(message) => {
                let start = &self.text[..self.text.len().min(PREVIEW)];
                cells[columns.source] = String::from_utf8_lossy(start).into_owned();
                Some(Complaint { column: None, message })
            }
        };
        Ok(Some(RawRow { line: self.line, cells, complaint }))
    }

    /// Puts each value into its column; returns what is wrong.
    fn fill(
        &self,
        cells: &mut [String],
        object: Vec<(String, String)>,
        columns: &Columns,
    ) -> Option<Complaint> {
        let mut complaint = None;
        for (key, mut value) in object {
            let Some(index) = columns.names.iter().position(|name| *name == key) else {
                let key: String = key.chars().take(40).collect();
                let message =
                    format!("the key `{}` is not in the first object", key.escape_debug());
                complaint.get_or_insert(Complaint { column: None, message });
                continue;
            };
            if value.len() > self.limits.field {
                value.truncate(value.floor_char_boundary(PREVIEW));
                let message = format!("is larger than {} bytes", self.limits.field);
                complaint.get_or_insert(Complaint { column: Some(index), message });
            }
            cells[index] = value;
        }
        complaint
    }

    /// Reads the next line that is not blank into `text`; returns false at the end.
    fn read_line(&mut self) -> Result<bool, ManifestError> {
        loop {
            self.text.clear();
            self.cut = false;
            self.line += 1;
            if !self.read_any_line()? && self.text.is_empty() {
                return Ok(false);
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads up to a line feed; returns false when the input ends before one.
    fn read_any_line(&mut self) -> Result<bool, ManifestError> {
        let mut length = 0_u64;
        loop {
            let line = self.line;
            let chunk = self.bytes.chunk().map_err(|source| ManifestError::Read {
                file: self.file.clone(),
                line,
                source,
            })?;
            if chunk.is_empty() {
                return Ok(false);
            }
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.limits.row - self.text.len();
            self.cut |= part.len() > room;
            self.text.extend_from_slice(&part[..part.len().min(room)]);
            length += part.len() as u64;
            let used = part.len() + usize::from(end.is_some());
            self.bytes.consume(used);
            if end.is_some() {
                return Ok(true);
            }
            if length > self.limits.runaway() {
                let limit = self.limits.runaway();
                return Err(ManifestError::EndlessLine { file: self.file.clone(), line, limit });
            }
        }
    }

    fn parse_line(&self) -> Result<Vec<(String, String)>, String> {
        if self.cut {
            return Err(format!("the row is larger than {} bytes", self.limits.row));
        }
        let text = str::from_utf8(&self.text)
            .map_err(|_| "not UTF-8; save the manifest as UTF-8".to_owned())?;
        parse_object(text)
    }
}

/// Returns the keys of an object in their order, with the values as cells: strings as
/// they are, null as nothing, all else as JSON text without spaces.
///
/// The values are cut out of the text, so that numbers stay as they are written;
/// `serde_json::Value` would round them and sort the keys.
fn parse_object(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = text
        .trim_ascii()
        .strip_prefix('{')
        .ok_or("expected an object, such as {\"img\":\"photo.jpg\"}")?
        .trim_ascii_start();
    let mut object: Vec<(String, String)> = Vec::new();
    while rest != "}" {
        if !object.is_empty() {
            rest = strip(rest, ',')?;
        }
        let key: String = parse_prefix(&mut rest)?.1;
        rest = strip(rest, ':')?;
        let (value, IgnoredAny) = parse_prefix(&mut rest)?;
        if object.iter().any(|(other, _)| *other == key) {
            return Err(format!("the key `{}` is there twice", key.escape_debug()));
        }
        object.push((key, to_cell(value)?));
    }
    Ok(object)
}

/// Parses one value at the start of `rest`; returns its text and itself.
fn parse_prefix<'a, T: Deserialize<'a>>(rest: &mut &'a str) -> Result<(&'a str, T), String> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(describe(&error)),
        None => return Err("the object is not closed".to_owned()),
    };
    let (text, after) = rest.split_at(values.byte_offset());
    *rest = after.trim_ascii_start();
    Ok((text, value))
}

fn strip(text: &str, expected: char) -> Result<&str, String> {
    match text.strip_prefix(expected) {
        Some(after) => Ok(after.trim_ascii_start()),
        None if text.is_empty() => Err("the object is not closed".to_owned()),
        None => Err(format!("expected `{expected}`")),
    }
}

/// Returns serde's message without its position, which counts from the value.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&position).unwrap_or(&message).to_owned()
}

fn to_cell(value: &str) -> Result<String, String> {
    let value = value.trim_ascii();
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str(value).map_err(|error| describe(&error)),
        Some(b'n') => Ok(String::new()),
        Some(b'{' | b'[') => Ok(without_spaces(value)),
        _ => Ok(value.to_owned()),
    }
}

/// Removes the spaces between the tokens of valid JSON.
fn without_spaces(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let is_content = |character: &char| {
        let quote = *character == '"' && !escaped;
        escaped = quoted && *character == '\\' && !escaped;
        quoted ^= quote;
        quoted || !character.is_ascii_whitespace()
    };
    json.chars().filter(is_content).collect()
}

/// The keys become the header of results.csv and failures.csv, which [`Table`] must be able
/// to read again.
///
/// [`Table`]: super::table::Table
fn refuse_odd_keys(object: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    if object.len() > MOST_CELLS {
        return Err(format!("more than {MOST_CELLS} keys"));
    }
    match object.iter().find(|(key, _)| key.bytes().any(is_binary)) {
        Some((key, _)) => {
            let key: String = key.chars().take(40).collect();
            Err(format!("the key `{}` holds a control character", key.escape_debug()))
        }
        None => Ok(object),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse_object(text).unwrap()
    }

    #[test]
    fn keys_keep_their_order_and_values_their_text() {
        let text = r#" { "z":"a\u00e4\n" ,"b" : 1.50,"a":12345678901234567890123,
            "t":true,"n":null,"o":{ "x y": [1, "a \" b"] },"e":-1E+3 } "#;
        let expected = [
            ("z", "a\u{e4}\n"),
            ("b", "1.50"),
            ("a", "12345678901234567890123"),
            ("t", "true"),
            ("n", ""),
            ("o", r#"{"x y":[1,"a \" b"]}"#),
            ("e", "-1E+3"),
        ];
        let expected: Vec<_> =
            expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs("{}"), []);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, reason) in [
            ("[1]", "expected an object"),
            ("img,scale", "expected an object"),
            ("{", "not closed"),
            (r#"{"a""#, "not closed"),
            (r#"{"a":"#, "not closed"),
            (r#"{"a":1"#, "not closed"),
            (r#"{"a":1,}"#, "expected"),
            (r#"{"a":1}}"#, "expected `,`"),
            (r#"{"a":1} {"b":2}"#, "expected `,`"),
            (r#"{"a" 1}"#, "expected `:`"),
            (r#"{"a":1 "b":2}"#, "expected `,`"),
            (r"{a:1}", "expected"),
            (r"{1:1}", "invalid type"),
            (r#"{"a":"x}"#, "EOF"),
            (r#"{"a":nul}"#, "expected ident"),
            (r#"{"a":01}"#, "invalid number"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":1,"a":2}"#, "`a` is there twice"),
        ] {
            let message = parse_object(text).expect_err(text);
            assert!(message.contains(reason), "{text}: {message}");
            assert!(!message.contains("column"), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn strings_come_back(object in prop::collection::btree_map("\\PC{0,6}", any::<String>(), 0..5)) {
            let text = serde_json::to_string(&object).unwrap();
            let expected: Vec<_> = object.into_iter().collect();
            prop_assert_eq!(pairs(&text), expected);
        }

        #[test]
        fn agrees_with_serde_json_on_what_is_an_object(text in "\\{[\\{\\}\\[\\]\",:a1e. \\\\-]{0,12}\\}") {
            let oracle: Result<serde_json::Map<String, serde_json::Value>, _> =
                serde_json::from_str(&text);
            match (parse_object(&text), oracle) {
                (Ok(object), Ok(map)) => prop_assert_eq!(object.len(), map.len()),
                (Err(message), Ok(_)) => prop_assert!(message.contains("twice"), "{}", message),
                (Ok(object), Err(error)) => {
                    // Only a number too large for serde's own types may differ.
                    prop_assert!(error.to_string().contains("out of range"), "{object:?}: {error}");
                }
                (Err(_), Err(_)) => {}
            }
        }
    }
}
