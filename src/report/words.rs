//! Numbers and names as people write them.

use crate::core::Failure;

/// Writes `1 photo`, `2 photos`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Writes a number with at most two digits after the point: `5`, `2.5`, `0.31`.
pub(super) fn rounded(number: f64) -> String {
    ((number * 100.0).round() / 100.0).to_string()
}

/// Names who gave no sane answer in an outage: pictures may lie with somebody else.
#[must_use]
pub fn silent_party(failure: &Failure) -> &'static str {
    if failure.code.is_of_a_download() { "the file host" } else { "the service" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([counted(1, "row"), counted(0, "row")], ["1 row", "0 rows"]);
        assert_eq!([5.0, 2.5, 0.3125].map(rounded), ["5", "2.5", "0.31"]);
    }
}
