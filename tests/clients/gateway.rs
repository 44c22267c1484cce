//! The gateway, as its user starts it.

use std::time::Duration;

use restore_batch::{
    api::wire::{KEY_HEADER, SUBMIT_PATH, WEBHOOK_HEADER},
    gateway::AccessKey,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Command, KEY, Running, World};

/// What the gateway says before its address.
const SERVING: &str = "serving the API at ";

/// Signs the callbacks of the account; from the Standard Webhooks specification.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A running gateway; it ends when dropped.
pub(crate) struct GatewayProcess<'a> {
    world: &'a World,
    base: String,
    running: Running<'a>,
}

impl<'a> GatewayProcess<'a> {
    /// Starts one with [`KEY`] on a free port.
    pub(crate) fn start(world: &'a World, words: &[&str]) -> Self {
        let key = AccessKey::new("tests", &SecretString::from(KEY)).to_toml();
        world.write("keys.toml", format!("{key}webhook_secret = \"{WEBHOOK_SECRET}\"\n"));
        let fixed = ["gateway", "--listen=127.0.0.1:0", "--keys=keys.toml", "--allow-private"];
        let running = Command::new(world, &[&fixed, words].concat()).start();
        running.says(SERVING);
        let said = running.stderr();
        let line = said.lines().find(|line| line.contains(SERVING)).unwrap();
        let base = line.split(SERVING).nth(1).unwrap().trim_end_matches('/').to_owned();
        Self { world, base, running }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Has one picture restored, and returns the name of the request.
    pub(crate) fn restored(&self, picture: &str, webhook: Option<&str>) -> String {
        self.world.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let submit = client.post(format!("{}{SUBMIT_PATH}", self.base)).header(KEY_HEADER, KEY);
            let submit = match webhook {
                Some(address) => submit.header(WEBHOOK_HEADER, address),
                None => submit,
            };
            let submitted = submit.json(&json!({ "img": picture })).send().await.unwrap();
            let accepted: Value = submitted.json().await.unwrap();
            let polling_url = accepted["polling_url"].as_str().unwrap();
            loop {
                let poll = client.get(polling_url).header(KEY_HEADER, KEY);
                let status: Value = poll.send().await.unwrap().json().await.unwrap();
                match status["status"].as_str().unwrap() {
                    "COMPLETED" => break status["request_id"].as_str().unwrap().to_owned(),
                    "QUEUED" | "PROCESSING" => sleep(Duration::from_millis(20)).await,
                    _ => panic!("not restored: {status}"),
                }
            }
        })
    }

    /// Ends it, and checks that it went in peace.
    pub(crate) fn end(self) {
        let ended = self.running.end("TERM").code(0);
        assert!(!ended.stderr.contains("panic"), "{}", ended.said());
    }
}
