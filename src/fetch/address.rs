//! What an address that someone else has named may look like, and how it is shown.
//!
//! # Signed URLs
//!
//! A signed URL must reach the server as it was signed. `url` and `reqwest` keep
//! path and query as they are as long as they hold only what RFC 3986 allows there,
//! `%` escapes included; tested below. One exception: `'` in a query becomes `%27`,
//! which signature schemes treat alike, because they sign the decoded value. Dot
//! segments in a path are resolved, as every client does.

use reqwest::{Response, StatusCode, header::LOCATION};
use url::Url;

use super::http::GetErrorKind;
use crate::core::{is_disturbing, without_queries};

/// Longest address that is repeated in a message, in characters.
const SHOWN_CHARACTERS: usize = 300;

/// Returns `url` for messages and records: without credentials, query and fragment.
#[must_use]
pub fn without_query(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => shown(&url),
        Err(_) => brief(&without_queries(url)),
    }
}

/// Does the same for an address that was read already.
pub(super) fn shown(url: &Url) -> String {
    brief(&without_queries(url.as_str()))
}

fn brief(text: &str) -> String {
    text.chars().filter(|c| !is_disturbing(*c)).take(SHOWN_CHARACTERS).collect()
}

/// Reads an address that may be opened, as far as its form tells.
pub(super) fn parse(url: &str) -> Result<Url, GetErrorKind> {
    let url = Url::parse(url).map_err(|_| GetErrorKind::BadUrl("it cannot be read as a URL"))?;
    check_form(&url).map_err(GetErrorKind::BadUrl)?;
    Ok(url)
}

/// Credentials would turn into an Authorization header, and we send only our own headers.
fn check_form(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https are opened");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it contains a user name or password");
    }
    Ok(())
}

/// Returns where a redirect leads, and `None` for any other answer.
pub(super) fn next_hop(from: &Url, response: &Response) -> Result<Option<Url>, GetErrorKind> {
    use StatusCode as S;
    let redirects = [
        S::MOVED_PERMANENTLY,
        S::FOUND,
        S::SEE_OTHER,
        S::TEMPORARY_REDIRECT,
        S::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&response.status()) {
        return Ok(None);
    }
    let to = response
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| from.join(location).ok())
        .ok_or(GetErrorKind::Redirect("to nowhere"))?;
    check_form(&to).map_err(GetErrorKind::BadRedirect)?;
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(GetErrorKind::Downgrade);
    }
    Ok(Some(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_addresses_hold_no_secret() {
        for (url, shown) in [
            ("https://u:p@h.org/a/b.png?sig=1#f", "https://h.org/a/b.png"),
            ("HTTPS://H.org", "https://h.org/"),
            ("not a url?sig=1", "not a url"),
            ("a\nb\u{202e}c\u{1b}[2J", "abc[2J"),
        ] {
            assert_eq!(without_query(url), shown);
        }
        for long in ["https://h/", "no url "] {
            let long = long.to_owned() + &"x".repeat(999);
            assert_eq!(without_query(&long).len(), SHOWN_CHARACTERS);
        }
        let parsed = parse(&format!("https://h/{}", "x".repeat(999))).unwrap();
        assert_eq!(shown(&parsed).len(), SHOWN_CHARACTERS);
    }
}
