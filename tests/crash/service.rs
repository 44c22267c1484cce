//! The gateway in a process of its own.

use reqwest::Client;
use restore_batch::gateway::{AccessKey, BookedRequest, GatewayFaults, GatewayStats};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::support::{Command, KEY, Running, World};

/// What the gateway says before its address.
const SERVING: &str = "serving the API at ";

/// A running gateway; it ends when dropped.
pub(crate) struct GatewayProcess<'a> {
    world: &'a World,
    client: Client,
    base: String,
    running: Running<'a>,
}

impl<'a> GatewayProcess<'a> {
    pub(crate) fn start(world: &'a World, faults: &GatewayFaults) -> Self {
        let key = AccessKey::new("tester", &SecretString::from(KEY.to_owned()));
        world.write("keys.toml", key.to_toml());
        let words = ["gateway", "--listen=127.0.0.1:0", "--keys=keys.toml", "--allow-private"];
        let test_only = ["--engine=instant".to_owned(), format!("--inject-faults={faults}")];
        let state = ["--state=gateway-state", "--log=warn"];
        let running = Command::new(world, &words).args(test_only).args(state).start();
        running.says(SERVING);
        let said = running.stderr();
        let line = said.lines().find(|line| line.contains(SERVING)).unwrap();
        let base = line.split(SERVING).nth(1).unwrap().trim_end_matches('/').to_owned();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { world, client, base, running }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn stats(&self) -> GatewayStats {
        self.get("/faults/stats")
    }

    pub(crate) fn books(&self) -> Vec<BookedRequest> {
        self.get("/faults/books")
    }

    /// Returns what it has done, for callers that are on the runtime already.
    pub(crate) async fn stats_now(&self, client: &Client) -> GatewayStats {
        let reply = client.get(format!("{}/faults/stats", self.base)).send().await.unwrap();
        reply.json().await.unwrap()
    }

    /// Ends it without any warning.
    pub(crate) fn kill(self) {
        self.running.kill();
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.world.block_on(async {
            let reply = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
            reply.json().await.unwrap()
        })
    }
}
