//! Settings that cannot be invalid.

use std::{
    fmt::Display,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;
use jiff::SignedDuration;
use url::Url;

use super::{
    error::ConfigError,
    raw::{Origin, RawConfig, RawValue},
};
use crate::core::{InDoubtPolicy, Micros, is_loopback};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// All settings, typed and checked. See [`KEYS`](super::KEYS) for their meaning.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the setting of the same name in `KEYS`")]
pub struct Settings {
    pub base_url: Url,
    pub api_key_file: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub public_base: Vec<String>,
    pub scale: u8,
    pub model_version: String,
    pub submit_rate: f64,
    pub poll_rate: f64,
    pub download_rate: f64,
    pub in_flight: usize,
    pub downloads: usize,
    pub poll_interval: Duration,
    pub max_poll_interval: Duration,
    pub price: Micros,
    pub max_spend: Option<Micros>,
    pub in_doubt: InDoubtPolicy,
    pub webhook_url: Option<Url>,
    pub webhook_listen: SocketAddr,
    pub webhook_patience: Duration,
    pub deadline: Duration,
    pub outage_limit: Duration,
    pub grace: Duration,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub download_timeout: Duration,
    pub max_media_bytes: u64,
    pub max_pixels: u64,
    pub models: Option<PathBuf>,
    pub fidelity: f32,
    pub max_seconds: u32,
    pub allow_private: bool,
    pub log: String,
    pub log_format: LogFormat,
}

impl Settings {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] that names the first value that does not fit, and where
    /// it was written.
    pub fn new(raw: &RawConfig) -> Result<Self, ConfigError> {
        let of = |name| Field { raw, name };
        let allow_private = of("allow_private").one("`true` or `false`", switch)?;
        Ok(Self {
            base_url: of("base_url").one("an http or https address", service_root)?,
            api_key_file: of("api_key_file").path(),
            out: of("out").path(),
            state: of("state").path(),
            public_base: of("public_base").all(),
            scale: of("scale").number(1, 4)?,
            model_version: of("model_version").one("a version name", version_name)?,
            submit_rate: of("submit_rate").rate()?,
            poll_rate: of("poll_rate").rate()?,
            download_rate: of("download_rate").rate()?,
            in_flight: of("in_flight").number(1, 100_000)?,
            downloads: of("downloads").number(1, 1_000)?,
            poll_interval: of("poll_interval").duration()?,
            max_poll_interval: of("max_poll_interval").duration()?,
            price: of("price").one("an amount such as 0.0031", parse)?,
            max_spend: of("max_spend").optional("an amount such as 25 or 12.50", parse)?,
            in_doubt: of("in_doubt").one("`hold` or `resubmit`", in_doubt)?,
            webhook_url: of("webhook_url").optional(
                "an https address (http only for this machine, or with `allow_private`)",
                |text| webhook_root(text, allow_private),
            )?,
            webhook_listen: of("webhook_listen")
                .one("an address and port such as 127.0.0.1:8788", parse)?,
            webhook_patience: of("webhook_patience").duration()?,
            deadline: of("deadline").duration()?,
            outage_limit: of("outage_limit").duration()?,
            grace: of("grace").duration()?,
            connect_timeout: of("connect_timeout").duration()?,
            request_timeout: of("request_timeout").duration()?,
            download_timeout: of("download_timeout").duration()?,
            max_media_bytes: of("max_media_bytes").one("a size such as 256MiB", size)?,
            max_pixels: of("max_pixels").number(1, u64::from(u32::MAX))?,
            models: of("models").path(),
            fidelity: of("fidelity").one("a number from 0 to 1", |text| {
                parse(text).filter(|share: &f32| (0.0..=1.0).contains(share))
            })?,
            max_seconds: of("max_seconds").number(0, 86_400)?,
            allow_private,
            log: of("log").one("a log filter such as `info`", log_filter)?,
            log_format: of("log_format").one("`auto`, `human` or `json`", log_format)?,
        })
    }
}

/// One setting on its way from text to value.
struct Field<'a> {
    raw: &'a RawConfig,
    name: &'static str,
}

