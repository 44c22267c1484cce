use axum::response::IntoResponse as _;
use http::{HeaderName, StatusCode};

use super::*;
use crate::fetch::ClientSettings;

fn client(allow_private: bool) -> GuardedClient {
    GuardedClient::new(&ClientSettings { allow_private, ..ClientSettings::default() }).unwrap()
}

fn read(body: impl AsRef<[u8]>) -> Result<SubmitBody, Refusal> {
    Asked::read(&HeaderMap::new(), body.as_ref(), &client(false)).map(|read| read.body)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, case: &str) {
    assert_eq!(outcome.unwrap_err().into_response().status(), StatusCode::BAD_REQUEST, "{case}");
}

#[test]
fn bodies_are_read_with_the_page_s_defaults() {
    for (body, scale, version) in [
        (r#"{"img":"http://h/a"}"#, 2, "v1.4"),
        (r#"{"img":"http://h/a","scale":4,"version":"v1.3","later":[1]}"#, 4, "v1.3"),
        (r#" {"img":"http://h/a","scale":null,"version":null} "#, 2, "v1.4"),
        (r#"{"img":"http://h/a","scale":1.0,"later":1,"later":2}"#, 1, "v1.4"),
        (r#"{"version":"GFPGAN 1.4 (schön)","img":"http://h/a"}"#, 2, "GFPGAN 1.4 (schön)"),
    ] {
        let img = "http://h/a".to_owned();
        let expected = SubmitBody { img, scale, version: version.to_owned() };
        assert_eq!(read(body), Ok(expected), "{body}");
    }
}

#[test]
fn what_is_not_documented_is_refused() {
    for body in [
        "",
        "[]",
        "null",
        "{",
        "\"http://h/a\"",
        r#"["http://h/a",2,"v1.4"]"#,
        r#"{"img":"http://h/a"} {}"#,
        r#"{"img":"http://h/a",}"#,
        "\u{feff}{\"img\":\"http://h/a\"}",
        "{}",
        r#"{"img":null}"#,
        r#"{"img":""}"#,
        r#"{"img":5}"#,
        r#"{"img":["http://h/a"]}"#,
        r#"{"img":"a.jpg"}"#,
        r#"{"img":"file:///etc/passwd"}"#,
        r#"{"img":"ftp://h/a"}"#,
        r#"{"img":"http://"}"#,
        r#"{"img":"http:h/a"}"#,
        r#"{"img":" http://h/a"}"#,
        r#"{"img":"http://user:secret@h/a"}"#,
        r#"{"img":"http://127.0.0.1/a"}"#,
        r#"{"img":"http://[::1]/a"}"#,
        r#"{"img":"http://2130706433/a"}"#,
        r#"{"img":"http://h/a","scale":0}"#,
        r#"{"img":"http://h/a","scale":5}"#,
        r#"{"img":"http://h/a","scale":2.5}"#,
        r#"{"img":"http://h/a","scale":"2"}"#,
        r#"{"img":"http://h/a","scale":-1}"#,
        r#"{"img":"http://h/a","scale":258}"#,
        r#"{"img":"http://h/a","scale":true}"#,
        r#"{"img":"http://h/a","scale":1e999}"#,
        r#"{"img":"http://h/a","version":4}"#,
        r#"{"img":"http://h/a","version":" "}"#,
        r#"{"img":"http://h/a","version":"v1\n4"}"#,
        r#"{"img":"http://h/a","img":"http://h/b"}"#,
        r#"{"img":"http://h/a","scale":1,"scale":4}"#,
    ] {
        assert_refused(read(body), body);
    }
    let long = format!(r#"{{"img":"http://h/{}"}}"#, "a".repeat(MAX_URL));
    assert_refused(read(long), "long");
    let long = format!(r#"{{"img":"http://h/a","version":"{}"}}"#, "v".repeat(MAX_VERSION + 1));
    assert_refused(read(long), "long version");
}

#[test]
fn bytes_that_are_no_text_and_nesting_without_end_are_refused() {
    assert_refused(read(b"{\"img\":\"http://h/\xff\"}"), "no UTF-8");
    assert_refused(read(b"\xff\xfe{\x00}\x00"), "UTF-16");
    for field in ["img", "scale"] {
        let bomb = format!(r#"{{"{field}":{}"#, "[".repeat(60_000));
        assert_refused(read(bomb), field);
        let bomb = format!(r#"{{"{field}":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert_refused(read(bomb), field);
    }
    // Even where nobody looks at it.
    let deep = format!(r#"{{"later":{}{}"#, "[".repeat(30_000), "]".repeat(29_000));
    assert_refused(read(deep), "later");
}

#[test]
fn only_json_is_read() {
    for (content_type, expected) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("text/plain", false),
        ("application/x-www-form-urlencoded", false),
        ("application/jsonx", false),
    ] {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        assert_eq!(expect_json(&headers).is_ok(), expected, "{content_type}");
    }
    assert!(expect_json(&HeaderMap::new()).is_err());
    for (coding, expected) in [("identity", true), ("gzip", false), ("", false)] {
        let json = (CONTENT_TYPE, "application/json".parse().unwrap());
        let coded = (CONTENT_ENCODING, coding.parse().unwrap());
        let headers = HeaderMap::from_iter([json, coded]);
        assert_eq!(expect_json(&headers).is_ok(), expected, "{coding}");
    }
}

fn called(addresses: &[&str], allow_private: bool) -> Result<Option<String>, Refusal> {
    let name = HeaderName::from_bytes(WEBHOOK_HEADER.as_bytes()).unwrap();
    let headers = addresses.iter().map(|address| (name.clone(), address.parse().unwrap()));
    let body = br#"{"img":"http://h/a"}"#;
    Asked::read(&headers.collect(), body, &client(allow_private)).map(|read| read.callback_url)
}

#[test]
fn a_callback_s_address_is_taken_as_it_is() {
    assert_eq!(called(&[], false), Ok(None));
    for address in ["https://example.org/hook?token=a%2Fb", "http://example.org:8080"] {
        assert_eq!(called(&[address], false), Ok(Some(address.to_owned())));
    }
    let private = "http://127.0.0.1:9/hook";
    assert_eq!(called(&[private], true), Ok(Some(private.to_owned())));
}

#[test]
fn a_callback_that_cannot_or_must_not_be_made_is_refused() {
    let long = format!("https://example.org/{}", "a".repeat(MAX_WEBHOOK_URL));
    for address in [
        "",
        "example.org/hook",
        "ftp://example.org/",
        "https://user:secret@example.org/hook",
        "https://user@example.org/hook",
        "http://127.0.0.1:9/hook",
        "http://10.0.0.1/hook",
        "http://169.254.169.254/latest",
        "http://[::ffff:127.0.0.1]/hook",
        &long,
    ] {
        assert_refused(called(&[address], false), address);
    }
    assert_refused(called(&["https://a.example/", "https://b.example/"], false), "two");
}

#[test]
fn no_answer_repeats_what_may_be_secret() {
    let refused = called(&["https://user:hunter2@example.org/?token=hunter2"], false).unwrap_err();
    assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
    let refused = read(r#"{"img":"http://127.0.0.1/a?token=hunter2"}"#).unwrap_err();
    assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
}
