use std::{io::Cursor, path::Path, time::Duration};

use image::{DynamicImage, ImageFormat};

use super::*;
use crate::{
    fetch::http::ClientSettings,
    testing::scripted_server::{Reply, ScriptedServer},
};

struct Bench {
    job: tempfile::TempDir,
    fetcher: HttpFetcher,
}

impl Bench {
    fn new() -> Self {
        Self::with(&ClientSettings { allow_private: true, ..ClientSettings::default() })
    }

    fn with(settings: &ClientSettings) -> Self {
        Self::within(settings, 100_000, 10_000)
    }

    /// Takes pictures of more than one piece.
    fn larger(max_bytes: u64) -> Self {
        let settings = ClientSettings { allow_private: true, ..ClientSettings::default() };
        Self::within(&settings, max_bytes, 1_000_000)
    }

    fn within(settings: &ClientSettings, max_bytes: u64, max_pixels: u64) -> Self {
        let job = tempfile::tempdir().unwrap();
        let download = GetLimits { max_bytes, ..GetLimits::default() };
        let limits = FetchLimits { download, max_pixels };
        let client = GuardedClient::new(settings).unwrap();
        let fetcher = HttpFetcher::new(client, job.path().join("images"), limits);
        Self { job, fetcher }
    }

    /// Delivers one reply as `a/b`.
    async fn deliver(&self, reply: Reply) -> Result<Artifact, FetchError> {
        let server = ScriptedServer::start(vec![reply]).await;
        self.fetcher.deliver(&server.url("/o.bin?sig=SECRET"), "a/b").await
    }

    /// Waits until there are so many files; `meanwhile` must not end before.
    async fn until(&self, files: usize, meanwhile: impl Future<Output: std::fmt::Debug>) {
        let there = async {
            while self.files() != files {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            done = meanwhile => panic!("{done:?}"),
            () = there => {}
        }
    }

    /// Files below the images folder.
    fn files(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else {
                return 0;
            };
            let paths = entries.map(|entry| entry.unwrap().path());
            paths.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.job.path().join("images"))
    }
}

