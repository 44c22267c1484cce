//! What a gateway can be told.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    ops::Range,
    path::PathBuf,
    thread::available_parallelism,
    time::Duration,
};

use governor::Quota;
use url::Url;

use super::{callback, keys::AccessKey, local_files::LocalFiles, source};
use crate::{core::Micros, engine::DecodeLimits, fetch::GetLimits};

/// The hosted service's price of one request, in micro-dollars: 0.0031 USD.
const HOSTED_PRICE: Micros = Micros(3_100);

/// Pixels in memory at once: 1.5 GB for 8-bit colour, and room for one photo of 12
/// megapixels at scale 4 beside small ones.
const MEMORY_PIXELS: u64 = 250_000_000;

/// How a gateway listens, whom it serves, and how much it takes on.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may submit. None at all means that nobody needs a key, which is only
    /// possible on a loopback address.
    pub keys: Vec<AccessKey>,
    /// Where clients reach the gateway, when that is not where it listens: behind a
    /// proxy, or when listening on all addresses.
    pub base_url: Option<Url>,
    /// Most pictures being fetched and restored at once, if
    /// [`memory_pixels`](Self::memory_pixels) has room for them.
    pub workers: NonZeroUsize,
    /// Most requests that wait; one more is answered with 429. With several keys, none may
    /// have more of them wait than it leaves places free.
    pub queue_length: NonZeroUsize,
    /// How often one key may submit that does not say so itself; `None` for as often as it
    /// likes.
    pub submit_rate: Option<Quota>,
    /// What an accepted request costs.
    pub price: Micros,
    /// What each key may spend in all that does not say so itself; `None` for no limit. What
    /// was spent is remembered, so that a larger amount tops up.
    pub balance: Option<Micros>,
    /// Fetch `img` from private and loopback addresses too. `--local` needs it; with
    /// strangers among the clients it opens one's own network to them.
    pub allow_private: bool,
    /// Size of, and time for, one `img`.
    pub source: GetLimits,
    /// Pauses between the tries to fetch one `img` while a fault may pass, of which there is
    /// one more. Each is lengthened by up to a fifth.
    pub source_pauses: Vec<Duration>,
    /// Pixels and memory of one `img`.
    pub decode: DecodeLimits,
    /// Most pixels in memory at once, of decoded pictures and of their results. A pixel
    /// takes 3 to 8 bytes, and about as much again while it is worked on; a picture with
    /// more pixels than this is worked on alone.
    pub memory_pixels: u64,
    /// How many results are kept.
    pub retention: Retention,
    /// Folder of requests, money and results, for one gateway at a time; `None` for a
    /// temporary one that is gone with the gateway.
    pub state: Option<PathBuf>,
    /// Pauses between the attempts to call back, of which there is one more. Each is
    /// lengthened by up to a fifth, so that not all come back together.
    pub callback_pauses: Vec<Duration>,
    /// Local files that are served for `img`, for `--local`.
    pub local_files: Option<LocalFiles>,
    /// Test switch: count accepted submits for each `img`, which takes memory for each,
    /// and show what was done at `/faults/stats` and `/faults/books`, to everyone.
    pub record_submits: bool,
    /// Test switch: misbehave.
    pub faults: GatewayFaults,
}

impl Default for GatewaySettings {
    /// A free port of loopback without keys; one worker a core; 1,000 waiting requests;
    /// the hosted service's price without a limit.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            keys: Vec::new(),
            base_url: None,
            workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue_length: NonZeroUsize::new(1_000).unwrap_or(NonZeroUsize::MIN),
            submit_rate: None,
            price: HOSTED_PRICE,
            balance: None,
            allow_private: false,
            source: GetLimits { total_timeout: Duration::from_mins(1), ..GetLimits::default() },
            source_pauses: source::PAUSES.to_vec(),
            decode: DecodeLimits::default(),
            memory_pixels: MEMORY_PIXELS,
            retention: Retention::default(),
            state: None,
            callback_pauses: callback::PAUSES.to_vec(),
            local_files: None,
            record_submits: false,
            faults: GatewayFaults::default(),
        }
    }
}

/// How many finished requests are kept. The oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Most finished requests, failed ones included.
    pub requests: usize,
    /// Most bytes of results on disk. The newest result is kept even if it alone is
    /// larger.
    pub bytes: u64,
    /// How long a request is kept after its end, its result and its idempotency key with
    /// it.
    pub age: Duration,
}

impl Default for Retention {
    /// 10,000 requests, 16 GiB and a day: far more than a client has in flight, and longer
    /// than one is away, so that a result is not gone before it is fetched.
    fn default() -> Self {
        Self { requests: 10_000, bytes: 16 << 30, age: Duration::from_hours(24) }
    }
}

/// Test switch: how often a gateway misbehaves. Off by default.
///
/// Each fault has a probability in `0.0..=1.0` per submit. Whether it happens depends
/// only on the seed and the number of the submit, so that a run can be repeated.
/// Reads and writes as text: `seed=7,reply-lost=0.05,latency=10ms..2s`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GatewayFaults {
    /// Chooses which submits are hit.
    pub seed: u64,
    /// Answer 429 with `Retry-After: 1` and accept nothing.
    pub throttled: f64,
    /// Answer 503 and accept nothing.
    pub unavailable: f64,
    /// Answer 500 and accept nothing, which the client cannot know.
    pub server_error: f64,
    /// Close the connection without an answer and accept nothing, which the client
    /// cannot know.
    pub reset: f64,
    /// Accept, charge, and close the connection without an answer.
    pub reply_lost: f64,
    /// Accept, charge, and answer 202 with JSON that breaks off.
    pub malformed: f64,
    /// Accept, charge, and answer only after [`slow_for`](Self::slow_for).
    pub slow_reply: f64,
    /// How long a slow reply takes.
    pub slow_for: Duration,
    /// End in ERROR instead of restoring; not charged.
    pub service_error: f64,
    /// End in FAILED instead of restoring; charged.
    pub failed: f64,
    /// Answer the first status request with 404.
    pub early_unknown: f64,
    /// Say COMPLETED without a result once.
    pub late_media: f64,
    /// Break off the first download in the middle.
    pub media_cut: f64,
    /// Refuse the first download with 403.
    pub media_expired: f64,
    /// Take this much longer for each request.
    pub latency: Range<Duration>,
}
