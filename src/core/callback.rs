//! The address at which the service calls back about one attempt.
//!
//! A webhook carries no signature, so its address has to be one that nobody can guess:
//! its last path segment is `{item}-{attempt}-{mac}`, where `mac` is a keyed hash of the
//! other two under a secret of the job. Whoever calls it was told it by us, and what is
//! called says which attempt is meant, also when nobody knows the request's name: that
//! is what heals an item in doubt.
//!
//! Nothing has to be stored per attempt. An attempt's number is durable before its POST
//! leaves ([`SubmitIntent`](super::ItemEvent::SubmitIntent)), and so is its address,
//! which follows from the number and the secret.
//!
//! Not responsible for: what a callback says (`api::webhook`), receiving it
//! ([`webhook`](crate::webhook)), or what follows from it ([`run`](crate::run)).

use std::fmt;

use subtle::ConstantTimeEq as _;
use url::Url;

use super::{ItemId, RequestId};

/// Tells the hashes of callbacks from any other use of the secret.
const DOMAIN: &[u8] = b"restore-batch callback v1";

/// Bytes of a keyed hash that stand in an address: 128 bits cannot be guessed.
const MAC_BYTES: usize = 16;

/// Longest segment that is looked at: both numbers, two dashes, and the hash.
const LONGEST_SEGMENT: usize = 20 + 1 + 10 + 1 + 2 * MAC_BYTES;

/// A callback whose address was genuine. What it says is a hint: the status endpoint
/// decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The item that was submitted.
    pub item: ItemId,
    /// Which submit of the item it was, from 1.
    pub attempt: u32,
    /// The service's name for the request, if the callback gives a usable one.
    pub request_id: Option<RequestId>,
}

/// The secret from which a job's callback addresses follow. It is never shown.
#[derive(Clone, Copy)]
pub struct CallbackSecret([u8; 32]);

impl CallbackSecret {
    /// Takes 32 random bytes as a secret.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, to be kept and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the last path segment of an attempt's address.
    #[must_use]
    pub fn segment(&self, item: ItemId, attempt: u32) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(DOMAIN);
        hasher.update(&item.0.to_le_bytes());
        hasher.update(&attempt.to_le_bytes());
        let mac = hasher.finalize().to_hex();
        format!("{item}-{attempt}-{}", &mac[..2 * MAC_BYTES])
    }

    /// Returns the item and the attempt that a segment names, if it is one of ours.
    ///
    /// How long this takes does not depend on how much of a forged hash is right.
    #[must_use]
    pub fn read(&self, segment: &str) -> Option<(ItemId, u32)> {
        if segment.len() > LONGEST_SEGMENT {
            return None;
        }
        let mut parts = segment.splitn(3, '-');
        let item = ItemId(parts.next()?.parse().ok()?);
        let attempt = parts.next()?.parse().ok()?;
        let genuine = self.segment(item, attempt);
        bool::from(genuine.as_bytes().ct_eq(segment.as_bytes())).then_some((item, attempt))
    }
}

/// Compares in constant time.
impl PartialEq for CallbackSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for CallbackSecret {}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSecret(…)")
    }
}

/// Makes the addresses that the service is told.
#[derive(Debug, Clone)]
pub struct CallbackAddresses {
    root: Url,
    secret: CallbackSecret,
}

impl CallbackAddresses {
    /// Makes addresses below `root`, which is reachable by the service and ends where
    /// the receiver listens.
    #[must_use]
    pub fn new(root: Url, secret: CallbackSecret) -> Self {
        Self { root, secret }
    }

    /// Returns the address of one attempt. It is a key: neither logged nor stored.
    #[must_use]
    pub fn address(&self, item: ItemId, attempt: u32) -> String {
        let root = self.root.as_str().trim_end_matches('/');
        format!("{root}/{}", self.secret.segment(item, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: CallbackSecret = CallbackSecret::new([3; 32]);

    #[test]
    fn an_address_names_its_attempt_and_nothing_else_does() {
        let segment = SECRET.segment(ItemId(12), 3);
        assert_eq!(segment.len(), "12-3-".len() + 32);
        assert_eq!(SECRET.read(&segment), Some((ItemId(12), 3)));
        assert_eq!(CallbackSecret::new([4; 32]).read(&segment), None);
        let mac = segment.rsplit('-').next().unwrap();
        for forged in [
            format!("13-3-{mac}"),
            format!("12-4-{mac}"),
            format!("012-3-{mac}"),
            format!("+12-3-{mac}"),
            format!("12-3-{}", mac.to_uppercase()),
            format!("12-3-{}", &mac[..31]),
            format!("12-3-{mac}0"),
            format!("12-3-{}", "0".repeat(32)),
            "12-3-".into(),
            "12-3".into(),
            "--".into(),
            String::new(),
        ] {
            assert_eq!(SECRET.read(&forged), None, "{forged}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let root = Url::parse("https://me.example/hooks/").unwrap();
        let addresses = CallbackAddresses::new(root, SECRET);
        assert!(!format!("{addresses:?}").contains('3'), "{addresses:?}");
        let address = addresses.address(ItemId(1), 2);
        assert_eq!(address, format!("https://me.example/hooks/{}", SECRET.segment(ItemId(1), 2)));
    }

    proptest! {
        #[test]
        fn every_attempt_has_an_address_of_its_own(item: i64, attempt: u32, text in "\\PC{0,80}") {
            let read = SECRET.read(&SECRET.segment(ItemId(item), attempt));
            // Items are numbered from 1.
            prop_assert_eq!(read, (item >= 0).then_some((ItemId(item), attempt)));
            prop_assert_eq!(SECRET.read(&text), None);
        }
    }
}