fn picture(width: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(width, 10).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_picture_is_delivered_with_its_facts() {
    let bench = Bench::new();
    let bytes = picture(20, ImageFormat::Jpeg);
    // The name and the type both lie; the content decides.
    let reply = Reply::ok(bytes.clone()).header("Content-Type", "image/png");
    let server = ScriptedServer::start(vec![reply]).await;
    let artifact = bench.fetcher.deliver(&server.url("/o.png?sig=1"), "1923/a").await.unwrap();
    assert_eq!(
        artifact,
        Artifact {
            path: "images/1923/a.jpg".to_owned(),
            media_url: server.url("/o.png"),
            width: 20,
            height: 10,
            bytes: bytes.len() as u64,
            blake3: blake3::hash(&bytes).into(),
        }
    );
    assert_eq!(std::fs::read(bench.job.path().join(&artifact.path)).unwrap(), bytes);
}

#[tokio::test]
async fn delivering_again_after_a_crash_gives_the_same_artifact() {
    let bench = Bench::new();
    let bytes = picture(20, ImageFormat::Png);
    let server = ScriptedServer::start(Vec::new()).await.on("GET /o", Reply::ok(bytes));
    let first = bench.fetcher.deliver(&server.url("/o"), "a").await.unwrap();
    let again = bench.fetcher.deliver(&server.url("/o"), "a").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(bench.files(), 1);
}

#[tokio::test]
async fn a_file_of_someone_else_is_stepped_around() {
    let bench = Bench::new();
    let images = bench.job.path().join("images/a");
    std::fs::create_dir_all(&images).unwrap();
    std::fs::write(images.join("b.png"), "theirs").unwrap();
    let artifact = bench.deliver(Reply::ok(picture(20, ImageFormat::Png))).await.unwrap();
    assert_eq!(artifact.path, "images/a/b~2.png");
    assert_eq!(std::fs::read_to_string(images.join("b.png")).unwrap(), "theirs");
}

/// What an answer leads to: kind of error, code, class. Nothing is left behind.
async fn outcome(reply: Reply) -> (&'static str, FailureCode, FailureClass) {
    let bench = Bench::new();
    let error = bench.deliver(reply).await.unwrap_err();
    assert!(!error.to_string().contains("SECRET"), "{error}");
    assert_eq!(bench.files(), 0, "{error}");
    let kind = match &error {
        FetchError::Retry { .. } => "retry",
        FetchError::LinkExpired(_) => "expired",
        FetchError::Permanent(_) => "permanent",
        FetchError::Output(_) => "output",
    };
    (kind, error.failure().code, error.failure().class)
}

#[tokio::test]
async fn each_status_has_its_consequence() {
    use FailureClass as Class;
    for (statuses, kind, class) in [
        (&[400, 401, 403, 404, 410][..], "expired", Class::Transient),
        (&[429, 503], "retry", Class::Throttled),
        (&[204, 206, 408, 425, 500, 502, 504], "retry", Class::Transient),
        (&[304, 402, 406, 418, 451], "permanent", Class::Permanent),
    ] {
        for &status in statuses {
            let expected = (kind, FailureCode::MediaUnavailable, class);
            assert_eq!(outcome(Reply::status(status)).await, expected, "{status}");
        }
    }
}

#[tokio::test]
async fn a_broken_answer_is_tried_again() {
    use FailureCode as Code;
    let png = picture(20, ImageFormat::Png);
    let html = Reply::ok("<html>busy</html>").header("Content-Type", "image/png");
    for (reply, code) in [
        (Reply::close(), Code::MediaUnavailable),
        (Reply::ok(png.clone()).cut_after(40), Code::MediaUnavailable),
        (Reply::ok(png.clone()).header("Content-Length", "9999"), Code::MediaUnavailable),
        (Reply::ok(png.clone()).header("Content-Length", "40"), Code::MediaInvalid),
        (Reply::ok(png[..40].to_vec()), Code::MediaInvalid),
        (Reply::ok(""), Code::MediaInvalid),
        (html, Code::MediaInvalid),
    ] {
        let label = format!("{reply:.100?}");
        let expected = ("retry", code, FailureClass::Transient);
        assert_eq!(outcome(reply).await, expected, "{label}");
    }
}

#[tokio::test]
async fn what_will_not_change_is_given_up() {
    use FailureCode as Code;
    let png = picture(20, ImageFormat::Png);
    for (reply, code) in [
        (Reply::ok([&b"BM"[..], &[0xff; 200]].concat()), Code::MediaInvalid),
        (Reply::ok(picture(1001, ImageFormat::Png)), Code::MediaTooLarge),
        (Reply::endless(1 << 20), Code::MediaTooLarge),
        (Reply::redirect("file:///etc/passwd"), Code::MediaBlocked),
        (Reply::status(302), Code::MediaUnavailable),
        (Reply::ok(png).header("Content-Encoding", "br"), Code::MediaUnavailable),
    ] {
        let label = format!("{reply:.100?}");
        let expected = ("permanent", code, FailureClass::Permanent);
        assert_eq!(outcome(reply).await, expected, "{label}");
    }
}

#[tokio::test]
async fn status_and_pause_are_passed_on() {
    let reply = Reply::status(429).header("Retry-After", "12");
    let error = Bench::new().deliver(reply).await.unwrap_err();
    let FetchError::Retry { failure, retry_after } = error else { panic!("{error}") };
    assert_eq!((failure.http_status, retry_after), (Some(429), Some(Duration::from_secs(12))));
}

#[tokio::test]
async fn a_private_address_is_blocked_for_good() {
    let bench = Bench::with(&ClientSettings::default());
    let error = bench.deliver(Reply::ok("x")).await.unwrap_err();
    assert_eq!(error.failure().code, FailureCode::MediaBlocked);
    assert!(matches!(error, FetchError::Permanent(_)), "{error}");
    assert_eq!(bench.files(), 0);
}

#[tokio::test]
async fn an_unsafe_name_fails_only_itself() {
    let bench = Bench::new();
    let error = bench.fetcher.deliver("http://127.0.0.1/", "../a").await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Permanent(failure) if failure.code == FailureCode::NotWritable)
    );
}

