//! Keeps web pages away from a gateway without keys.
//!
//! Such a gateway listens on loopback only, but a browser on this machine takes pages of
//! strangers there: under a name of theirs that resolves to 127.0.0.1 (DNS rebinding), or
//! by a request across sites. `Host` and `Origin` tell both. With keys nothing of this is
//! needed: a page knows none.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};
use url::Url;

use super::refusal::Refusal;

/// Refuses what a web page may have sent. `own` is the gateway's public URL.
pub(super) async fn refuse_pages(
    State(own): State<Arc<Url>>,
    request: Request,
    next: Next,
) -> Response {
    if is_from_here(request.headers(), request.uri(), &own) {
        return next.run(request).await;
    }
    Refusal::forbidden("Without keys, only this machine is served, and no web page.")
        .into_response()
}

fn is_from_here(headers: &HeaderMap, uri: &Uri, own: &Url) -> bool {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        (values.next(), values.next().is_none())
    };
    let (Some(host), true) = only(HOST) else { return false };
    let Some(host) = host.to_str().ok().filter(|host| is_own(host, own)) else { return false };
    // A proxy's form of request names the host again.
    let again = uri.authority().is_none_or(|authority| is_own(authority.as_str(), own));
    let origin = match only(ORIGIN) {
        (None, _) => true,
        (Some(origin), single) => {
            let same = |site: &str| origin.as_bytes().eq_ignore_ascii_case(site.as_bytes());
            let public = own.origin().ascii_serialization();
            single && (same(&format!("http://{host}")) || same(&public))
        }
    };
    again && origin
}

/// Returns whether a host, perhaps with a port, is this machine or the public URL's.
fn is_own(text: &str, own: &Url) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let public = own.host_str().is_some_and(|own| own.eq_ignore_ascii_case(host));
    !text.contains('@') && (loopback || public || host.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_here(uri: &str, headers: &[(http::HeaderName, &str)]) -> bool {
        let own = Url::parse("https://restore.example.org:8443/api/").unwrap();
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let mut all = HeaderMap::new();
        headers.for_each(|(name, value)| {
            all.append(name, value);
        });
        is_from_here(&all, &uri.parse().unwrap(), &own)
    }

    #[test]
    fn only_names_of_this_machine_and_the_public_one_are_served() {
        for host in ["127.0.0.1", "127.0.0.2:80", "[::1]:9", "localhost", "LOCALHOST:1"] {
            assert!(from_here("/", &[(HOST, host)]), "{host}");
        }
        assert!(from_here("/", &[(HOST, "restore.example.org")]));
        for host in
            ["", "evil.example", "127.0.0.1.evil.example", "10.0.0.1", "a@localhost", "[::2]"]
        {
            assert!(!from_here("/", &[(HOST, host)]), "{host}");
        }
        assert!(!from_here("/", &[]));
        assert!(!from_here("/", &[(HOST, "localhost"), (HOST, "localhost")]));
        assert!(!from_here("http://evil.example/", &[(HOST, "localhost")]));
        assert!(from_here("http://localhost/", &[(HOST, "localhost")]));
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let with = |origin| from_here("/", &[(HOST, "localhost:8787"), (ORIGIN, origin)]);
        for origin in ["http://localhost:8787", "https://restore.example.org:8443"] {
            assert!(with(origin), "{origin}");
        }
        for origin in ["null", "http://localhost:3000", "https://localhost:8787", "http://evil"] {
            assert!(!with(origin), "{origin}");
        }
    }
}