impl Field<'_> {
    fn written(&self) -> Option<&RawValue> {
        self.raw.get(self.name)
    }

    /// The last text counts; a list where one value is meant is an error.
    fn one<T>(
        &self,
        expected: impl Display,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let texts = self.written().map_or(&[][..], |written| &written.texts);
        match texts {
            [text] => read(text.trim()).ok_or_else(|| self.invalid(text, expected)),
            _ => Err(self.invalid(&texts.join(", "), expected)),
        }
    }

    fn optional<T>(
        &self,
        expected: impl Display,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        if self.written().is_none_or(|written| written.texts.is_empty()) {
            return Ok(None);
        }
        self.one(expected, read).map(Some)
    }

    fn all(&self) -> Vec<String> {
        self.written().map(|written| written.texts.clone()).unwrap_or_default()
    }

    /// A path in a file starts from that file's folder, like everything else in it.
    fn path(&self) -> Option<PathBuf> {
        let written = self.written()?;
        let path = Path::new(written.texts.last()?);
        let base = match &written.origin {
            Origin::File { path, .. } => path.parent(),
            _ => None,
        };
        Some(base.map_or_else(|| path.to_owned(), |base| base.join(path)))
    }

    fn number<T: FromStr + PartialOrd + Display + Copy>(
        &self,
        least: T,
        most: T,
    ) -> Result<T, ConfigError> {
        self.one(format!("a whole number from {least} to {most}"), |text| {
            parse(text).filter(|number: &T| *number >= least && *number <= most)
        })
    }

    fn rate(&self) -> Result<f64, ConfigError> {
        self.one("a number of requests per second, above 0 and at most 100000", |text| {
            parse(text).filter(|rate: &f64| *rate >= 0.001 && *rate <= 100_000.0)
        })
    }

    fn duration(&self) -> Result<Duration, ConfigError> {
        self.one("a time such as `5s`, `2m 30s` or `1h`, at most a year", |text| {
            let time: SignedDuration = parse(text)?;
            let time = Duration::try_from(time).ok()?;
            (time > Duration::ZERO && time <= Duration::from_hours(366 * 24)).then_some(time)
        })
    }

    fn invalid(&self, value: &str, expected: impl Display) -> ConfigError {
        ConfigError::Invalid {
            name: self.name,
            value: value.to_owned(),
            origin: self.written().map_or(Origin::Default, |written| written.origin.clone()),
            expected: expected.to_string(),
        }
    }
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn service_root(text: &str) -> Option<Url> {
    let url: Url = parse(text)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

/// The service reaches callbacks over the internet, and their addresses are keys.
fn webhook_root(text: &str, allow_private: bool) -> Option<Url> {
    let plain_http = |url: &Url| allow_private || is_loopback(url);
    service_root(text).filter(|url| url.scheme() == "https" || plain_http(url))
}

fn version_name(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= 64 && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn in_doubt(text: &str) -> Option<InDoubtPolicy> {
    match text {
        "hold" => Some(InDoubtPolicy::Hold),
        "resubmit" => Some(InDoubtPolicy::Resubmit),
        _ => None,
    }
}

fn size(text: &str) -> Option<u64> {
    parse::<ByteSize>(text).map(|size| size.as_u64()).filter(|bytes| *bytes > 0)
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn log_filter(text: &str) -> Option<String> {
    parse::<tracing_subscriber::EnvFilter>(text).map(|_| text.to_owned())
}

fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "auto" => Some(LogFormat::Auto),
        "human" => Some(LogFormat::Human),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: &[(&'static str, &str)]) -> Result<Settings, ConfigError> {
        let flags = flags.iter().map(|(name, text)| (*name, vec![(*text).to_owned()])).collect();
        Settings::new(&RawConfig::load(false, None, None, [], flags).unwrap())
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.base_url.as_str(), "https://gateway.pixazo.ai/");
        assert_eq!(settings.price, Micros(3_100));
        assert_eq!(settings.poll_interval, Duration::from_secs(5));
        assert_eq!(settings.max_spend, None);
        assert_eq!(settings.max_media_bytes, 256 << 20);
        assert!(!settings.allow_private);
    }

    #[test]
    fn local_defaults_cost_nothing_and_stay_on_this_machine() {
        let raw = RawConfig::load(true, None, None, [], vec![]).unwrap();
        let settings = Settings::new(&raw).unwrap();
        assert_eq!(settings.price, Micros::ZERO);
        assert!(settings.allow_private);
    }

    #[test]
    fn callbacks_travel_encrypted_unless_they_stay_near() {
        let root = |flags: &[_]| with(flags).map(|settings| settings.webhook_url.unwrap());
        assert!(root(&[("webhook_url", "https://example.org/hooks/")]).is_ok());
        assert!(root(&[("webhook_url", "http://127.0.0.1:9/")]).is_ok());
        let near = ("webhook_url", "http://10.0.0.7/");
        assert!(root(&[near]).is_err());
        assert!(root(&[near, ("allow_private", "true")]).is_ok());
        assert_eq!(with(&[]).unwrap().webhook_url, None);
    }

    #[test]
    fn values_that_do_not_fit_are_named_with_what_they_must_be() {
        for (name, text, expected) in [
            ("scale", "5", "from 1 to 4"),
            ("scale", "2.0", "from 1 to 4"),
            ("submit_rate", "0", "above 0"),
            ("submit_rate", "NaN", "above 0"),
            ("poll_interval", "5", "a time such as"),
            ("poll_interval", "-5s", "a time such as"),
            ("deadline", "9999999h", "at most a year"),
            ("price", "-1", "an amount"),
            ("in_doubt", "again", "`hold` or `resubmit`"),
            ("base_url", "ftp://x", "an http or https address"),
            ("base_url", "https://key@x.org", "an http or https address"),
            ("max_media_bytes", "lots", "a size"),
            ("fidelity", "1.1", "from 0 to 1"),
            ("fidelity", "NaN", "from 0 to 1"),
            ("max_seconds", "-1", "from 0 to 86400"),
            ("allow_private", "maybe", "`true` or `false`"),
            ("webhook_url", "http://example.org/hooks", "an https address"),
            ("webhook_url", "https://example.org/hooks?key=1", "an https address"),
            ("webhook_url", "example.org", "an https address"),
            ("webhook_listen", "localhost", "an address and port"),
            ("webhook_patience", "0s", "a time such as"),
            ("log", "a=b=c", "a log filter"),
        ] {
            let error = with(&[(name, text)]).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("flag --"), "{error}");
        }
    }
}
