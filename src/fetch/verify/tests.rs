use std::io::{Cursor, Write};

use image::{DynamicImage, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::testing::bomb;

const FORMATS: [(ImageFormat, &str); 6] = [
    (ImageFormat::Png, "png"),
    (ImageFormat::Jpeg, "jpg"),
    (ImageFormat::WebP, "webp"),
    (ImageFormat::Tiff, "tif"),
    (ImageFormat::Gif, "gif"),
    (ImageFormat::Bmp, "bmp"),
];

/// A picture with enough texture that every byte of a compressed file counts.
fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(40, 30, |x, y| {
        let hash = blake3::hash(&[x.to_le_bytes(), y.to_le_bytes()].concat());
        image::Rgb([hash.as_bytes()[0], hash.as_bytes()[1], hash.as_bytes()[2]])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn check(bytes: &[u8]) -> Result<Picture, Rejection> {
    check_within(bytes, 1_000_000)
}

fn check_within(bytes: &[u8], max_pixels: u64) -> Result<Picture, Rejection> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let found = claim(&file, max_pixels).and_then(|claim| verify(&file, claim));
    let in_memory = claim_bytes(bytes, max_pixels).and_then(|claim| verify_bytes(bytes, claim));
    assert_eq!(format!("{found:?}"), format!("{in_memory:?}"));
    found
}

#[test]
fn whole_pictures_of_every_format_pass() {
    for (format, extension) in FORMATS {
        let found = check(&picture(format)).unwrap();
        assert_eq!(found, Picture { width: 40, height: 30, extension }, "{format:?}");
    }
}

#[test]
fn what_follows_the_end_of_a_picture_does_not_matter() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        check(&[picture(format), b"trailer of a camera".to_vec()].concat()).unwrap();
    }
    check(&[picture(ImageFormat::Gif), vec![0; 100]].concat()).unwrap();
}

#[test]
fn a_picture_cut_anywhere_is_found() {
    for (format, _) in FORMATS {
        let whole = picture(format);
        let lengths = [30, whole.len() / 2, whole.len() - 20, whole.len() - 2, whole.len() - 1];
        for length in lengths {
            let found = check(&whole[..length]);
            assert!(found.is_err(), "{format:?} with {length} of {}: {found:?}", whole.len());
        }
    }
}

#[test]
fn a_cut_picture_is_called_incomplete() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let whole = picture(format);
        let found = check(&whole[..whole.len() - 1]);
        assert!(matches!(found, Err(Rejection::Incomplete(_))), "{format:?}: {found:?}");
    }
}

#[test]
fn an_end_marker_in_a_thumbnail_is_not_the_end() {
    let whole = picture(ImageFormat::Jpeg);
    let thumbnail = [&[0xff, 0xe1, 0, 6], &[0xff, 0xd9, 0xff, 0xd9][..]].concat();
    let with = [&whole[..2], &thumbnail, &whole[2..]].concat();
    check(&with).unwrap();
    assert!(check(&with[..with.len() - 1]).is_err());
}

#[test]
fn a_progressive_jpeg_passes() {
    // Made with Pillow: `Image.linear_gradient("L").resize((16, 16)).save(…, progressive=True)`.
    check(include_bytes!("progressive.jpg")).unwrap();
}

#[test]
fn the_pixel_limit_is_checked_before_anything_is_decoded() {
    let bytes = picture(ImageFormat::Png);
    check_within(&bytes, 1_200).unwrap();
    let found = check_within(&bytes, 1_199);
    assert!(matches!(found, Err(Rejection::TooLarge { width: 40, height: 30, .. })), "{found:?}");
}

/// 67 bytes that claim to be 4 billion pixels wide and high.
#[test]
fn a_bomb_is_refused_by_its_header() {
    let bomb = bomb::png_with(0x7fff_ffff, 0x7fff_ffff, b"", &bomb::zeros_zlib(8));
    let found = check_within(&bomb, 200_000_000);
    assert!(
        matches!(found, Err(Rejection::TooLarge { .. } | Rejection::Undecodable(_))),
        "{found:?}"
    );
}

/// The decoder leaves out a profile that does not fit, and a picture without one is whole.
#[test]
fn what_a_header_unpacks_to_is_bounded() {
    let unpacked = |length: usize| {
        let bytes = bomb::png_with_profile(length);
        assert!(bytes.len() < 2 << 20);
        check(&bytes).unwrap();
        let mut decoder = decoder(Cursor::new(bytes), ImageFormat::Png, EXTRA_BYTES).unwrap();
        decoder.icc_profile().unwrap().map(|profile| profile.len())
    };
    assert_eq!(unpacked(4 << 20), Some(4 << 20));
    assert_eq!(unpacked(256 << 20), None);
}

#[test]
fn more_pixel_data_than_the_picture_has_is_not_unpacked() {
    check(&bomb::png_with(1, 1, b"", &bomb::zeros_zlib(1 << 30))).unwrap();
}

#[test]
fn a_claim_counts_pixels_and_the_file_that_a_decoder_holds() {
    let claim_of = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        claim(&file, 1_000_000).unwrap().memory
    };
    // Of a PNG only some rows are in memory.
    assert_eq!(claim_of(&picture(ImageFormat::Png)), most_memory(40 * ROWS, 0));
    let gif = claim_of(&picture(ImageFormat::Gif));
    assert_eq!(gif, most_memory(40 * 30, 0));
    let jpeg = picture(ImageFormat::Jpeg);
    assert_eq!(claim_of(&jpeg) - gif, jpeg.len() as u64);
    assert!(gif <= most_memory(1_000_000, 0));
}

#[test]
fn an_error_page_is_quoted_without_its_secrets() {
    let page =
        "<!doctype html>\r\n<title>Access\tdenied</title>\x07 <a href=https://h/a?sig=SECRET>`";
    let message = check(page.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        message,
        "the file is not a picture; it begins with `<!doctype html> <title>Access denied</title> <a href=https://h/a>`"
    );
    let json = check(br#"{"error":"expired"}"#).unwrap_err().to_string();
    assert!(json.ends_with(r#"it begins with `{"error":"expired"}`"#), "{json}");
}

#[test]
fn other_content_is_named_not_quoted() {
    assert!(matches!(check(b""), Err(Rejection::NotAPicture(text)) if text.contains("empty")));
    for binary in [&b"\x7fELF\x02\x01\x01\0\0\0"[..], b"\xfe\xff\0<\0h\0t\0m\0l"] {
        let found = check(binary);
        assert!(
            matches!(&found, Err(Rejection::NotAPicture(text)) if !text.contains('`')),
            "{found:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_never_panic(format in 0usize..6, at in 0.0..1.0f64, with: Vec<u8>) {
        let mut bytes = picture(FORMATS[format].0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
        let start = (bytes.len() as f64 * at) as usize;
        let end = bytes.len().min(start + with.len());
        bytes.splice(start..end, with);
        let _ = check(&bytes);
    }
}

/// Found by fuzzing: the decoder is content with a GIF of no lines.
#[test]
fn a_picture_without_pixels_is_none() {
    let empty = b"GIF87a\x06\0\0\0\x81\0\0\xc8\x1eM\x01\x02\x03\0\0\0\0\0\0,\0\0\0\0\0\0\0\0N\x06\
        \0\0\0\0\x04\0\0\x28\x0c\0\x01\0\0\x01\0\0\x08\x0c\0\x01\x02\x01\0;";
    let found = check(empty);
    assert!(matches!(&found, Err(Rejection::Undecodable(why)) if why.contains("6x0")), "{found:?}");
}
