//! Numbers as people write them.

/// Writes `1 photo`, `2 photos`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Writes a number with at most two digits after the point: `5`, `2.5`, `0.31`.
pub(super) fn rounded(number: f64) -> String {
    ((number * 100.0).round() / 100.0).to_string()
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
