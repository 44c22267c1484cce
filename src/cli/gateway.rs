//! `restore-batch gateway`: the same API on this machine.

use std::{fs, num::NonZeroUsize, path::Path, sync::Arc};

use indicatif::MultiProgress;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{
    args::{EngineName, GatewayArgs},
    error::AppError,
    exit::ExitCode,
    render,
};
use crate::{
    config::{KeyError, LogFormat},
    engine::{Engine, InstantEngine},
    gateway::{Gateway, GatewaySettings},
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
    let mut settings = GatewaySettings {
        listen: args.listen,
        keys: args.key_file.as_deref().map(keys).transpose()?.unwrap_or_default(),
        base_url: args.public_url,
        queue_length: args.queue,
        submit_rate: args.rate.map(governor::Quota::per_second),
        price: args.price,
        balance: args.balance,
        allow_private: args.allow_private,
        record_submits: args.inject_faults.is_some(),
        faults: args.inject_faults.unwrap_or_default(),
        ..GatewaySettings::default()
    };
    settings.workers = args.workers.unwrap_or(settings.workers).max(NonZeroUsize::MIN);
    let engine: Arc<dyn Engine> = match args.engine {
        EngineName::Local => Arc::new(args.models.engine(MAX_OUTPUT_PIXELS)?),
        EngineName::Instant => Arc::new(InstantEngine),
    };
    let gateway = Gateway::bind(settings, engine).await?;
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
    gateway.serve(stop).await?;
    Ok(ExitCode::Done)
}

fn keys(path: &Path) -> Result<Vec<SecretString>, KeyError> {
    let text = fs::read_to_string(path)
        .map_err(|source| KeyError::Unreadable { path: path.to_owned(), source })?;
    let keys: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| SecretString::from(line.to_owned()))
        .collect();
    if keys.is_empty() {
        return Err(KeyError::NotAKey(path.display().to_string()));
    }
    Ok(keys)
}
