//! What may be typed.

use std::{
    ffi::OsString,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::SignedDuration;
use url::Url;

use super::{flags::SettingFlags, models::ModelArgs};
use crate::{core::Micros, gateway::GatewayFaults};

/// Restores photo archives through a GFPGAN API: every photo once, never paid for twice,
/// never lost.
///
/// `restore-batch photos.csv` restores every photo that the manifest names into
/// photos.restored/ beside it. The same command again continues where it stopped.
#[derive(Debug, Parser)]
#[command(
    name = "restore-batch",
    version,
    override_usage = "restore-batch [OPTIONS] MANIFEST\n       restore-batch COMMAND …",
    after_help = "`restore-batch run --help` lists all options and settings."
)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    /// Reads the command line; ends the process with exit code 2 when it cannot be
    /// understood.
    #[must_use]
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Self {
        Self::parse_from(with_command(words.into_iter().collect()))
    }
}

/// `restore-batch photos.csv` means `restore-batch run photos.csv`: when the first word
/// is neither a command nor a question, `run` is put before it.
fn with_command(mut words: Vec<OsString>) -> Vec<OsString> {
    let known = |word: &OsString| {
        let questions = ["help", "--help", "-h", "--version", "-V"];
        let word = word.to_string_lossy();
        questions.contains(&word.as_ref())
            || Cli::command().find_subcommand(word.as_ref()).is_some()
            || is_mistyped_command(&word)
    };
    match words.get(1) {
        None => words.push("--help".into()),
        Some(word) if !known(word) => words.insert(1, "run".into()),
        Some(_) => {}
    }
    words
}

/// A plain word that is no file: clap says which command it resembles.
fn is_mistyped_command(word: &str) -> bool {
    let plain = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    plain && !Path::new(word).exists()
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Restore every photo of a manifest (the word `run` may be left out).
    Run(RunArgs),
    /// Show how far a job is, what it has cost and what failed.
    Status(StatusArgs),
    /// Take failed photos up again, then go on like `run`.
    ///
    /// A photo whose result is still at the service is fetched, not paid for again.
    Retry(RetryArgs),
    /// Count rows, cost and time of a manifest. Spends nothing, sends nothing.
    Plan(PlanArgs),
    /// Check settings, key, service and output folder. Spends nothing.
    Check(CheckArgs),
    /// Serve the same API on this machine, with the local engine.
    Gateway(Box<GatewayArgs>),
    /// Make a key for the gateway, shown once, and its entry for the key file.
    GatewayKey(GatewayKeyArgs),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page (roff), with licences.
    Man,
}

/// A manifest and how to work on it.
#[derive(Debug, Clone, Args)]
pub(super) struct JobArgs {
    /// CSV, TSV or JSON Lines file that names the photos; `-` is standard input.
    pub(super) manifest: PathBuf,
    /// Restore on this machine with the local engine: no key, no cost, no network.
    #[arg(long)]
    pub(super) local: bool,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) settings: SettingFlags,
}

#[derive(Debug, Clone, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,
    /// The service has a new address and still knows this job's requests.
    #[arg(long)]
    pub(super) service_moved: bool,
}

// Here `--in-doubt` is what it says; the setting of that name needs another word.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("in_doubt", |setting| setting.long("in-doubt-policy")))]
pub(super) struct RetryArgs {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Also send again what is in doubt, and perhaps pay for it twice.
    #[arg(long = "in-doubt", id = "retry_in_doubt")]
    pub(super) in_doubt_too: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,
}

#[derive(Debug, Clone, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CheckArgs {
    /// Manifest whose settings and job folder to check.
    pub(super) manifest: Option<PathBuf>,
    /// Check what `--local` needs instead of key and service.
    #[arg(long)]
    pub(super) local: bool,
    /// Print every setting and where it comes from.
    #[arg(long)]
    pub(super) show: bool,
    #[command(flatten)]
    pub(super) settings: SettingFlags,
}

#[derive(Debug, Clone, Args)]
pub(super) struct GatewayArgs {
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8787",
        value_parser = address
    )]
    pub(super) listen: SocketAddr,
    /// TOML file with the accepted keys, hashed; `restore-batch gateway-key` makes entries.
    /// Without it nobody needs a key, which is possible on loopback only.
    #[arg(long, value_name = "FILE")]
    pub(super) keys: Option<PathBuf>,
    /// Folder of requests, money and results, for one gateway at a time [default:
    /// restore-batch/gateway in the user's data folder].
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Root of the gateway as its clients see it, when that is not where it listens. A proxy
    /// takes a path in it away.
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<Url>,
    /// Pictures restored at once [default: one a core].
    #[arg(long, value_name = "COUNT")]
    pub(super) workers: Option<NonZeroUsize>,
    /// Requests that may wait; one more is answered with 429.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub(super) queue: NonZeroUsize,
    /// Pixels in memory at once, of pictures and their results; each takes 6 to 16 bytes. A
    /// larger picture is worked on alone.
    #[arg(long, value_name = "COUNT", default_value = "250000000")]
    pub(super) memory_pixels: u64,
    /// How long an ended request and its result are kept, if the next two allow it.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub(super) keep: Duration,
    /// Ended requests that are kept; the oldest go first.
    #[arg(long, value_name = "COUNT", default_value = "10000")]
    pub(super) keep_requests: NonZeroUsize,
    /// Room on the disk for results, such as `500MB`; the oldest go first.
    #[arg(long, value_name = "SIZE", default_value = "16GiB", value_parser = size)]
    pub(super) keep_bytes: u64,
    /// Submits per second for each key whose entry has no `rate` [default: no limit].
    #[arg(long, value_name = "PER_SECOND")]
    pub(super) rate: Option<std::num::NonZeroU32>,
    /// Price of one request in USD.
    #[arg(long, value_name = "USD", default_value = "0.0031")]
    pub(super) price: Micros,
    /// What each key whose entry has no `balance` may spend in all, in USD; a larger amount
    /// tops up [default: no limit].
    #[arg(long, value_name = "USD")]
    pub(super) balance: Option<Micros>,
    /// Read pictures from private and loopback addresses too.
    #[arg(long)]
    pub(super) allow_private: bool,
    #[command(flatten)]
    pub(super) models: ModelArgs,
    /// What is logged.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(super) log: String,
    /// Misbehave: a list such as `seed=7,reply-lost=0.05,latency=10ms..2s`; a wrong name
    /// lists all. What was done is told to everyone at /faults/stats and /faults/books.
    #[arg(long, value_name = "SPEC", help_heading = "For tests only")]
    pub(super) inject_faults: Option<GatewayFaults>,
    /// What restores; `instant` only repeats pixels.
    #[arg(
        long,
        value_enum,
        default_value = "local",
        requires = "inject_faults",
        help_heading = "For tests only"
    )]
    pub(super) engine: EngineName,
}

