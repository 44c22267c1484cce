//! `Idempotency-Key`, an extension of the hosted service's contract: the same submit sent
//! twice is one request, also when both arrive at once.
//!
//! A key belongs to an account and is known as long as its request is. A submit that was
//! refused leaves nothing behind, so that the key can be used again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderMap;
use tokio::sync::OnceCell;

use super::{
    accounts::AccountId,
    refusal::Refusal,
    store::{IdempotencyKey, Record},
};
use crate::api::wire::SubmitBody;

/// The header; the name is that of the IETF draft `idempotency-key-header`.
pub(super) const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// Longest key in characters, as common payment APIs have it.
const LONGEST: usize = 255;

impl IdempotencyKey {
    /// Reads the header of a submit. Where the callback goes is no part of the body.
    ///
    /// # Errors
    ///
    /// 400 for a key that is too long or not visible ASCII, or for more than one.
    pub(super) fn of(headers: &HeaderMap, body: &SubmitBody) -> Result<Option<Self>, Refusal> {
        let mut given = headers.get_all(IDEMPOTENCY_HEADER).iter();
        let Some(key) = given.next() else { return Ok(None) };
        let visible =
            (1..=LONGEST).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
        match key.to_str() {
            Ok(key) if visible && given.next().is_none() => {
                let SubmitBody { img, scale, version } = body;
                let body = serde_json::json!([img, scale, version]).to_string();
                Ok(Some(Self { key: key.to_owned(), body: blake3::hash(body.as_bytes()) }))
            }
            _ => Err(Refusal::bad_request(
                "'Idempotency-Key' must be one key of 1 to 255 visible ASCII characters.",
            )),
        }
    }
}

/// What a client hears whose key belongs to another body.
pub(super) const KEY_OF_ANOTHER_BODY: &str = "This 'Idempotency-Key' was used with another body.";

type Key = (AccountId, String);

/// One key that is known.
#[derive(Debug)]
struct Known {
    body: blake3::Hash,
    /// The request; empty while it is being accepted.
    request: OnceCell<String>,
}

/// Every key whose request is not swept yet.
#[derive(Debug, Default)]
pub(super) struct Idempotency(Mutex<HashMap<Key, Arc<Known>>>);

impl Idempotency {
    /// Takes up the key of a request that was kept.
    pub(super) fn restore(&self, account: AccountId, record: &Record) {
        let Some(IdempotencyKey { key, body }) = &record.idempotency else { return };
        let request = OnceCell::new_with(Some(record.id.clone()));
        let known = Arc::new(Known { body: *body, request });
        self.known().insert((account, key.clone()), known);
    }

    /// Forgets the key of a request that is swept.
    pub(super) fn forget(&self, account: AccountId, record: &Record) {
        if let Some(IdempotencyKey { key, .. }) = &record.idempotency {
            self.known().remove(&(account, key.clone()));
        }
    }

    /// Returns the request of this key; `accept` makes it, unless it is there. Of several
    /// callers at once one accepts, and the others wait for what comes of it.
    ///
    /// It must not be cancelled: the next caller would accept once more.
    ///
    /// # Errors
    ///
    /// 422 when the key belongs to another body, and what `accept` fails with.
    pub(super) async fn once(
        &self,
        account: AccountId,
        given: IdempotencyKey,
        accept: impl Future<Output = Result<String, Refusal>>,
    ) -> Result<String, Refusal> {
        let key = (account, given.key);
        let new = || Arc::new(Known { body: given.body, request: OnceCell::new() });
        let known = Arc::clone(self.known().entry(key.clone()).or_insert_with(new));
        if known.body != given.body {
            return Err(Refusal::unprocessable(KEY_OF_ANOTHER_BODY));
        }
        let accepted = known.request.get_or_try_init(|| accept).await.cloned();
        if accepted.is_err() {
            let mut all = self.known();
            // Two are the map and this call: nobody else waits.
            if known.request.get().is_none() && Arc::strong_count(&known) == 2 {
                all.remove(&key);
            }
        }
        accepted
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Arc<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::gateway::{accounts::Accounts, settings::GatewaySettings};

    fn account() -> AccountId {
        let accounts = Accounts::new(&GatewaySettings::default(), Vec::new());
        accounts.authenticate(&HeaderMap::new()).unwrap()
    }

    fn given(body: &str) -> IdempotencyKey {
        IdempotencyKey { key: "k".to_owned(), body: blake3::hash(body.as_bytes()) }
    }

    #[test]
    fn keys_are_visible_and_short() {
        let body = SubmitBody { img: "http://h/".into(), scale: 2, version: "v1.4".into() };
        let of = |keys: &[&[u8]]| {
            let header = |key: &&[u8]| {
                let name: http::HeaderName = IDEMPOTENCY_HEADER.parse().unwrap();
                (name, http::HeaderValue::from_bytes(key).unwrap())
            };
            let mut headers = HeaderMap::new();
            for (name, value) in keys.iter().map(header) {
                headers.append(name, value);
            }
            IdempotencyKey::of(&headers, &body).map(|given| given.map(|given| given.key))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"a-1_~"]), Ok(Some("a-1_~".to_owned())));
        assert!(of(&[&[b'x'; 255]]).is_ok());
        for wrong in [&b""[..], b"a b", "schl\u{fc}ssel".as_bytes(), &[b'x'; 256]] {
            assert!(of(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(of(&[b"a", b"b"]).is_err());
    }

    #[tokio::test]
    async fn of_many_at_once_one_accepts() {
        let (keys, accepts) = (Idempotency::default(), AtomicUsize::new(0));
        let submit = || {
            keys.once(account(), given("a"), async {
                tokio::task::yield_now().await;
                Ok(format!("request {}", accepts.fetch_add(1, Ordering::Relaxed)))
            })
        };
        let all = futures::future::join_all([submit(), submit(), submit()]).await;
        assert_eq!(
            all,
            [const { Ok::<_, Refusal>(()) }; 3].map(|ok| ok.map(|()| "request 0".to_owned()))
        );
        let other = keys.once(account(), given("b"), async { Ok("new".to_owned()) }).await;
        assert!(other.is_err());
    }

    #[tokio::test]
    async fn what_was_refused_may_be_tried_again() {
        let keys = Idempotency::default();
        let refused = keys.once(account(), given("a"), async { Err(Refusal::internal()) }).await;
        assert_eq!(refused, Err(Refusal::internal()));
        assert!(keys.known().is_empty());
        let accepted = keys.once(account(), given("b"), async { Ok("new".to_owned()) }).await;
        assert_eq!(accepted, Ok("new".to_owned()));
    }
}
