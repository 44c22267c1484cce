//! How artifacts of different items get different names.
//!
//! The manifest proposes a stem for each item; several items may propose the same,
//! or stems that only some file systems tell apart. The ledger counts the items of
//! each [`collision_key`] in manifest order, and [`artifact_stem`] turns the count
//! into a name, so that a name depends on the manifest alone and not on which item
//! was finished first.

use unicode_normalization::UnicodeNormalization;

/// Returns the name that two stems share when some file system cannot tell them
/// apart: case and Unicode composition are ignored.
///
/// The folding is Unicode's canonical caseless match (definition D145) with upper and
/// then lower case of each character in place of the folding table. It merges at least what
/// NTFS and APFS merge; merging more only costs a number in a name.
#[must_use]
pub fn collision_key(stem: &str) -> String {
    if stem.is_ascii() {
        return stem.to_ascii_lowercase();
    }
    stem.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfd().nfc().collect()
}

/// Returns the name of the artifact of the item that is number `ordinal`, from 0,
/// among those whose stems share a [`collision_key`].
///
/// The first keeps its stem, the others get `~2`, `~3` and so on. A stem that ends
/// like that by itself gets `~1`, because else it could be another item's numbered
/// name.
#[must_use]
pub fn artifact_stem(stem: &str, ordinal: u64) -> String {
    if ordinal == 0 && !ends_with_number(stem) {
        return stem.to_owned();
    }
    format!("{stem}~{}", ordinal.saturating_add(1))
}

fn ends_with_number(stem: &str) -> bool {
    let before = stem.trim_end_matches(|last: char| last.is_ascii_digit());
    before.len() < stem.len() && before.ends_with('~')
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_start_at_two() {
        assert_eq!(artifact_stem("a/b", 0), "a/b");
        assert_eq!(artifact_stem("a/b", 1), "a/b~2");
        assert_eq!(artifact_stem("a/b", 9), "a/b~10");
    }

    #[test]
    fn a_stem_that_looks_numbered_is_numbered_too() {
        assert_eq!(artifact_stem("a~2", 0), "a~2~1");
        assert_eq!(artifact_stem("a~2", 1), "a~2~2");
        assert_eq!(artifact_stem("a~", 0), "a~");
        assert_eq!(artifact_stem("a~2b", 0), "a~2b");
        assert_eq!(artifact_stem("12", 0), "12");
    }

    #[test]
    fn names_that_a_file_system_confuses_share_a_key() {
        for (one, other) in [
            ("Photo", "pHOTO"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{3a3}\u{39f}\u{3a3}", "\u{3c3}\u{3bf}\u{3c2}"),
            ("\u{17f}", "s"),
            ("\u{212a}elvin", "kelvin"),
        ] {
            assert_eq!(collision_key(one), collision_key(other), "{one} {other}");
        }
        assert_ne!(collision_key("a"), collision_key("\u{e4}"));
        assert_ne!(collision_key("a/b"), collision_key("a_b"));
    }

    proptest! {
        #[test]
        fn numbered_names_never_collide(
            stems in prop::collection::vec("[aA\u{e9}\u{c9}](~[1-3]?){0,2}|[sS\u{df}\u{3c2}\u{3a3}\u{301}]{0,3}|\\PC{1,3}", 1..40)
        ) {
            let mut counts: HashMap<String, u64> = HashMap::new();
            let mut taken: HashMap<String, String> = HashMap::new();
            for stem in &stems {
                let count = counts.entry(collision_key(stem)).or_default();
                let name = artifact_stem(stem, *count);
                *count += 1;
                let before = taken.insert(collision_key(&name), name.clone());
                prop_assert!(before.is_none(), "{name} and {before:?}");
            }
        }

        #[test]
        fn keys_are_keys_of_themselves(stem in "\\PC{0,12}") {
            let key = collision_key(&stem);
            prop_assert_eq!(collision_key(&key), key);
        }
    }
}
