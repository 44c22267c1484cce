//! Serving results and local files.

use http::HeaderMap;

use super::bench::{Bench, assert_error, settings};
use crate::gateway::{GatewaySettings, LocalFiles, Retention};

async fn fetch(
    bench: &Bench,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = bench.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = request.send().await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    (status, headers, reply.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_result_is_served_with_all_its_headers() {
    let bench = Bench::start(settings()).await;
    let id = bench.accepted().await;
    bench.ended(&id).await;
    let path = format!("/media/{id}/output.png");
    let (status, headers, whole) = fetch(&bench, "GET", &path, &[]).await;
    let etag = headers["etag"].to_str().unwrap();
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["content-length"], whole.len().to_string().as_str());
    assert_eq!(headers["accept-ranges"], "bytes");
    assert!(headers["cache-control"].to_str().unwrap().contains("max-age"));
    assert_eq!(etag, format!("\"{}\"", blake3::hash(&whole).to_hex()));

    let (status, headers, body) = fetch(&bench, "HEAD", &path, &[]).await;
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(headers["content-length"], whole.len().to_string().as_str());

    let (status, headers, body) = fetch(&bench, "GET", &path, &[("range", "bytes=8-15")]).await;
    assert_eq!((status, &body[..]), (206, &whole[8..16]));
    assert_eq!(headers["content-range"], format!("bytes 8-15/{}", whole.len()).as_str());
    assert_eq!(headers["content-length"], "8");
    let part = ("range", "bytes=0-1");
    let (status, ..) = fetch(&bench, "GET", &path, &[part, ("if-range", etag)]).await;
    assert_eq!(status, 206);
    let (status, ..) = fetch(&bench, "GET", &path, &[part, ("if-range", "\"old\"")]).await;
    assert_eq!(status, 200);
    let (status, headers, body) = fetch(&bench, "GET", &path, &[("range", "bytes=999999-")]).await;
    let expected = format!("bytes */{}", whole.len());
    assert_eq!((status, headers["content-range"].to_str().unwrap()), (416, expected.as_str()));
    let refused: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(refused["error"], "Range Not Satisfiable");
    // Only GET has parts.
    let (status, headers, _) = fetch(&bench, "HEAD", &path, &[part]).await;
    assert_eq!((status, headers.get("content-range")), (200, None));
    assert_eq!(headers["content-length"], whole.len().to_string().as_str());
}

#[tokio::test]
async fn a_copy_is_confirmed_by_its_tag_and_by_its_date() {
    let bench = Bench::start(settings()).await;
    let id = bench.accepted().await;
    bench.ended(&id).await;
    let path = format!("/media/{id}/output.png");
    let (_, headers, whole) = fetch(&bench, "GET", &path, &[]).await;
    let etag = headers["etag"].to_str().unwrap();
    let date = headers["last-modified"].to_str().unwrap();
    for known in [("if-none-match", etag), ("if-none-match", "*"), ("if-modified-since", date)] {
        for method in ["GET", "HEAD"] {
            let (status, headers, body) = fetch(&bench, method, &path, &[known]).await;
            assert_eq!((status, body.len()), (304, 0), "{known:?}");
            assert_eq!(headers["etag"], etag);
            assert!(headers["cache-control"].to_str().unwrap().contains("max-age"));
        }
    }
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    let part = ("range", "bytes=0-1");
    for (headers, expected) in [
        ([("if-none-match", "\"old\""), part], 206),
        ([("if-modified-since", old), part], 206),
        ([("if-range", date), part], 206),
        ([("if-range", old), part], 200),
    ] {
        let (status, _, body) = fetch(&bench, "GET", &path, &headers).await;
        let length = if expected == 206 { 2 } else { whole.len() };
        assert_eq!((status, body.len()), (expected, length), "{headers:?}");
    }
}

#[tokio::test]
async fn swept_results_are_gone_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(GatewaySettings {
        retention: Retention { requests: 2, ..Retention::default() },
        state: Some(folder.path().to_owned()),
        ..settings()
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = bench.accepted().await;
        bench.ended(&id).await;
        ids.push(id);
    }
    // The sweep follows the end of the third, which is seen before it: until it is over,
    // the first is still served.
    let media = format!("/media/{}/output.png", ids[0]);
    let gone = loop {
        let reply = bench.get(&media).send().await.unwrap();
        if reply.status() != 200 {
            break reply;
        }
    };
    assert_error(gone, 404, "Not Found").await;
    let kept = bench.get(&format!("/media/{}/output.png", ids[2])).send().await.unwrap();
    assert_eq!(kept.status(), 200);
    let results = folder.path().join("results");
    // The file goes just after the request does.
    while std::fs::read_dir(&results).unwrap().count() > 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn local_files_are_served_to_those_who_were_told() {
    let bench = Bench::start(settings()).await;
    let path = bench.picture("ü 100%?#.png");
    let base = bench.base.parse().unwrap();
    let files = LocalFiles::new([7; 32]);
    let tail = |url: url::Url| url.as_str()[bench.base.len()..].to_owned();

    let url = tail(files.url_for(&base, &path));
    let (status, headers, body) = fetch(&bench, "GET", &url, &[]).await;
    assert_eq!((status, body), (200, std::fs::read(&path).unwrap()));
    assert_eq!(headers["cache-control"], "no-store");

    let folder = path.parent().unwrap();
    let missing = folder.join("missing");
    let forged = tail(LocalFiles::new([8; 32]).url_for(&base, &path));
    for url in [
        forged,
        url.replace("100", "200"),
        tail(files.url_for(&base, folder)),
        tail(files.url_for(&base, &missing)),
        tail(files.url_for(&base, &path.join("below-a-file"))),
        "/local-files/".to_owned(),
        "/local-files/x".to_owned(),
    ] {
        let reply = bench.request("GET", &url).send().await.unwrap();
        assert_error(reply, 404, "Not Found").await;
    }
}

#[tokio::test]
async fn no_local_file_is_served_unless_that_is_switched_on() {
    let bench = Bench::start(GatewaySettings { local_files: None, ..settings() }).await;
    let reply = bench.request("GET", &bench.img()[bench.base.len()..]).send().await.unwrap();
    assert_error(reply, 404, "Not Found").await;
}
