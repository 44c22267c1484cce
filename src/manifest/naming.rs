//! Proposes names for artifacts: readable, safe on every file system, never outside
//! the output folder.
//!
//! Names need not be unique here;
//! [`core::artifact_stem`](crate::core::artifact_stem) sees to that.

use std::{
    borrow::Cow,
    path::{Component, Path},
};

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization;
use url::Url;

use super::source::Source;

/// Extensions that are dropped, because the artifact gets that of its own content.
const PICTURE_EXTENSIONS: [&str; 24] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "gif", "bmp", "heic",
    "heif", "avif", "jp2", "jxl", "ico", "tga", "psd", "dng", "cr2", "nef", "arw", "raw",
];

/// Longest part of a path in bytes: 255 on all common file systems, less a number
/// and an extension.
const MOST_COMPONENT_BYTES: usize = 200;

/// Longest stem in bytes, so that it fits below a job folder into the 1,024 bytes
/// of macOS' `PATH_MAX`.
const MOST_STEM_BYTES: usize = 700;

/// Names that Windows takes for devices, with any extension (Microsoft, "Naming
/// Files, Paths, and Namespaces").
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// What a picture without a name is called.
const NAMELESS: &str = "image";

/// Returns the stem for a row that names its `output`.
#[must_use]
pub fn output_stem(output: &str) -> String {
    join(output.split('/').map(Cow::Borrowed))
}

/// Returns the stem for a source, written as `text`, of a manifest in `base_dir`.
///
/// Files below the manifest's folder keep their place below it; other files and
/// addresses get all their folders, without the host, user or query.
#[must_use]
pub fn source_stem(text: &str, source: &Source, base_dir: &Path) -> String {
    match source {
        Source::Url(url) | Source::Bucket(url) => join(url_parts(url)),
        Source::Path(path) => {
            let as_written = Path::new(text.trim());
            let path = match path.strip_prefix(base_dir) {
                Ok(below) => below,
                Err(_) if as_written.is_relative() => as_written,
                Err(_) => path,
            };
            join(path.components().filter_map(|component| match component {
                Component::Normal(name) => Some(name.to_string_lossy()),
                _ => None,
            }))
        }
    }
}

fn url_parts(url: &Url) -> impl Iterator<Item = Cow<'_, str>> {
    // Decoded part by part, so that an encoded slash cannot make a folder.
    url.path().split('/').map(|part| percent_decode_str(part).decode_utf8_lossy())
}

/// Makes a stem of folders and a file name.
fn join<'a>(parts: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut parts: Vec<_> = parts.filter(|part| !matches!(part.trim(), "" | "." | "..")).collect();
    let file = parts.pop();
    let mut safe: Vec<String> = parts.iter().map(|folder| safe_folder(folder)).collect();
    safe.push(
        file.map_or_else(|| NAMELESS.to_owned(), |file| safe_component(without_extension(&file))),
    );
    shorten(&safe)
}

/// Keeps the first folder and the name of a stem that is too long.
fn shorten(parts: &[String]) -> String {
    let stem = parts.join("/");
    match parts {
        [first, middle @ .., name] if stem.len() > MOST_STEM_BYTES => {
            let digest = blake3::hash(middle.join("/").as_bytes()).to_hex();
            format!("{first}/{}/{name}", &digest[..16])
        }
        _ => stem,
    }
}

/// Returns the name without a known picture extension.
fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_picture_extension(extension) => stem,
        _ => name,
    }
}

fn is_picture_extension(extension: &str) -> bool {
    PICTURE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// A folder called `a.png` could meet the artifact `a.png`, so it gets a mark.
fn safe_folder(name: &str) -> String {
    let mut safe = safe_component(name);
    if without_extension(&safe).len() < safe.len() {
        safe.push('_');
    }
    safe
}

/// Makes one part of a path safe.
fn safe_component(name: &str) -> String {
    let mut safe: String =
        name.nfc().map(|character| if is_unsafe(character) { '_' } else { character }).collect();
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    let kept = safe.trim_end_matches(['.', ' ']).len();
    let trailing = safe.len() - kept;
    safe.replace_range(kept.., &"_".repeat(trailing));
    if safe.len() > MOST_COMPONENT_BYTES {
        safe = shorten_component(&safe);
    }
    if safe.is_empty() {
        return NAMELESS.to_owned();
    }
    defuse_device(safe)
}

/// Returns true for what some file system or shell forbids, and for characters that
/// make a name look like another: text direction marks and line separators.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*')
        || matches!(
            character,
            '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
        )
}

/// Cuts a name and ends it with a hash of the whole, so that long names that begin
/// alike stay distinct.
fn shorten_component(name: &str) -> String {
    let digest = blake3::hash(name.as_bytes()).to_hex();
    let start = &name[..name.floor_char_boundary(MOST_COMPONENT_BYTES - 9)];
    format!("{start}-{}", &digest[..8])
}

