//! Logging: what a developer or an operator reads, on standard error.
//!
//! People's progress and results do not go through here. Nothing logged contains a key,
//! a query string, or a body from outside.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing_subscriber::{
    EnvFilter, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::LogFormat;

/// Starts logging for the whole process. Lines appear above the progress bars of
/// `bars`. A second call changes nothing.
pub fn start(filter: &str, format: LogFormat, bars: MultiProgress) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let human = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let writer = AboveBars(bars);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only when logging has been started before.
    let _ = if human {
        let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
        registry.with(layer.with_ansi(io::stderr().is_terminal())).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(writer)).try_init()
    };
}

/// Writes whole lines to standard error while the bars are hidden.
#[derive(Clone)]
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
