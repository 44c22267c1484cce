//! Words of others, fit to be stored and shown.

/// Characters that no address holds (RFC 3986) and that therefore end one in a text.
const ENDS: &[char] = &['"', '<', '>', '`'];

/// Punctuation of the sentence around an address, which is kept when its query goes.
const PUNCTUATION: &[char] = &['.', ',', ':', ';', ')', ']', '}', '\''];

/// Returns true for a character that has no place in words of others: it could steer a
/// terminal, begin a new line, or turn the direction of the text around it.
///
/// Control characters, and the line separators and directional characters of Unicode
/// (UAX #9, section 2; "Trojan Source", 2021).
#[must_use]
pub fn is_disturbing(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// Returns `text` with credentials, query and fragment of every address in it left out:
/// the query of a signed address is a key.
///
/// A `?` counts as the start of a query when it stands in an address with a scheme, or
/// when something like `sig=1` follows it; a file name such as `what?.png` stays whole.
#[must_use]
pub fn without_queries(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || ENDS.contains(&c);
    text.split_inclusive(is_end)
        .flat_map(|part| {
            let word = part.trim_end_matches(is_end);
            [bare(word), part[word.len()..].to_owned()]
        })
        .collect()
}

/// Does the same for one word.
fn bare(word: &str) -> String {
    let is_address = ["://", "http:", "https:"].iter().any(|mark| find(word, mark).is_some());
    let query = word.find('?').filter(|at| is_address || word[*at..].contains('='));
    let fragment = word.find('#').filter(|_| is_address);
    let Some(cut) = query.into_iter().chain(fragment).min() else {
        return without_credentials(word);
    };
    let sentence = word[cut..].trim_end_matches(PUNCTUATION).len();
    without_credentials(&word[..cut]) + &word[cut + sentence..]
}

fn find(word: &str, mark: &str) -> Option<usize> {
    word.to_ascii_lowercase().find(mark)
}

fn without_credentials(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let credentials = authority.rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[credentials..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_in_any_text_lose_what_may_be_secret() {
        for (text, told) in [
            ("https://x.org/a.png?sig=1#2", "https://x.org/a.png"),
            ("https://x.org/a.png#sig", "https://x.org/a.png"),
            ("HTTPS://x.org/a.png?t", "HTTPS://x.org/a.png"),
            ("https://u:p@x.org/a@b.png", "https://x.org/a@b.png"),
            ("Failed to get https://x.org/a?sig=1: 403.", "Failed to get https://x.org/a: 403."),
            (r#"{"url":"https://x.org/a?b=1","c":2}"#, r#"{"url":"https://x.org/a","c":2}"#),
            ("one http://a/?b and http://c/?d=e", "one http://a/ and http://c/"),
            ("no such file /a/b.png?X-Signature=1", "no such file /a/b.png"),
            ("https:x.org/a?t", "https:x.org/a"),
            ("scans/what?.png", "scans/what?.png"),
            ("is it a photo?  yes #1", "is it a photo?  yes #1"),
            ("", ""),
        ] {
            assert_eq!(without_queries(text), told);
        }
    }

    #[test]
    fn what_steers_a_terminal_or_turns_text_around_is_disturbing() {
        for disturbing in
            ["\u{1b}", "\n", "\0", "\u{7f}", "\u{9b}", "\u{202e}", "\u{2066}", "\u{2028}"]
        {
            assert!(disturbing.chars().all(is_disturbing), "{disturbing:?}");
        }
        assert!(!"a Ü ß 写真 photo-1 שלום \u{1f600}".chars().any(is_disturbing));
    }

    proptest! {
        #[test]
        fn no_query_of_an_address_survives(before in "[a-z (\"]{0,9}", after in "[a-z .,)\"]{0,9}") {
            let text = format!("{before}https://h.org/p.png?s=S3CRET{after}");
            prop_assert!(!without_queries(&text).contains("S3CRET"));
        }

        #[test]
        fn text_without_addresses_is_untouched(text in "[a-zA-Z0-9 \t\n.,!/_-]{0,80}") {
            prop_assert_eq!(without_queries(&text), text);
        }
    }
}
