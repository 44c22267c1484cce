//! Decides what a client's copy of a file is worth (RFC 9110, section 13).

use http::{
    HeaderMap, HeaderName,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE},
};

use crate::core::http_date;

/// What tells one content of an address from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// Strong, with its quotes.
    pub(super) etag: Option<String>,
    /// Time of the last change, as HTTP writes it.
    pub(super) last_modified: Option<String>,
}

impl Validators {
    /// Returns whether the client has this content already.
    pub(super) fn known(&self, request: &HeaderMap) -> bool {
        if request.contains_key(IF_NONE_MATCH) {
            return self.matches_any(request);
        }
        let since = text(request, &IF_MODIFIED_SINCE).and_then(http_date::read);
        let modified = self.last_modified.as_deref().and_then(http_date::read);
        matches!((modified, since), (Some(modified), Some(since)) if modified <= since)
    }

    /// Returns whether a part that is asked for belongs to the content that the client
    /// has the rest of; also when it does not say what it has.
    pub(super) fn same(&self, request: &HeaderMap) -> bool {
        let Some(had) = request.get(IF_RANGE) else { return true };
        let had = had.to_str().ok().map(str::trim);
        had.is_some() && (had == self.etag.as_deref() || had == self.last_modified.as_deref())
    }

    /// Compares weakly, as the standard has it for this header.
    fn matches_any(&self, request: &HeaderMap) -> bool {
        let lists = request.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
        lists.flat_map(|list| list.split(',')).map(str::trim).any(|known| {
            known == "*" || self.etag.as_deref() == Some(known.strip_prefix("W/").unwrap_or(known))
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn file() -> Validators {
        Validators { etag: Some("\"a\"".to_owned()), last_modified: Some(DATE.to_owned()) }
    }

    fn request(headers: &[(HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_copy_is_known_by_its_tag_or_else_by_its_date() {
        let none_match = |tags| (IF_NONE_MATCH, tags);
        let since = |date| (IF_MODIFIED_SINCE, date);
        for (headers, expected) in [
            (vec![], false),
            (vec![none_match("\"a\"")], true),
            (vec![none_match("W/\"a\"")], true),
            (vec![none_match("\"b\" , \"a\"")], true),
            (vec![none_match("*")], true),
            (vec![none_match("\"b\"")], false),
            (vec![none_match("a")], false),
            (vec![since(DATE)], true),
            (vec![since(AFTER)], true),
            (vec![since(BEFORE)], false),
            (vec![since("yesterday")], false),
            // The tag decides.
            (vec![none_match("\"b\""), since(AFTER)], false),
        ] {
            assert_eq!(file().known(&request(&headers)), expected, "{headers:?}");
        }
        let untagged = Validators { etag: None, last_modified: None };
        assert!(!untagged.known(&request(&[none_match("\"a\""), since(AFTER)])));
    }

    #[test]
    fn a_part_is_sent_only_of_the_same_content() {
        assert!(file().same(&HeaderMap::new()));
        for (had, expected) in
            [("\"a\"", true), (DATE, true), ("W/\"a\"", false), ("\"b\"", false), (AFTER, false)]
        {
            assert_eq!(file().same(&request(&[(IF_RANGE, had)])), expected, "{had}");
        }
        let untagged = Validators { etag: None, last_modified: None };
        assert!(!untagged.same(&request(&[(IF_RANGE, "\"a\"")])));
    }
}
