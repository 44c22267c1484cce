//! Any bytes as a downloaded picture and as a local source: no panic, no hang, bounded
//! memory (libFuzzer's own limits), and a name only for what was decoded whole.

#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use restore_batch::{
    fetch::{claim, verify},
    stage::inspect,
};

/// Largest picture allowed, in pixels.
const MOST_PIXELS: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    let verified =
        claim(file.as_file(), MOST_PIXELS).and_then(|claim| verify(file.as_file(), claim));
    if let Ok(picture) = &verified {
        let pixels = u64::from(picture.width) * u64::from(picture.height);
        assert!((1..=MOST_PIXELS).contains(&pixels), "{picture:?}");
        assert!(["png", "jpg", "webp", "tif", "gif", "bmp"].contains(&picture.extension));
    }
    if let Err(error) = &verified {
        let text = error.to_string();
        assert!(text.len() < 1_000 && !text.chars().any(char::is_control), "{text:?}");
    }
    // What can be fetched could have been sent.
    let inspected = inspect(file.path(), MOST_PIXELS);
    assert!(verified.is_err() || inspected.is_ok(), "{inspected:?}");
});
