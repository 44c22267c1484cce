//! What a person types and sees.
//!
//! Each command is one file. `args` says what may be typed, `dispatch` hands it to its
//! command, `context` gathers settings and key, `job` knows where a job's files lie.
//! Commands return an [`ExitCode`](exit::ExitCode) or an [`AppError`];
//! only `render` prints.

mod args;
mod audit;
mod check;
mod context;
mod dispatch;
mod error;
pub mod exit;
mod flags;
mod gateway;
mod generate;
mod job;
mod local;
mod models;
mod plan;
mod render;
mod run;
mod service;
mod status;
mod summary;
mod take_in;
mod webhooks;

pub use args::Cli;
pub use dispatch::main;
pub use error::AppError;