/// Reads a time such as `90m`, at most ten years.
fn duration(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().ok();
    let time = time.and_then(|time| Duration::try_from(time).ok());
    time.filter(|time| *time > Duration::ZERO && *time <= Duration::from_hours(24 * 3_660))
        .ok_or_else(|| "it must be a time such as `90m`, `24h` or `7d 12h`".to_owned())
}

/// Reads a size such as `16GiB`.
fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<ByteSize>().ok().map(|size| size.as_u64());
    size.filter(|bytes| *bytes > 0)
        .ok_or_else(|| "it must be a size such as `500MB` or `16GiB`".to_owned())
}

/// Reads an address and a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "it must be an IP address and a port, such as `127.0.0.1:8787` or `[::1]:8787`".to_owned()
    })
}

#[derive(Debug, Clone, Args)]
pub(super) struct GatewayKeyArgs {
    /// Name of the account; requests and money belong to it.
    pub(super) name: String,
    /// Add the entry to this key file, which is made if missing.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Read a key that exists from standard input instead of making one.
    #[arg(long)]
    pub(super) stdin: bool,
}

/// The engines that a gateway can be started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    Local,
    Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn in_doubt_is_a_switch_of_retry_and_a_setting_elsewhere() {
        let retry = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Retry(args) => (args.in_doubt_too, args.run.job.settings.0),
            other => panic!("{other:?}"),
        };
        let policy = vec![("in_doubt", vec!["resubmit".to_owned()])];
        assert_eq!(retry("restore-batch retry --in-doubt a.csv"), (true, vec![]));
        assert_eq!(retry("restore-batch retry a.csv --in-doubt-policy resubmit"), (false, policy));
        assert!(Cli::try_parse_from(["restore-batch", "run", "a.csv", "--in-doubt=hold"]).is_ok());
    }

    #[test]
    fn a_gateway_restores_unless_it_is_told_to_misbehave() {
        let gateway = |words: &str| {
            let line = format!("restore-batch gateway {words}");
            Cli::try_parse_from(line.split_whitespace()).map(|cli| match cli.command {
                Command::Gateway(args) => (args.engine, args.inject_faults),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(gateway("").unwrap(), (EngineName::Local, None));
        let faults = GatewayFaults { seed: 7, ..GatewayFaults::default() };
        let both = gateway("--engine instant --inject-faults seed=7").unwrap();
        assert_eq!(both, (EngineName::Instant, Some(faults)));
        assert!(gateway("--engine instant").is_err());
        assert!(gateway("--inject-faults reply-lst=1").is_err());
    }

    #[test]
    fn all_three_limits_of_what_a_gateway_keeps_can_be_set() {
        let kept = |words: &str| {
            let line = format!("restore-batch gateway {words}");
            Cli::try_parse_from(line.split_whitespace()).map(|cli| match cli.command {
                Command::Gateway(args) => (args.keep, args.keep_requests.get(), args.keep_bytes),
                other => panic!("{other:?}"),
            })
        };
        let usual = crate::gateway::Retention::default();
        assert_eq!(kept("").unwrap(), (usual.age, usual.requests, usual.bytes));
        let set = kept("--keep 2h --keep-requests 5 --keep-bytes 1.5MB").unwrap();
        assert_eq!(set, (Duration::from_hours(2), 5, 1_500_000));
        for wrong in ["--keep-requests 0", "--keep-bytes 0", "--keep-bytes x", "--listen 8787"] {
            assert!(kept(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_word_run_may_be_left_out() {
        for (typed, meant) in [
            ("restore-batch photos.csv", "restore-batch run photos.csv"),
            ("restore-batch --local a.csv", "restore-batch run --local a.csv"),
            ("restore-batch status a.csv", "restore-batch status a.csv"),
            ("restore-batch -V", "restore-batch -V"),
            ("restore-batch stat a.csv", "restore-batch stat a.csv"),
            ("restore-batch - --out x", "restore-batch run - --out x"),
            ("restore-batch", "restore-batch --help"),
        ] {
            let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(with_command(words(typed)), words(meant));
        }
    }
}
