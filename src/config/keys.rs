//! Every setting, once.

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// One value.
    Value,
    /// True or false; as a flag, its name alone means true.
    Switch,
    /// May be given several times; a list in a file.
    List,
}

/// One setting: flag `--submit-rate`, environment `RESTORE_BATCH_SUBMIT_RATE`, file key
/// `submit_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in files, with `_`.
    pub name: &'static str,
    /// How it is written.
    pub kind: KeyKind,
    /// What stands for the value in help texts.
    pub value: &'static str,
    /// Default; empty for none.
    pub default: &'static str,
    /// Default with `--local`, where it differs.
    pub local: Option<&'static str>,
    /// What it means and when to change it.
    pub help: &'static str,
}

impl Key {
    /// Returns the flag without its dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Returns the environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("RESTORE_BATCH_{}", self.name.to_ascii_uppercase())
    }

    /// Returns the key with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

const fn value(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { name, kind: KeyKind::Value, value, default, local: None, help }
}

const fn local(key: Key, default: &'static str) -> Key {
    Key { local: Some(default), ..key }
}

/// All settings, in the order people read them.
pub const KEYS: &[Key] = &[
    value(
        "base_url",
        "URL",
        "https://gateway.pixazo.ai",
        "root of the service; change it for your own gateway",
    ),
    value(
        "api_key_file",
        "FILE",
        "",
        "file with the API key on one line; see README for the other places a key is looked for",
    ),
    value(
        "out",
        "DIR",
        "",
        "job folder, one for each manifest; default: NAME.restored beside the manifest",
    ),
    value(
        "state",
        "DIR",
        "",
        "folder of the ledger; default: .restore-batch in the job folder; change it when that is on a network file system",
    ),
    Key {
        name: "public_base",
        kind: KeyKind::List,
        value: "FOLDER=URL",
        default: "",
        local: None,
        help: "a local folder that a web server publishes at URL, so that the service can read it; may be repeated",
    },
    value("scale", "1-4", "2", "upscale factor for rows that name none"),
    value("model_version", "TEXT", "v1.4", "model version for rows that name none"),
    local(
        value(
            "submit_rate",
            "PER_SECOND",
            "5",
            "most submits per second; raise it to what your plan allows. A lower limit of the \
             service is found from its 429s",
        ),
        "50",
    ),
    local(
        value(
            "poll_rate",
            "PER_SECOND",
            "20",
            "most status requests per second; raise it with many requests in flight",
        ),
        "200",
    ),
    local(value("download_rate", "PER_SECOND", "20", "most downloads begun per second"), "200"),
    local(
        value(
            "in_flight",
            "COUNT",
            "200",
            "most requests at the service at once; lower it if the service queues too long",
        ),
        "8",
    ),
    value(
        "downloads",
        "COUNT",
        "8",
        "most downloads at once; each may hold one decoded picture in memory",
    ),
    local(
        value(
            "poll_interval",
            "TIME",
            "5s",
            "shortest time between two polls of one item; the service asks for 5 to 10 s. The \
             first one comes when it pays, by how long the service has taken so far",
        ),
        "200ms",
    ),
    local(
        value(
            "max_poll_interval",
            "TIME",
            "30s",
            "longest time between two polls of one item; the first may be four times as far off",
        ),
        "1s",
    ),
    local(
        value("price", "USD", "0.0031", "price of one request; change it when the provider does"),
        "0",
    ),
    value("max_spend", "USD", "", "most this job may commit in all its runs; default: no limit"),
    local(
        value(
            "in_doubt",
            "hold|resubmit",
            "hold",
            "what to do when the answer to a submit is lost; `resubmit` may pay twice",
        ),
        "resubmit",
    ),
    value(
        "webhook_url",
        "URL",
        "",
        "public address that leads to `webhook_listen`; the service then calls back, polls become rare, and what is in doubt can heal",
    ),
    value(
        "webhook_listen",
        "IP:PORT",
        "127.0.0.1:8788",
        "where callbacks are received when `webhook_url` is set; change it if the port is taken or your proxy is elsewhere",
    ),
    value(
        "webhook_patience",
        "TIME",
        "2m",
        "longest time a run that is otherwise done waits for callbacks about photos in doubt; raise it for a slow service",
    ),
    value("deadline", "TIME", "1h", "longest wait for one request; raise it for a slow service"),
    value(
        "outage_limit",
        "TIME",
        "30m",
        "longest time without a sane answer before the job halts; raise it for unattended jobs",
    ),
    value(
        "grace",
        "TIME",
        "30s",
        "longest time a stop waits for replies; with a submit on its way it waits for `request_timeout` if that is longer; keep both below what your service manager allows",
    ),
    value("connect_timeout", "TIME", "10s", "longest time to connect"),
    value("request_timeout", "TIME", "60s", "longest time for one API request and its answer"),
    value(
        "download_timeout",
        "TIME",
        "10m",
        "longest time for one download; raise it on a slow line",
    ),
    value("max_media_bytes", "SIZE", "256MiB", "largest picture downloaded"),
    value("max_pixels", "COUNT", "200000000", "largest picture decoded, in pixels"),
    value(
        "models",
        "DIR",
        "",
        "folder of added models, for `--local` only; default: restore-batch/models in your data folder, if there is one",
    ),
    value(
        "fidelity",
        "0-1",
        "0.5",
        "how true results of `--local` stay to the photograph; at 1 no added model may invent anything",
    ),
    value(
        "max_seconds",
        "SECONDS",
        "60",
        "longest time added models may take for one picture with `--local`, on two cores; counted in pixels, so results do not depend on the number of cores; another kind of CPU may differ by rounding",
    ),
    Key {
        name: "allow_private",
        kind: KeyKind::Switch,
        value: "BOOL",
        default: "false",
        local: Some("true"),
        help: "download from private and loopback addresses too; only for a service in your own network",
    },
    value("log", "FILTER", "warn", "what is logged, such as `info` or `restore_batch=debug`"),
    value(
        "log_format",
        "auto|human|json",
        "auto",
        "how it is logged; auto: human on a terminal, json elsewhere",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_setting_says_what_it_is() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
        assert!(KEYS.iter().all(|key| key.help.len() > 15 && !key.help.ends_with('.')));
    }
}
