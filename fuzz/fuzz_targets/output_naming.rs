//! Any text as a source or a wished name: the artifact's name stays in the output
//! folder, fits every file system, and differs from all others.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use restore_batch::{
    core::{artifact_stem, collision_key},
    manifest::{Source, output_stem, source_stem},
};

fuzz_target!(|input: (&str, &str, [u8; 2])| {
    let (one, other, ordinals) = input;
    let folder = Path::new("/photos/of mine");
    let mut stems = vec![output_stem(one), output_stem(other)];
    for text in [one, other] {
        if let Ok(source) = Source::parse(text, folder) {
            stems.push(source_stem(text, &source, folder));
        }
    }
    for stem in &stems {
        check(stem);
        check(&artifact_stem(stem, u64::from(ordinals[0])));
        // A name that was made once is not changed when it is wished for, unless it is
        // about as long as a name may be.
        if stem.len() < 600 && stem.split('/').all(|part| part.len() < 190) {
            assert_eq!(&output_stem(&format!("{stem}.png")), stem);
        }
    }
    names_differ(&stems[0], &stems[1], ordinals.map(u64::from));
});

fn check(stem: &str) {
    assert!(stem.len() <= 800, "{} bytes", stem.len());
    for part in stem.split('/') {
        assert!(!part.is_empty() && part.len() <= 230, "{part:?}");
        assert!(!matches!(part, "." | "..") && !part.starts_with(".restore-batch"), "{part:?}");
        assert!(!part.ends_with(['.', ' ']), "{part:?}");
        let harmful = |c: char| c.is_control() || r#"\:*?"<>|"#.contains(c);
        assert!(!part.chars().any(harmful), "{part:?}");
    }
}

/// Different items get names that no file system takes for one.
fn names_differ(one: &str, other: &str, ordinals: [u64; 2]) {
    let share = collision_key(one) == collision_key(other);
    if share && ordinals[0] == ordinals[1] {
        return;
    }
    // An item that does not share its stem with others has ordinal 0.
    let [first, second] = ordinals;
    let names = [artifact_stem(one, first), artifact_stem(other, second)];
    assert_ne!(collision_key(&names[0]), collision_key(&names[1]), "{names:?}");
}
