//! From the command line to its command.

use indicatif::MultiProgress;

use super::{
    args::{Cli, Command},
    check,
    error::AppError,
    exit::ExitCode,
    gateway, generate, plan, render, run, status,
};
use crate::run::die_of;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an exit code.
    Code(ExitCode),
    /// By this signal, which the parent should see.
    Signal(i32),
}

/// Reads the command line, does what it says and returns how the process should end.
#[must_use]
pub fn main() -> std::process::ExitCode {
    render::prepare();
    let cli = Cli::read(std::env::args_os());
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            // As a task, not on this thread: it is woken by every step of every photo, and a
            // thread of the runtime that has just ended one need not wake another for that.
            let task = runtime.spawn(dispatch(cli, MultiProgress::new()));
            let ended = runtime.block_on(task).unwrap_or_else(|error| {
                Err(AppError::Internal(format!("the program failed unexpectedly: {error}")))
            });
            // A thread that still waits for standard input must not keep us.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(AppError::Internal(format!("the runtime cannot start: {error}"))),
    };
    match ended {
        Ok(Ended::Code(code)) => code.into(),
        Ok(Ended::Signal(signal)) => {
            die_of(signal);
            // Only reached when the signal could not be raised.
            ExitCode::Internal.into()
        }
        Err(error) => {
            let code = error.exit_code();
            render::error(error);
            code.into()
        }
    }
}

async fn dispatch(cli: Cli, bars: MultiProgress) -> Result<Ended, AppError> {
    match cli.command {
        Command::Run(args) => run::run(args, None, bars).await,
        Command::Retry(args) => {
            let retry = run::Retry { in_doubt_too: args.in_doubt_too };
            run::run(args.run, Some(retry), bars).await
        }
        Command::Status(args) => status::status(args).await.map(Ended::Code),
        Command::Plan(args) => plan::plan(args).await.map(Ended::Code),
        Command::Check(args) => check::check(args).await.map(Ended::Code),
        Command::Gateway(args) => gateway::gateway(*args, bars).await.map(Ended::Code),
        Command::GatewayKey(args) => gateway::gateway_key(&args).map(Ended::Code),
        Command::Completions { shell } => {
            render::result(&generate::completions(shell));
            Ok(Ended::Code(ExitCode::Done))
        }
        Command::Man => {
            render::result(&generate::man());
            Ok(Ended::Code(ExitCode::Done))
        }
    }
}
