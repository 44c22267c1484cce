//! The service over HTTP.

use std::{
    collections::BTreeSet,
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use jiff::Timestamp;
use percent_encoding::utf8_percent_encode;
use reqwest::{
    Client, RequestBuilder, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER},
};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{
    classify::{self, Answer, Exchange},
    contract::{Known, RestoreApi, StatusOutcome, SubmitOrder, SubmitOutcome},
    wire::{self, Status, SubmitBody},
};
use crate::core::{PATH_SEGMENT, is_disturbing, is_loopback, retry_after};

/// Most bytes of an answer that are read, unpacked; real ones have less than one kilobyte.
/// Hundreds of answers may be read at once, and reading JSON takes some thirty times its
/// size, so that this bounds memory.
const LONGEST_ANSWER: usize = 256 << 10;

/// Most characters of an address in an answer that is followed: what every server and
/// proxy takes (RFC 9110, section 4.1).
const LONGEST_ADDRESS: usize = 8_000;

/// Most characters of the cause of a broken connection that are told.
const LONGEST_CAUSE: usize = 200;

/// How to reach the service.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Service root; the key goes to this scheme, host and port and nowhere else.
    pub base_url: Url,
    /// The API key; `None` for a service that wants none.
    pub key: Option<SecretString>,
    /// Longest time to connect, name look-up and TLS included; at most half of
    /// `request_timeout` is used.
    pub connect_timeout: Duration,
    /// Longest time for one request and its answer.
    pub request_timeout: Duration,
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key has characters that no HTTP header may carry.
    #[error("the API key has characters that cannot be sent; it must be one line of plain letters")]
    Key,
    /// The base URL cannot have a path appended.
    #[error("`{0}` is no address of a service")]
    BaseUrl(Url),
    /// TLS or the resolver could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}

/// The remote service, reached by HTTP.
#[derive(Debug, Clone)]
pub struct HttpApi {
    client: Client,
    base: Url,
    key: Option<HeaderValue>,
    strange: Arc<StrangeWords>,
}

/// Status words that are not documented. Their items wait on; each is logged once.
#[derive(Debug, Default)]
struct StrangeWords(Mutex<BTreeSet<String>>);

impl StrangeWords {
    /// Most words that are remembered and logged: a service may put anything there.
    const MOST: usize = 16;

    /// Returns true for a word to be logged.
    fn is_news(&self, word: &str) -> bool {
        if Status::parse(word).is_some() {
            return false;
        }
        // What a panicking thread has left is still a set of words.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < Self::MOST && known.insert(word.to_owned())
    }
}

impl HttpApi {
    /// Creates a client. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when the key or the base URL cannot be used.
    pub fn new(settings: ApiSettings) -> Result<Self, BuildError> {
        let key = settings.key.as_ref().map(key_header).transpose()?;
        if settings.base_url.cannot_be_a_base() || settings.base_url.host().is_none() {
            return Err(BuildError::BaseUrl(settings.base_url));
        }
        let mut builder = Client::builder()
            .user_agent(concat!("restore-batch/", env!("CARGO_PKG_VERSION")))
            // Never the whole time of a request: when that runs out, the request counts
            // as sent.
            .connect_timeout(settings.connect_timeout.min(settings.request_timeout / 2))
            .timeout(settings.request_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            // The key must not travel along a redirect, and reqwest must not send a
            // request twice behind the ledger's back.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if !may_use_proxy(&settings.base_url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(BuildError::Client)?;
        Ok(Self { client, base: settings.base_url, key, strange: Arc::default() })
    }

    /// Returns the status address of a request: the service's own where it lies on the
    /// configured host, and otherwise one built from the base.
    fn status_url(&self, request: &Known) -> Url {
        let own = request.polling_url.as_deref().filter(|text| text.len() <= LONGEST_ADDRESS);
        own.and_then(|text| Url::parse(text).ok())
            .filter(|url| same_origin(url, &self.base))
            .unwrap_or_else(|| {
                let id = utf8_percent_encode(&request.request_id.0, PATH_SEGMENT);
                self.endpoint(&format!("{}{id}", wire::STATUS_PATH))
            })
    }

    /// Appends a path to the base, whatever path the base has itself.
    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{root}{path}"));
        url.set_query(None);
        url
    }

