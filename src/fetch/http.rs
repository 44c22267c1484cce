//! The HTTP client for addresses that someone else has named.
//!
//! Separate from the client that talks to the service: this one has no key, no
//! cookies, no proxy from the environment, and follows redirects by hand so that
//! every hop passes the same checks. It knows nothing of artifacts; it fills any
//! [`Sink`].

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{
    Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER, USER_AGENT,
    },
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::{Host, Url};

use super::{
    address::{next_hop, parse, shown, without_query},
    address_guard::is_public,
    resolver::{GuardedResolver, is_private_only},
};
use crate::core::retry_after;

/// Most redirects followed. Object stores use one or two; the fetch standard allows
/// 20, which only helps loops.
const MAX_REDIRECTS: usize = 5;

/// Most characters of a content encoding that are repeated; real names have at most 13
/// (IANA HTTP Content Coding Registry).
const LONGEST_ENCODING: usize = 20;

/// How a [`GuardedClient`] connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Open private, loopback and link-local addresses too, which includes cloud
    /// metadata services. Only for tests and for services in one's own network.
    pub allow_private: bool,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence while waiting for, or reading, an answer.
    pub idle_timeout: Duration,
}

impl Default for ClientSettings {
    /// Public addresses only; 10 s to connect; 30 s of silence.
    fn default() -> Self {
        Self {
            allow_private: false,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// How much one download may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetLimits {
    /// Most bytes of the body; enforced while it streams.
    pub max_bytes: u64,
    /// Longest time for everything, redirects included.
    pub total_timeout: Duration,
}

impl Default for GetLimits {
    /// 256 MiB, 5 minutes: a 4x restoration of a 12-megapixel photo is near 250 MB
    /// as an uncompressible PNG.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, total_timeout: Duration::from_mins(5) }
    }
}

/// Takes a body as it arrives.
pub trait Sink: Send {
    /// Takes the next bytes.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

impl<W: AsyncWrite + Unpin + Send> Sink for W {
    async fn take(&mut self, bytes: Bytes) -> io::Result<()> {
        self.write_all(&bytes).await
    }
}

/// What a download brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Size of the body in bytes.
    pub bytes: u64,
    /// Hash of the body.
    pub blake3: blake3::Hash,
    /// What the server says it is; not to be relied on.
    pub content_type: Option<String>,
}

/// A download failed.
#[derive(Debug)]
pub struct GetError {
    /// The address that failed, without credentials and query string.
    pub url: String,
    /// What happened.
    pub kind: GetErrorKind,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.url, self.kind)
    }
}

impl std::error::Error for GetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

