//! Stopping in three levels: drain, then stop waiting, then abort.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// How urgently a run should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Start nothing new, wait for what is on the wire.
    Drain,
    /// Wait for nothing. A submit on the wire becomes in doubt.
    Stop,
}

/// Where a run hears that it should stop.
#[derive(Debug)]
pub struct Stops {
    levels: mpsc::Receiver<(StopLevel, i32)>,
}

impl Stops {
    /// Returns stops that someone else sends, with the signal number to end with.
    #[must_use]
    pub fn manual() -> (mpsc::Sender<(StopLevel, i32)>, Self) {
        let (sender, levels) = mpsc::channel(4);
        (sender, Self { levels })
    }

    /// Listens to SIGINT and SIGTERM from now on. The first one drains, the second
    /// stops, the third ends the process as if nobody had listened.
    ///
    /// # Errors
    ///
    /// When the operating system does not let us listen.
    pub fn from_signals() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, stops) = Self::manual();
        tokio::spawn(async move {
            let mut heard = 0;
            loop {
                let number = tokio::select! { biased;
                    Some(()) = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    Some(()) = terminate.recv() => SignalKind::terminate().as_raw_value(),
                    else => return,
                };
                heard += 1;
                let level = match heard {
                    1 => StopLevel::Drain,
                    2 => StopLevel::Stop,
                    _ => return die_of(number),
                };
                // The run may have ended on its own.
                let _ = sender.send((level, number)).await;
            }
        });
        Ok(stops)
    }

    pub(crate) async fn next(&mut self) -> Option<(StopLevel, i32)> {
        self.levels.recv().await
    }
}

/// Ends the process by the signal itself, so that the parent sees the true cause.
pub(crate) fn die_of(signal: i32) {
    if let Err(error) = signal_hook::low_level::emulate_default_handler(signal) {
        tracing::error!(%error, signal, "the signal cannot be raised again");
    }
}
