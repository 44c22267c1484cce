//! `restore-batch gateway`: the same API on this machine.

use std::{fs, io, num::NonZeroUsize, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use indicatif::MultiProgress;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::{
    args::{EngineName, GatewayArgs, GatewayKeyArgs},
    context::user_data_dir,
    error::AppError,
    exit::ExitCode,
    render,
};
use crate::{
    config::{KeyError, LogFormat},
    engine::{Engine, InstantEngine},
    gateway::{AccessKey, Gateway, GatewaySettings, Retention},
    ledger::network_file_system,
    run::{StopLevel, Stops},
    telemetry,
};

/// Largest result, in pixels: a photo of 12 megapixels at scale 4.
const MAX_OUTPUT_PIXELS: u64 = 200_000_000;

/// Serves until a signal comes.
pub(super) async fn gateway(args: GatewayArgs, bars: MultiProgress) -> Result<ExitCode, AppError> {
    telemetry::start(&args.log, LogFormat::Auto, bars);
    if let Some(faults) = &args.inject_faults {
        render::note(&format!("for tests only: this gateway misbehaves on purpose ({faults})"));
    }
    let engine: Arc<dyn Engine> = match args.engine {
        EngineName::Local => Arc::new(args.models.engine(MAX_OUTPUT_PIXELS)?),
        EngineName::Instant => Arc::new(InstantEngine),
    };
    let gateway = Gateway::bind(settings(args)?, engine).await?;
    render::note(&format!("serving the API at {}", gateway.base_url()));
    let stop = CancellationToken::new();
    let mut stops = Stops::from_signals().map_err(AppError::deaf)?;
    let stopped = stop.clone();
    tokio::spawn(async move {
        while let Some((level, _)) = stops.next().await {
            stopped.cancel();
            if level == StopLevel::Stop {
                return;
            }
        }
    });
    gateway.serve(stop).await;
    Ok(ExitCode::Done)
}

fn settings(args: GatewayArgs) -> Result<GatewaySettings, AppError> {
    let state = match args.state {
        Some(state) => state,
        None => user_data_dir().ok_or(AppError::NoState)?.join("restore-batch/gateway"),
    };
    refuse_network(&state)?;
    let keys = args.keys.as_deref().map(keys).transpose()?;
    let defaults = GatewaySettings::default();
    Ok(GatewaySettings {
        listen: args.listen,
        keys: keys.unwrap_or_default(),
        base_url: args.public_url,
        workers: args.workers.unwrap_or(defaults.workers).max(NonZeroUsize::MIN),
        queue_length: args.queue,
        memory_pixels: args.memory_pixels,
        submit_rate: args.rate.map(governor::Quota::per_second),
        price: args.price,
        balance: args.balance,
        allow_private: args.allow_private,
        retention: Retention {
            requests: args.keep_requests.get(),
            bytes: args.keep_bytes,
            age: args.keep,
        },
        state: Some(state),
        record_submits: args.inject_faults.is_some(),
        faults: args.inject_faults.unwrap_or_default(),
        ..defaults
    })
}

fn keys(file: &Path) -> Result<Vec<AccessKey>, AppError> {
    let keys = AccessKey::read_file(file)?;
    let exposed = fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0);
    if exposed && keys.iter().any(|key| key.webhook_secret.is_some()) {
        tracing::warn!(file = %file.display(), "other users can read the webhook secrets: chmod 600 it");
    }
    Ok(keys)
}

/// Makes a key for a gateway, or hashes one that exists.
pub(super) fn gateway_key(args: &GatewayKeyArgs) -> Result<ExitCode, AppError> {
    let key = if args.stdin { key_from(io::stdin().lock())? } else { AccessKey::random() };
    let entry = AccessKey::new(&args.name, &key).with_webhook_secret();
    if let Some(file) = &args.file {
        entry.append_to(file)?;
        render::note(&format!("added `{}` to `{}`", args.name, file.display()));
    }
    if !args.stdin {
        render::note("the key, which is shown only now:");
        render::result(&format!("{}\n", key.expose_secret()));
    }
    if args.file.is_none() {
        render::note("the entry for the file of `restore-batch gateway --keys FILE`:");
        render::result(&entry.to_toml());
    }
    Ok(ExitCode::Done)
}

/// Reads the first line.
fn key_from(mut input: impl io::BufRead) -> Result<SecretString, AppError> {
    let mut line = String::new();
    let read = input.read_line(&mut line);
    let key = line.trim();
    if read.is_err() || key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeyError::NotAKey("standard input".to_owned()).into());
    }
    Ok(SecretString::from(key.to_owned()))
}

/// The database and its lock need a disk of this machine.
fn refuse_network(state: &Path) -> Result<(), AppError> {
    let there = state.ancestors().find(|folder| folder.exists());
    let found = there.and_then(|folder| network_file_system(folder).ok().flatten());
    match found {
        Some(kind) => Err(AppError::NetworkFileSystem { path: state.to_owned(), kind }),
        None => Ok(()),
    }
}
