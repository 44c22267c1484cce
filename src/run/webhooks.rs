//! What a run has of the service's calls back.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::core::{Callback, CallbackAddresses};

/// The way from the service back to a run.
#[derive(Debug)]
pub struct Webhooks {
    /// The addresses that the service is told with each submit.
    pub addresses: CallbackAddresses,
    /// Callbacks whose address was genuine.
    pub callbacks: mpsc::Receiver<Callback>,
    /// How long a run that has nothing else to do waits for the callbacks of items that
    /// fell in doubt in it, from when the last of them was sent.
    pub patience: Duration,
}