/// Changes `CON.old` to `CON_.old`; Windows looks only at what is before the first dot.
fn defuse_device(mut name: String) -> String {
    let base_end = name.find('.').unwrap_or(name.len());
    let base = name[..base_end].trim_end();
    if is_device(base) {
        name.insert(base.len(), '_');
    }
    name
}

fn is_device(base: &str) -> bool {
    let upper = base.to_uppercase();
    if DEVICES.contains(&upper.as_str()) {
        return true;
    }
    let port = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
    // The superscript digits of Latin-1 count as digits there.
    port.is_some_and(|port| {
        matches!(port, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stem(text: &str) -> String {
        let base = Path::new("/data/job");
        source_stem(text, &Source::parse(text, base).unwrap(), base)
    }

    #[test]
    fn sources_keep_their_place() {
        for (text, expected) in [
            ("a.jpg", "a"),
            ("./1950/x/../Oma.JPEG", "1950/Oma"),
            ("../scans/b.png", "scans/b"),
            ("../../../etc/passwd", "etc/passwd"),
            ("/data/job/sub/c.tif", "sub/c"),
            ("/mnt/d.webp", "mnt/d"),
            ("https://cdn.example.com/p/a%20b/%C3%A4.png?sig=secret", "p/a b/\u{e4}"),
            ("https://x/a%2Fb.jpg", "a_b"),
            ("https://x/%2e%2e/%2e%2e/e.jpg", "e"),
            ("https://x/..%2F..%2Fe.jpg", "_._.._e"),
            ("https://x/a%00b.jpg", "a_b"),
            ("https://x/%FF.jpg", "\u{fffd}"),
            ("https://x/", "image"),
            ("https://x/img.php?id=1", "img.php"),
            ("s3://bucket/k/100%.jpg", "k/100%"),
        ] {
            assert_eq!(stem(text), expected, "{text}");
        }
    }

    #[test]
    fn outputs_cannot_leave_the_folder() {
        for (output, expected) in [
            ("family/1.png", "family/1"),
            ("../../etc/cron.d/x", "etc/cron.d/x"),
            ("/etc/passwd", "etc/passwd"),
            ("..\\..\\x", "_._.._x"),
            ("C:\\x.png", "C__x"),
            ("a/./b//c", "a/b/c"),
            (" .. /x", "x"),
            ("..", "image"),
            ("/", "image"),
            ("v1.4", "v1.4"),
            (".png", "_png"),
            (".hidden", "_hidden"),
            ("name. .", "name___"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("a.png/b.png", "a.png_/b"),
        ] {
            assert_eq!(output_stem(output), expected, "{output}");
        }
    }

    #[test]
    fn device_names_are_defused() {
        for (output, expected) in [
            ("CON", "CON_"),
            ("con.jpg", "con_"),
            ("Nul.tar.gz", "Nul_.tar.gz"),
            ("aux /x", "aux_/x"),
            ("com1", "com1_"),
            ("LPT\u{b9}.a", "LPT\u{b9}_.a"),
            ("com0", "com0"),
            ("console", "console"),
            ("com10", "com10"),
        ] {
            assert_eq!(output_stem(output), expected, "{output}");
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        let long = "\u{e4}".repeat(150);
        let (one, other) = (output_stem(&format!("{long}1")), output_stem(&format!("{long}2")));
        assert!(one.len() <= MOST_COMPONENT_BYTES && one.starts_with("\u{e4}\u{e4}"));
        assert_ne!(one, other);

        let folders = format!("first/{}", "folder/".repeat(200));
        let (one, other) =
            (output_stem(&format!("{folders}x/name")), output_stem(&format!("{folders}y/name")));
        assert!(one.starts_with("first/") && one.ends_with("/name"));
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn every_stem_is_safe(output in "([a-cA. /\\\\:~]|CON|nul|\\.\\.|\\.jpg|\u{e9}|\u{301}|\\PC|[\0-\u{1f}]){0,60}") {
            let stem = output_stem(&output);
            prop_assert!(!stem.is_empty() && stem.len() <= MOST_STEM_BYTES);
            for part in stem.split('/') {
                prop_assert!(!part.is_empty() && part.len() <= MOST_COMPONENT_BYTES + 1);
                prop_assert!(!part.starts_with('.') && !part.ends_with(['.', ' ']), "{part:?}");
                prop_assert!(!part.chars().any(is_unsafe), "{part:?}");
                prop_assert!(!is_device(part.split('.').next().unwrap().trim_end()), "{part:?}");
                prop_assert_eq!(part.nfc().collect::<String>(), part);
            }
        }
    }
}
