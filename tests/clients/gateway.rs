//! The gateway, as its user starts it.

use restore_batch::gateway::AccessKey;
use secrecy::SecretString;

use crate::support::{Command, KEY, Running, World};

/// What the gateway says before its address.
const SERVING: &str = "serving the API at ";

/// A running gateway; it ends when dropped.
pub(crate) struct GatewayProcess<'a> {
    base: String,
    running: Running<'a>,
}

impl<'a> GatewayProcess<'a> {
    /// Starts one with [`KEY`] on a free port.
    pub(crate) fn start(world: &'a World, words: &[&str]) -> Self {
        let key = AccessKey::new("tests", &SecretString::from(KEY));
        world.write("keys.toml", key.to_toml());
        let fixed = ["gateway", "--listen=127.0.0.1:0", "--keys=keys.toml", "--allow-private"];
        let running = Command::new(world, &[&fixed, words].concat()).start();
        running.says(SERVING);
        let said = running.stderr();
        let line = said.lines().find(|line| line.contains(SERVING)).unwrap();
        let base = line.split(SERVING).nth(1).unwrap().trim_end_matches('/').to_owned();
        Self { base, running }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Ends it, and checks that it went in peace.
    pub(crate) fn end(self) {
        let ended = self.running.end("TERM").code(0);
        assert!(!ended.stderr.contains("panic"), "{}", ended.said());
    }
}
