//! Errors that end the program, as a person reads them.

use std::{error::Error as _, io, net::SocketAddr, path::PathBuf};

use miette::Diagnostic;

use super::exit::ExitCode;
use crate::{
    api::BuildError,
    config::{ConfigError, KeyError},
    core::Failure,
    engine::AddedModelError,
    gateway::{GatewayError, KeyFileError, StateError},
    ledger::{LedgerError, LockError},
    manifest::ManifestError,
    run::{IntakeError, RecorderError, RunError},
    stage::PublicBaseError,
};

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AppError {
    /// The manifest cannot be used.
    #[error("{what}")]
    #[diagnostic(code(manifest))]
    Manifest {
        /// What is wrong, with its causes.
        what: String,
        /// What to do about it.
        #[help]
        advice: &'static str,
    },
    /// A setting cannot be used.
    #[error(transparent)]
    #[diagnostic(
        code(config),
        help(
            "correct it there; `restore-batch check --show` lists all settings and where they come from"
        )
    )]
    Config(#[from] ConfigError),
    /// `--public-base` cannot be used.
    #[error(transparent)]
    #[diagnostic(code(config), help("write it as --public-base FOLDER=URL"))]
    PublicBase(#[from] PublicBaseError),
    /// There is no key.
    #[error("there is no API key; looked at {looked}")]
    #[diagnostic(
        code(config::key),
        help(
            "either put your key into ~/.pixazo/api-key (or PIXAZO_API_KEY), or restore on this machine with --local"
        )
    )]
    NoKey {
        /// The places that were tried.
        looked: String,
    },
    /// The key cannot be used.
    #[error(transparent)]
    #[diagnostic(code(config::key), help("{}", key_advice(source)))]
    Key {
        /// What is wrong.
        #[from]
        source: KeyError,
    },
    /// The API client cannot be set up.
    #[error(transparent)]
    #[diagnostic(code(config), help("check `--base-url` and the API key"))]
    Client(#[from] BuildError),
    /// Standard input has no place of its own.
    #[error("a manifest from standard input needs a job folder")]
    #[diagnostic(code(config), help("add --out DIR; the same folder continues the job later"))]
    NoOut,
    /// The job was begun with another service.
    #[error(
        "this job was begun with {}, and this run would use {}",
        service_words(begun),
        service_words(now)
    )]
    #[diagnostic(
        code(config),
        help(
            "use another job folder with --out DIR, or repeat the command as it was begun; if only the address of the same service has changed, add --service-moved"
        )
    )]
    OtherService {
        /// The service in the ledger.
        begun: String,
        /// The service of this run.
        now: String,
    },
    /// The state folder serves another job.
    #[error("the state folder `{}` belongs to the job in `{}`", state.display(), owner.display())]
    #[diagnostic(
        code(config),
        help("give each job a --state folder of its own; if the job was moved here, delete `{}`", note.display())
    )]
    OtherJob {
        /// The state folder.
        state: PathBuf,
        /// The job folder it belongs to.
        owner: PathBuf,
        /// The file that says so.
        note: PathBuf,
    },
    /// The job folder serves another manifest.
    #[error("the job folder `{}` belongs to the manifest `{owner}`", dir.display())]
    #[diagnostic(
        code(config),
        help("give each manifest a job folder of its own with --out DIR; if it was only renamed, delete `{}`", note.display())
    )]
    OtherManifest {
        /// The job folder.
        dir: PathBuf,
        /// File name of its manifest.
        owner: String,
        /// The file that says so.
        note: PathBuf,
    },
    /// The job's ledger is in another folder.
    #[error("the job in `{}` keeps its ledger in `{}`", dir.display(), state.display())]
    #[diagnostic(
        code(config),
        help("use that folder as --state; if the ledger was moved, delete `{}`", note.display())
    )]
    OtherState {
        /// The job folder.
        dir: PathBuf,
        /// Its state folder.
        state: PathBuf,
        /// The file that says so.
        note: PathBuf,
    },
    /// The job folder cannot be used.
    #[error("the job folder `{}` cannot be used", path.display())]
    #[diagnostic(code(config), help("make it writable, or choose another with --out DIR"))]
    JobFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no job yet.
    #[error("there is no job in `{}`", path.display())]
    #[diagnostic(code(config), help("start it with: restore-batch MANIFEST"))]
    NoJob {
        /// The job folder.
        path: PathBuf,
    },
    /// The state folder is on a network file system.
    #[error("the ledger would lie on a network file system ({kind}), where its locks are not safe: `{}`", path.display())]
    #[diagnostic(
        code(ledger),
        help("keep it on a local disk with --state DIR; pictures may stay where they are")
    )]
    NetworkFileSystem {
        /// The state folder.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Another run works on the job.
    #[error(transparent)]
    #[diagnostic(code(ledger::locked))]
    Lock(#[from] LockError),
    /// The ledger cannot be used.
    #[error(transparent)]
    #[diagnostic(code(ledger), help("{}", ledger_advice(source)))]
    Ledger {
        /// What is wrong.
        #[from]
        source: LedgerError,
    },
    /// The service cannot be used at the start.
    #[error("the service at {base} cannot be used: {failure}")]
    #[diagnostic(
        code(service),
        help("check the address and your connection with `restore-batch check`, then run again")
    )]
    Service {
        /// The service root.
        base: String,
        /// What went wrong.
        failure: Failure,
    },
    /// The service refuses the key.
    #[error("the service at {base} refuses the API key: {failure}")]
    #[diagnostic(
        code(service::key),
        help("check the key with `restore-batch check`; nothing was spent")
    )]
    KeyRefused {
        /// The service root.
        base: String,
        /// What it said.
        failure: Failure,
    },
    /// The results files cannot be kept.
    #[error("{what}")]
    #[diagnostic(
        code(output),
        help(
            "free space or make the folder writable, then run the same command again: both files are made anew from the ledger"
        )
    )]
    Results {
        /// The file and what is wrong with it.
        what: String,
    },
    /// The gateway cannot start or serve.
    #[error(transparent)]
    #[diagnostic(code(gateway))]
    Gateway(#[from] GatewayError),
    /// The file of a gateway's keys cannot be used.
    #[error(transparent)]
    #[diagnostic(
        code(gateway::keys),
        help("`restore-batch gateway-key NAME --file FILE` makes a key and its entry")
    )]
    KeyFile(#[from] KeyFileError),
    /// There is no folder for a gateway's state.
    #[error("there is no home folder in which the gateway could keep its state")]
    #[diagnostic(code(gateway), help("name a folder with --state DIR"))]
    NoState,
    /// An added model cannot be used.
    #[error(transparent)]
    #[diagnostic(code(config::models))]
    Models(#[from] AddedModelError),
    /// The folder that was named holds no model.
    #[error("there is no model in `{}`", folder.display())]
    #[diagnostic(
        code(config::models),
        help("put them there with scripts/fetch-models --into DIR, or leave `models` out")
    )]
    NoModels {
        /// The folder.
        folder: PathBuf,
    },
    /// Callbacks cannot be received.
    #[error("`{address}` cannot be listened on for callbacks")]
    #[diagnostic(
        code(config),
        help(
            "free the port, or choose another with --webhook-listen IP:PORT and let `webhook_url` lead there"
        )
    )]
    WebhookListen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The local engine does not call back.
    #[error("`webhook_url` cannot be used with --local: the local engine does not call back")]
    #[diagnostic(code(config), help("leave `webhook_url` out; with --local nothing needs it"))]
    LocalWebhooks,
    /// Something that should not happen.
    #[error("{0}")]
    #[diagnostic(
        code(internal),
        help("run the same command again; nothing that was recorded is lost")
    )]
    Internal(String),
}

