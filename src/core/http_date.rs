//! Dates as HTTP writes them ("IMF-fixdate", RFC 9110, section 5.6.7).

use jiff::{Timestamp, fmt::rfc2822};

/// Reads the one form of date that HTTP allows to be sent.
#[must_use]
pub fn read(value: &str) -> Option<Timestamp> {
    let numeric = value.trim().strip_suffix("GMT")?;
    rfc2822::DateTimeParser::new().parse_timestamp(format!("{numeric}+0000")).ok()
}

/// Writes a time in whole seconds, rounded down. `None` outside the years that the form
/// has room for, 0 to 9999.
#[must_use]
pub fn write(time: Timestamp) -> Option<String> {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_comes_back() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT";
        let time = read(text).unwrap();
        assert_eq!(time, "1994-11-06T08:49:37Z".parse().unwrap());
        assert_eq!(write(time).as_deref(), Some(text));
        let later: Timestamp = "1994-11-06T08:49:37.999Z".parse().unwrap();
        assert_eq!(write(later).as_deref(), Some(text));
    }

    #[test]
    fn other_forms_are_not_read() {
        for text in ["", "GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
