//! Reads the `Range` header, for one range of bytes (RFC 9110, section 14).

/// Which part of a file was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it; also what a header that cannot be read, or that asks for several
    /// parts, comes to, as the standard allows.
    Whole,
    /// `length` bytes from `start` on.
    Part {
        /// Where it begins.
        start: u64,
        /// How many bytes; at least one.
        length: u64,
    },
    /// Nothing that the file has.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `total` bytes.
pub(super) fn wanted(header: &str, total: u64) -> Wanted {
    read(header, total).unwrap_or(Wanted::Whole)
}

fn read(header: &str, total: u64) -> Option<Wanted> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        match text.trim() {
            "" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Some(digits.parse().unwrap_or(u64::MAX)))
            }
            _ => None,
        }
    };
    let (start, end) = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) => (total.saturating_sub(suffix), total),
        (Some(start), None) => (start, total),
        (Some(start), Some(last)) if last < start => return None,
        (Some(start), Some(last)) => (start, last.saturating_add(1).min(total)),
    };
    if start >= end {
        return Some(Wanted::Unsatisfiable);
    }
    Some(Wanted::Part { start, length: end - start })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_of_the_standard() {
        let part = |start, length| Wanted::Part { start, length };
        for (header, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-", part(0, 100)),
            ("bytes=10-19", part(10, 10)),
            (" bytes=90-200", part(90, 10)),
            ("bytes=-5", part(95, 5)),
            ("bytes=-500", part(0, 100)),
            ("bytes=0-99999999999999999999999", part(0, 100)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(header, 100), expected, "{header}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(first: Option<u64>, last: Option<u64>, total: u64) {
            let text = |number: Option<u64>| number.map_or(String::new(), |n| n.to_string());
            let header = format!("bytes={}-{}", text(first), text(last));
            if let Wanted::Part { start, length } = wanted(&header, total) {
                prop_assert!(length > 0);
                prop_assert!(start.checked_add(length).is_some_and(|end| end <= total));
            }
        }
    }
}