/// Why a download failed; reads on after the address.
#[derive(Debug, thiserror::Error)]
pub enum GetErrorKind {
    /// No address that can be downloaded from.
    #[error("is no address to download from: {0}")]
    BadUrl(&'static str),
    /// The host is private or local, and that is not allowed.
    #[error("leads to a private or local address, and those are not opened")]
    Blocked,
    /// A redirect to no address that can be downloaded from.
    #[error("redirects to an address that is not opened: {0}")]
    BadRedirect(&'static str),
    /// A redirect from https to http.
    #[error("redirects from https to http, and that is not followed")]
    Downgrade,
    /// Redirects without end or target.
    #[error("redirects {0}")]
    Redirect(&'static str),
    /// The server answered with something other than 200.
    #[error("answered with HTTP status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The pause the server asked for; not clamped.
        retry_after: Option<Duration>,
    },
    /// The body is compressed, though that was not asked for.
    #[error("answered with content encoding `{0}`, which was not asked for")]
    Encoded(String),
    /// The body is larger than allowed.
    #[error("is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No connection: name, network or TLS.
    #[error("could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The connection broke before the answer was complete.
    #[error("was cut off before it was complete")]
    Cut(#[source] reqwest::Error),
    /// A time limit has passed.
    #[error("took too long")]
    TimedOut,
    /// What was received could not be written.
    #[error("was received, but could not be written: {0}")]
    Sink(#[source] io::Error),
}

/// Downloads from addresses that are not trusted. Cheap to clone; shares connections.
#[derive(Debug, Clone)]
pub struct GuardedClient {
    pub(super) http: reqwest::Client,
    allow_private: bool,
}

impl GuardedClient {
    /// Creates a client.
    ///
    /// # Errors
    ///
    /// When the TLS back end cannot be set up.
    pub fn new(settings: &ClientSettings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver { allow_private: settings.allow_private })
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.idle_timeout)
            .build()?;
        Ok(Self { http, allow_private: settings.allow_private })
    }

    /// Downloads `url` into `sink` and hashes it on the way. A writer is not flushed.
    ///
    /// After an error `sink` holds some part of the body.
    ///
    /// # Errors
    ///
    /// [`GetError`]; the address may be that of a redirect.
    pub async fn get_to<W>(
        &self,
        url: &str,
        sink: &mut W,
        limits: &GetLimits,
    ) -> Result<Received, GetError>
    where
        W: Sink,
    {
        let everything = async {
            let response = self.open(url).await?;
            let shown = shown(response.url());
            receive(response, sink, limits.max_bytes)
                .await
                .map_err(|kind| GetError { url: shown, kind })
        };
        tokio::time::timeout(limits.total_timeout, everything).await.unwrap_or_else(|_| {
            Err(GetError { url: without_query(url), kind: GetErrorKind::TimedOut })
        })
    }

    /// Follows redirects to the answer, with the same checks at each hop.
    async fn open(&self, url: &str) -> Result<Response, GetError> {
        let mut hop = parse(url).map_err(|kind| GetError { url: without_query(url), kind })?;
        for _ in 0..=MAX_REDIRECTS {
            let failed = |kind| GetError { url: shown(&hop), kind };
            self.check(&hop).map_err(failed)?;
            let response = self.send(&hop).await.map_err(failed)?;
            match next_hop(&hop, &response).map_err(failed)? {
                Some(next) => hop = next,
                None => return Ok(response),
            }
        }
        Err(GetError { url: without_query(url), kind: GetErrorKind::Redirect("too often") })
    }

    /// Checks what the resolver never sees: a literal address as the host.
    pub(super) fn check(&self, url: &Url) -> Result<(), GetErrorKind> {
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match literal {
            Some(address) if !self.allow_private && !is_public(address) => {
                Err(GetErrorKind::Blocked)
            }
            _ => Ok(()),
        }
    }

    async fn send(&self, url: &Url) -> Result<Response, GetErrorKind> {
        self.http
            .get(url.clone())
            .header(USER_AGENT, concat!("restore-batch/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT_ENCODING, "identity")
            .send()
            .await
            .map_err(not_answered)
    }
}

/// Streams a whole body. The announced length is a hint: it refuses early, and hyper
/// reports a body that ends before it; it never allows more.
async fn receive(
    mut response: Response,
    sink: &mut impl Sink,
    max_bytes: u64,
) -> Result<Received, GetErrorKind> {
    check_answer(&response, max_bytes)?;
    let content_type = response.headers().get(CONTENT_TYPE).and_then(text);
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0_u64;
    while let Some(chunk) = response.chunk().await.map_err(broken_off)? {
        bytes += chunk.len() as u64;
        if bytes > max_bytes {
            return Err(GetErrorKind::TooLarge { limit: max_bytes });
        }
        hasher.update(&chunk);
        sink.take(chunk).await.map_err(GetErrorKind::Sink)?;
    }
    Ok(Received { bytes, blake3: hasher.finalize(), content_type })
}

fn check_answer(response: &Response, max_bytes: u64) -> Result<(), GetErrorKind> {
    if response.status() != StatusCode::OK {
        return Err(GetErrorKind::Status {
            status: response.status().as_u16(),
            retry_after: asked_pause(response),
        });
    }
    if let Some(encoding) = response.headers().get(CONTENT_ENCODING).and_then(text)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(GetErrorKind::Encoded(encoding.chars().take(LONGEST_ENCODING).collect()));
    }
    if response.content_length().is_some_and(|length| length > max_bytes) {
        return Err(GetErrorKind::TooLarge { limit: max_bytes });
    }
    Ok(())
}

pub(super) fn asked_pause(response: &Response) -> Option<Duration> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    retry_after::parse(header(RETRY_AFTER)?, header(DATE), Timestamp::now())
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

pub(super) fn not_answered(error: reqwest::Error) -> GetErrorKind {
    if is_private_only(&error) {
        GetErrorKind::Blocked
    } else if error.is_builder() {
        GetErrorKind::BadUrl("it cannot be sent over HTTP")
    } else if error.is_timeout() {
        GetErrorKind::TimedOut
    } else if error.is_connect() {
        GetErrorKind::Unreachable(error.without_url())
    } else {
        GetErrorKind::Cut(error.without_url())
    }
}

fn broken_off(error: reqwest::Error) -> GetErrorKind {
    if error.is_timeout() { GetErrorKind::TimedOut } else { GetErrorKind::Cut(error.without_url()) }
}

#[cfg(test)]
mod tests;