    async fn exchange(&self, request: RequestBuilder) -> Exchange {
        let request = match &self.key {
            Some(key) => request.header(wire::KEY_HEADER, key.clone()),
            None => request,
        };
        match request.send().await {
            Ok(response) => read_answer(response, self.key.clone()).await,
            Err(error) => unsent_or_unanswered(&error),
        }
    }
}

impl RestoreApi for HttpApi {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        Box::pin(async move {
            let body = SubmitBody {
                img: order.img.clone(),
                scale: order.scale,
                version: order.version.clone(),
            };
            let request = self
                .client
                .post(self.endpoint(wire::SUBMIT_PATH))
                .header(CONTENT_TYPE, "application/json")
                .header(CACHE_CONTROL, "no-cache")
                .json(&body);
            let request = match order.webhook.as_deref().map(webhook_header).transpose() {
                Ok(Some(address)) => request.header(wire::WEBHOOK_HEADER, address),
                Ok(None) => request,
                Err(why) => return classify::submit(&Exchange::NotSent(why)),
            };
            classify::submit(&self.exchange(request).await)
        })
    }

    fn status<'a>(&'a self, request: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        Box::pin(async move {
            let exchange = self.exchange(self.client.get(self.status_url(request))).await;
            let outcome = classify::status(&exchange, &request.request_id);
            if let StatusOutcome::Waiting { word } = &outcome
                && self.strange.is_news(word)
            {
                tracing::warn!(word, "the service reports an unknown status; its item waits on");
            }
            outcome
        })
    }
}

fn key_header(key: &SecretString) -> Result<HeaderValue, BuildError> {
    let key = key.expose_secret();
    // `HeaderValue` would also carry bytes beyond ASCII, which servers read differently.
    if !key.is_ascii() {
        return Err(BuildError::Key);
    }
    let mut value = HeaderValue::from_str(key).map_err(|_| BuildError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The address of a callback is a key, so that it is marked like one.
fn webhook_header(address: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(address)
        .map_err(|_| "the address for callbacks cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A proxy of the environment sees everything that is sent in plain text, the key as
/// well; through https it only carries bytes, and learns no more than the host's name.
fn may_use_proxy(base: &Url) -> bool {
    base.scheme() == "https" && !is_loopback(base)
}

fn same_origin(url: &Url, base: &Url) -> bool {
    url.origin() == base.origin() && url.username().is_empty() && url.password().is_none()
}

async fn read_answer(mut response: Response, key: Option<HeaderValue>) -> Exchange {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER)
        .and_then(|value| retry_after::parse(value, header(DATE), Timestamp::now()));
    match read_body(&mut response).await {
        Ok(body) => Exchange::Answer(Answer { status, retry_after, body, key }),
        // A refusal is a refusal even when its explanation is cut; an acceptance
        // without its name is not usable.
        Err(_) if !(200..300).contains(&status) => {
            Exchange::Answer(Answer { status, retry_after, body: Bytes::new(), key })
        }
        Err(why) => Exchange::NoAnswer(why),
    }
}

async fn read_body(response: &mut Response) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(format!("the answer is longer than {LONGEST_ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Only a failure to connect proves that nothing was sent.
fn unsent_or_unanswered(error: &reqwest::Error) -> Exchange {
    let why = explain(error);
    if error.is_connect() || error.is_builder() {
        Exchange::NotSent(why)
    } else {
        Exchange::NoAnswer(why)
    }
}

/// Describes an error by its innermost cause, without the URL.
fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "no answer in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let what = if error.is_connect() { "no connection" } else { "the connection broke" };
    let detail = if error.source().is_some() { innermost.to_string() } else { String::new() };
    // A certificate, for one, is quoted with every name in it.
    let detail: String =
        detail.chars().filter(|c| !is_disturbing(*c)).take(LONGEST_CAUSE).collect();
    if detail.is_empty() { what.to_owned() } else { format!("{what}: {detail}") }
}

#[cfg(test)]
mod tests;