impl From<ManifestError> for AppError {
    fn from(error: ManifestError) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let what = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        Self::Manifest { what, advice: error.help() }
    }
}

impl From<IntakeError> for AppError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Manifest(error) => error.into(),
            IntakeError::Ledger(error) => error.into(),
            error @ IntakeError::Stopped => Self::Internal(error.to_string()),
        }
    }
}

impl From<RecorderError> for AppError {
    fn from(error: RecorderError) -> Self {
        match error {
            RecorderError::Ledger(error) => error.into(),
            error @ RecorderError::File { .. } => Self::Results { what: error.to_string() },
        }
    }
}

impl From<RunError> for AppError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Ledger(error) => error.into(),
        }
    }
}

impl AppError {
    /// The operating system does not let us hear signals.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn deaf(error: io::Error) -> Self {
        Self::Internal(format!("signals cannot be heard: {error}"))
    }

    /// Returns the exit code. No `_`: a new error must be thought about.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Manifest { .. } => ExitCode::Manifest,
            Self::Config(_)
            | Self::PublicBase(_)
            | Self::NoKey { .. }
            | Self::Key { .. }
            | Self::Client(_)
            | Self::NoOut
            | Self::OtherService { .. }
            | Self::OtherJob { .. }
            | Self::OtherManifest { .. }
            | Self::OtherState { .. }
            | Self::JobFolder { .. }
            | Self::NoJob { .. }
            | Self::KeyFile(_)
            | Self::NoState
            | Self::Models(_)
            | Self::NoModels { .. }
            | Self::WebhookListen { .. }
            | Self::LocalWebhooks => ExitCode::Config,
            Self::NetworkFileSystem { .. } | Self::Lock(_) | Self::Ledger { .. } => {
                ExitCode::Ledger
            }
            Self::Service { .. } => ExitCode::Service,
            Self::KeyRefused { .. } | Self::Results { .. } => ExitCode::Halted,
            Self::Gateway(error) => gateway_exit_code(error),
            Self::Internal(_) => ExitCode::Internal,
        }
    }
}

fn key_advice(error: &KeyError) -> &'static str {
    match error {
        KeyError::Unreadable { .. } => "check the path and who may read the file",
        KeyError::NotAKey(_) => "put the key alone on the first line of the file",
    }
}

/// What helps depends on what is wrong; the books themselves are whole unless damaged.
fn ledger_advice(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Newer { .. } => {
            "update restore-batch to the version that wrote it; nothing was changed"
        }
        LedgerError::Corrupt(_) => {
            "restore a backup of the state folder before the next run; a new job would pay anew"
        }
        LedgerError::StaleFence => "wait for the other run, then run the same command again",
        _ => "nothing that was recorded is lost; check the disk, then run the same command again",
    }
}

fn service_words(service: &str) -> &str {
    if service == super::service::LOCAL_SERVICE { "the local engine (--local)" } else { service }
}

/// An address that cannot be used is the caller's to correct; the rest is this machine.
fn gateway_exit_code(error: &GatewayError) -> ExitCode {
    match error {
        GatewayError::KeysNeeded(_)
        | GatewayError::BaseUrlNeeded(_)
        | GatewayError::BaseUrl
        | GatewayError::Listen { .. } => ExitCode::Config,
        GatewayError::State(StateError::Temporary(_)) | GatewayError::Client(_) => {
            ExitCode::Internal
        }
        GatewayError::State(_) => ExitCode::Ledger,
    }
}
