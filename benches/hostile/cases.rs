//! The hostile answers.

use std::{fs::OpenOptions, io::Cursor, path::Path, time::Duration};

use image::{DynamicImage, ImageFormat};
use restore_batch::testing::{bomb, scripted_server::Reply};

use super::Result;

/// Where an endless answer ends.
const ENDLESS: u64 = 2 << 30;

/// Size of what a bomb unpacks to.
const UNPACKED: usize = 2 << 30;

/// Most memory of a job whose answers from the service are hostile, in MiB: 24 answers of
/// 256 KiB at once, of which every two bytes may become a value of 32.
const API_LIMIT: u64 = 192;

/// Most memory of a job whose pictures claim few pixels, in MiB: they go through buffers
/// to the disk, and are read from there.
const SMALL_LIMIT: u64 = 192;

/// Most memory of a job whose pictures are large in what surrounds the pixels, in MiB: a
/// quarter above what was measured on two cores (407), and not derived. As many pictures
/// are looked at as there are cores, each with 16 MiB of extras at most, which explains
/// less than a third of it.
const EXTRAS_LIMIT: u64 = 512;

/// Most memory of a job whose pictures have nearly as many pixels as `--max-pixels` allows,
/// in MiB: three times what was measured (309), because a picture may have more channels.
const LARGE_LIMIT: u64 = 1_024;

/// Where the trick is.
pub(super) enum Place {
    Submit(Reply),
    Status(Reply),
    Media(Reply),
    /// A local file; this writes it.
    Source(fn(&Path) -> Result<()>),
}

/// One kind of hostile answer.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// Peak above which the case has failed, in MiB.
    pub(super) limit: u64,
}

impl Case {
    pub(super) fn harmless() -> Self {
        Self { name: "harmless", place: Place::Media(small_picture()), limit: SMALL_LIMIT }
    }
}

pub(super) fn small_picture() -> Reply {
    Reply::ok(picture(ImageFormat::Png))
}

pub(super) fn all() -> Vec<Case> {
    let case = |name, place| {
        let limit = match &place {
            Place::Submit(_) | Place::Status(_) => API_LIMIT,
            Place::Media(_) | Place::Source(_) => SMALL_LIMIT,
        };
        Case { name, place, limit }
    };
    let extras = |name, place| Case { limit: EXTRAS_LIMIT, ..case(name, place) };
    let large = |name, place| Case { limit: LARGE_LIMIT, ..case(name, place) };
    let (submit, status, media) = (Place::Submit, Place::Status, Place::Media);
    vec![
        case("submit: endless body", submit(Reply::endless(ENDLESS))),
        case("submit: JSON of 1 GB", submit(large_json())),
        case("submit: gzip bomb", submit(gzip_bomb())),
        case("submit: headers without end", submit(endless_headers())),
        case("submit: one header without end", submit(endless_header())),
        case("submit: early hints without end", submit(early_hints())),
        case("status: endless body", status(Reply::endless(ENDLESS))),
        case("status: JSON of 1 GB", status(large_json())),
        case("status: gzip bomb", status(gzip_bomb())),
        case("status: longest JSON that is read", status(longest_json())),
        case("status: nested JSON", status(Reply::ok("[".repeat(250_000)))),
        case("status: headers without end", status(endless_headers())),
        case("status: early hints without end", status(early_hints())),
        case("status: a byte now and then", status(drip())),
        case("media: endless body", media(Reply::endless(ENDLESS))),
        case(
            "media: length that lies",
            media(small_picture().header("Content-Length", "250000000")),
        ),
        case("media: gzip bomb", media(gzip_bomb())),
        case("media: headers without end", media(endless_headers())),
        case("media: one header without end", media(endless_header())),
        case("media: early hints without end", media(early_hints())),
        case("media: a byte now and then", media(drip())),
        case("media: png that claims 4 billion squared", media(claim())),
        large("media: png of 196 megapixels", media(Reply::ok(bomb::black_png(14_000, 14_000)))),
        extras(
            "media: png with a profile of 2 GiB",
            media(Reply::ok(bomb::png_with_profile(UNPACKED))),
        ),
        extras("media: png with texts of 2 GiB", media(Reply::ok(texts()))),
        case("media: png with 2 GiB more pixels", media(Reply::ok(more_pixels()))),
        case("media: jpeg of 200 MB", media(Reply::ok(padded_jpeg()))),
        extras("source: jpeg of 1 TiB", Place::Source(huge_jpeg)),
        extras("source: png with a profile of 2 GiB", Place::Source(profile)),
    ]
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let written = DynamicImage::new_rgb8(64, 64).write_to(&mut bytes, format);
    written.map(|()| bytes.into_inner()).unwrap_or_default()
}

fn large_json() -> Reply {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{\"request_id\":\"r\",\"x\":[";
    Reply::raw_endless(head, b"0,", 1 << 30)
}

/// Every two bytes of it become a value in memory.
fn longest_json() -> Reply {
    let zeros = "0,".repeat(131_000);
    Reply::json(200, &format!(r#"{{"status":"QUEUED","error":[{zeros}0]}}"#))
}

fn gzip_bomb() -> Reply {
    Reply::ok(bomb::zeros_gzipped(UNPACKED)).header("Content-Encoding", "gzip")
}

fn endless_headers() -> Reply {
    Reply::raw_endless("HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", ENDLESS)
}

fn endless_header() -> Reply {
    Reply::raw_endless("HTTP/1.1 200 OK\r\nX-A: ", b"a", ENDLESS)
}

fn early_hints() -> Reply {
    Reply::raw_endless("", b"HTTP/1.1 103 Early Hints\r\n\r\n", ENDLESS)
}

fn drip() -> Reply {
    Reply::ok("{").drip_on(Duration::from_millis(20))
}

fn claim() -> Reply {
    Reply::ok(bomb::png_with(0x7fff_ffff, 0x7fff_ffff, b"", &bomb::zeros_zlib(64)))
}

fn texts() -> Vec<u8> {
    let text = [b"Comment\0\0".to_vec(), bomb::zeros_zlib(UNPACKED / 8)].concat();
    let texts = bomb::png_chunk(b"zTXt", &text).repeat(8);
    bomb::png_with(1, 1, &texts, &bomb::zeros_zlib(2))
}

fn more_pixels() -> Vec<u8> {
    bomb::png_with(1, 1, b"", &bomb::zeros_zlib(UNPACKED))
}

/// A small picture with comments of 200 MB before it ends.
fn padded_jpeg() -> Vec<u8> {
    let mut jpeg = picture(ImageFormat::Jpeg);
    let comment = [vec![0xff, 0xfe, 0xff, 0xff], vec![b' '; 65_533]].concat();
    jpeg.splice(2..2, comment.repeat(3_000));
    jpeg
}

fn huge_jpeg(path: &Path) -> Result<()> {
    std::fs::write(path, picture(ImageFormat::Jpeg))?;
    // Sparse: it takes no space on the disk.
    Ok(OpenOptions::new().write(true).open(path)?.set_len(1 << 40)?)
}

fn profile(path: &Path) -> Result<()> {
    Ok(std::fs::write(path, bomb::png_with_profile(UNPACKED))?)
}
