//! Keeps spreadsheets from running a cell as a formula, reversibly.
//!
//! A photograph may be called `=cmd.jpg`, and a file of results is opened with one
//! click. So a cell that a spreadsheet would run is written with an apostrophe in
//! front, as OWASP's "CSV Injection" page advises, and read back without it. Plain
//! numbers stay numbers, so that a column of them can still be summed.

use std::borrow::Cow;

/// Marks a cell as text, to a spreadsheet and to [`unescape_formula`].
const MARK: char = '\'';

/// First characters that make a spreadsheet run or reinterpret a cell (OWASP).
const TRIGGERS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Returns the cell as it is written to a file that a spreadsheet may open.
///
/// No two cells are written alike: [`unescape_formula`] returns the original.
#[must_use]
pub fn escape_formula(cell: &str) -> Cow<'_, str> {
    if is_triggering(cell) && !is_plain_number(cell) {
        return Cow::Owned(format!("{MARK}{cell}"));
    }
    Cow::Borrowed(cell)
}

/// Returns what [`escape_formula`] was given.
#[must_use]
pub fn unescape_formula(cell: &str) -> Cow<'_, str> {
    let original = cell
        .strip_prefix(MARK)
        .filter(|original| is_triggering(original) && !is_plain_number(original));
    Cow::Borrowed(original.unwrap_or(cell))
}

/// Returns true for `'*[=+-@\t\r]…`. Marks in front count, so that a cell that
/// already looks escaped gets one more and stays distinct.
fn is_triggering(cell: &str) -> bool {
    cell.trim_start_matches(MARK).starts_with(TRIGGERS)
}

/// Returns true for `[+-]? digits ([.,] digits)? ([eE] [+-]? digits)?`.
fn is_plain_number(cell: &str) -> bool {
    let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|digits| digits.strip_prefix(['+', '-']).unwrap_or(digits));
    is_digits(whole) && fraction.is_none_or(is_digits) && exponent.is_none_or(is_digits)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_are_marked_and_numbers_are_not() {
        for (cell, written) in [
            ("=1+2", "'=1+2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-foo.jpg", "'-foo.jpg"),
            ("+49 30 1234", "'+49 30 1234"),
            ("\tx", "'\tx"),
            ("\r=x", "'\r=x"),
            ("'=x", "''=x"),
            ("-", "'-"),
            ("-1.", "'-1."),
            ("-1e", "'-1e"),
            ("-1.5.2", "'-1.5.2"),
            ("-5", "-5"),
            ("+1,5", "+1,5"),
            ("-1.5e-3", "-1.5e-3"),
            ("photo.jpg", "photo.jpg"),
            ("'tis.jpg", "'tis.jpg"),
            ("", ""),
        ] {
            assert_eq!(escape_formula(cell), written);
            assert_eq!(unescape_formula(written), cell);
        }
    }

    #[test]
    fn an_apostrophe_before_a_number_is_content() {
        assert_eq!(unescape_formula("'-5"), "'-5");
        assert_eq!(escape_formula("'-5"), "''-5");
    }

    proptest! {
        #[test]
        fn every_cell_comes_back(cell in "('{0,3}[=+\\-@\t\r]?[-+0-9.,eE']{0,6}.{0,4})|\\PC*") {
            let written = escape_formula(&cell);
            prop_assert_eq!(unescape_formula(&written), cell.as_str());
            prop_assert!(is_plain_number(&written) || !written.starts_with(TRIGGERS));
        }
    }
}
