//! `restore-batch check`: everything that can be known before money is spent.

use std::fmt::Write as _;

use super::{
    args::CheckArgs,
    context::Context,
    error::AppError,
    exit::ExitCode,
    job::{Job, manifest_dir},
    models::{added_models, names},
    render,
    run::read_options,
    service::client,
    webhooks::{listen, webhook_root},
};
use crate::{
    api::StatusOutcome,
    config::{ApiKey, KEYS, RawConfig},
    manifest::{Input, Manifest},
    run,
};

/// Checks settings, key, service and output folder; the first thing that is wrong
/// decides the exit code, and all of them are shown.
pub(super) async fn check(args: CheckArgs) -> Result<ExitCode, AppError> {
    let dir = args.manifest.as_deref().map(manifest_dir).transpose()?;
    let context = Context::load(args.settings, args.local, dir.as_deref())?;
    if args.show {
        render::result(&show(&context.raw));
    }
    let mut findings = vec![Ok("settings    are valid".to_owned())];
    if args.local {
        findings.push(Ok("service     local engine, no key needed".to_owned()));
        let added = added_models(&context.settings);
        findings.push(added.map(|added| format!("models      added: {}", names(&added))));
    } else {
        match context.key() {
            Ok(key) => {
                findings.push(Ok(key_text(&key)));
                findings.push(service(&context, key).await);
            }
            Err(error) => findings.push(Err(error)),
        }
    }
    findings.extend(webhooks(&context, args.local).await.transpose());
    if let Some(manifest) = &args.manifest {
        match Job::locate(manifest, &context.settings) {
            Ok(job) => findings.extend([header(&job, &context), output(&job)]),
            Err(error) => findings.push(Err(error)),
        }
    }
    let mut code = ExitCode::Done;
    for finding in findings {
        match finding {
            Ok(text) => render::result(&format!("ok   {text}\n")),
            Err(error) => {
                if code == ExitCode::Done {
                    code = error.exit_code();
                }
                render::error(error);
            }
        }
    }
    Ok(code)
}

/// Lists every setting with its value and origin, as a file that could be used.
fn show(raw: &RawConfig) -> String {
    let mut text = String::new();
    for key in KEYS {
        let Some(value) = raw.get(key.name) else { continue };
        let shown = match value.texts.as_slice() {
            [] => "(none)".to_owned(),
            texts => texts.join(", "),
        };
        let _ = writeln!(text, "{:<18} {shown:<32} # {}", key.name, value.origin);
    }
    text
}

fn key_text(key: &ApiKey) -> String {
    let warning = if key.exposed { " (other users can read it: chmod 600)" } else { "" };
    format!("key         found in {}{warning}", key.origin)
}

async fn service(context: &Context, key: ApiKey) -> Result<String, AppError> {
    let settings = &context.settings;
    let api = client(settings, settings.base_url.clone(), Some(key.secret))?;
    let base = settings.base_url.to_string();
    match run::probe(&api).await {
        StatusOutcome::Unavailable(failure) => Err(AppError::Service { base, failure }),
        StatusOutcome::Account(failure) => Err(AppError::KeyRefused { base, failure }),
        _ => Ok(format!("service     answers at {base} and accepts the key")),
    }
}

/// Tries the address on which callbacks would be received.
async fn webhooks(context: &Context, local: bool) -> Result<Option<String>, AppError> {
    let Some(root) = webhook_root(&context.settings, local)? else { return Ok(None) };
    let address = listen(&context.settings).await?.local_addr();
    Ok(Some(format!("webhooks    to {root} will be received at {address}")))
}

/// Reads the manifest's header, which says whether it is one; standard input is left to
/// the run.
fn header(job: &Job, context: &Context) -> Result<String, AppError> {
    if matches!(job.input, Input::Stdin) {
        return Ok("manifest    will be read from standard input".to_owned());
    }
    let manifest = Manifest::open(&job.input, read_options(&context.settings, job))?;
    let sources = &manifest.columns()[manifest.source_column()];
    Ok(format!("manifest    {} names its photos in column `{sources}`", job.typed))
}

/// Tries to write where the job would write, and leaves nothing behind.
fn output(job: &Job) -> Result<String, AppError> {
    let existing = job.dir.ancestors().find(|folder| folder.exists()).unwrap_or(&job.dir);
    tempfile::tempfile_in(existing)
        .map_err(|source| AppError::JobFolder { path: existing.to_owned(), source })?;
    Ok(format!("output      {} can be written", Job::shown(&job.dir)))
}