/// Tests may run as root, whom permissions do not stop; a file in the way does.
#[tokio::test]
async fn a_folder_that_takes_no_files_stops_the_job() {
    let bench = Bench::new();
    std::fs::write(bench.job.path().join("images"), "").unwrap();
    let error = bench.deliver(Reply::ok(picture(20, ImageFormat::Png))).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Output(failure) if failure.code == FailureCode::NotWritable),
        "{error}"
    );
}

#[tokio::test]
async fn an_abandoned_download_leaves_nothing() {
    let bench = Bench::larger(1 << 20);
    let reply = Reply::ok(vec![0; 1 << 20]).stall_after(700 << 10);
    let server = ScriptedServer::start(vec![reply]).await;
    let url = server.url("/o");
    let mut delivery = bench.fetcher.deliver(&url, "a/b");
    bench.until(1, &mut delivery).await;
    drop(delivery);
    bench.until(0, std::future::pending::<()>()).await;
}

#[tokio::test]
async fn a_small_picture_is_no_file_before_it_is_checked() {
    let bench = Bench::new();
    let reply = Reply::ok(picture(20, ImageFormat::Png)).stall_after(40);
    let server = ScriptedServer::start(vec![reply]).await;
    let url = server.url("/o");
    let mut delivery = bench.fetcher.deliver(&url, "a/b");
    tokio::select! {
        biased;
        delivered = &mut delivery => panic!("{delivered:?}"),
        () = server.received(1) => {}
    }
    assert_eq!(bench.files(), 0);
}

/// Noise cannot be compressed, so that every piece of it matters.
#[tokio::test]
async fn a_picture_of_many_pieces_arrives_whole() {
    let bench = Bench::larger(4 << 20);
    let mut samples = vec![0; 3 * 900 * 900];
    blake3::Hasher::new().finalize_xof().fill(&mut samples);
    let pixels = image::RgbImage::from_raw(900, 900, samples).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, ImageFormat::Png).unwrap();
    let bytes = bytes.into_inner();
    assert!(bytes.len() > 2 << 20);
    let artifact = bench.deliver(Reply::ok(bytes.clone())).await.unwrap();
    assert_eq!((artifact.width, artifact.bytes), (900, bytes.len() as u64));
    assert_eq!(artifact.blake3, blake3::hash(&bytes).into());
    assert_eq!(std::fs::read(bench.job.path().join(&artifact.path)).unwrap(), bytes);

    let error = bench.deliver(Reply::ok(bytes[..bytes.len() - 20].to_vec())).await.unwrap_err();
    assert_eq!(error.failure().code, FailureCode::MediaInvalid);
    assert_eq!(bench.files(), 1);
}

#[tokio::test]
async fn a_folder_that_takes_no_pieces_stops_the_job() {
    let bench = Bench::larger(4 << 20);
    std::fs::write(bench.job.path().join("images"), "").unwrap();
    for length in [300 << 10, 2 << 20] {
        let error = bench.deliver(Reply::ok(vec![0; length])).await.unwrap_err();
        assert!(
            matches!(&error, FetchError::Output(failure) if failure.code == FailureCode::NotWritable),
            "{length}: {error}"
        );
    }
}

#[tokio::test]
async fn many_deliveries_at_once_each_get_their_file() {
    let bench = Bench::new();
    let server = ScriptedServer::start(Vec::new()).await;
    let mut wanted = Vec::new();
    for number in 1..=20 {
        server.add(&format!("GET /{number}"), Reply::ok(picture(number, ImageFormat::Png)));
        wanted.push((server.url(&format!("/{number}")), format!("same/folder/{number}")));
    }
    let deliveries = wanted.iter().map(|(url, stem)| bench.fetcher.deliver(url, stem));
    let artifacts = futures::future::try_join_all(deliveries).await.unwrap();
    let widths: Vec<u32> = artifacts.iter().map(|artifact| artifact.width).collect();
    assert_eq!(widths, (1..=20).collect::<Vec<_>>());
    assert_eq!(bench.files(), 20);
}
