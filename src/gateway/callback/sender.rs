//! Takes callbacks that are due, and sees each to its end or its next attempt.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::task::{Id, JoinSet};
use url::Url;

use super::{
    line::Line,
    message::signature,
    policy::{Verdict, judge},
};
use crate::{
    core::jitter,
    gateway::{
        requests::DueCallback,
        shared::{Shared, now},
        status::status_reply,
    },
};

/// Longest time for an answer. A receiver that does more with a callback than to note it
/// should do so afterwards.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

/// Calls back until the gateway stops. What is under way then is seen to its end, for as
/// long as the caller waits; the rest is due again at the next start.
pub(in crate::gateway) async fn call_back(shared: Arc<Shared>) {
    let mut line = Line::new();
    let mut under_way = JoinSet::new();
    let mut hosts: HashMap<Id, String> = HashMap::new();
    loop {
        while let Some((host, callback)) = line.next() {
            let shared = Arc::clone(&shared);
            let told = host.clone();
            let task = under_way.spawn(async move { deliver(&shared, &callback, &told).await });
            hosts.insert(task.id(), host);
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            Some(ended) = under_way.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                if let Some(host) = hosts.remove(&id) {
                    line.ended(&host);
                }
            }
            due = shared.requests.due_callbacks(now) => {
                for callback in due {
                    line.push(&host_of(&callback.url), callback);
                }
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn deliver(shared: &Shared, callback: &DueCallback, host: &str) {
    let tries = callback.attempts.saturating_add(1);
    match attempt(shared, callback, tries).await {
        Verdict::Delivered => {
            tracing::debug!(request.id = %callback.id, host, "called back");
            shared.callback_delivered(&callback.id).await;
        }
        Verdict::Again { pause, why } => {
            tracing::info!(request.id = %callback.id, host, why, "a callback was not received");
            let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
            shared.callback_failed(&callback.id, now().saturating_add(pause).ok()).await;
        }
        Verdict::GiveUp(why) => {
            tracing::warn!(request.id = %callback.id, host, why, "no more callbacks for a request");
            shared.callback_failed(&callback.id, None).await;
        }
    }
}

/// Calls once.
async fn attempt(shared: &Shared, callback: &DueCallback, tries: u32) -> Verdict {
    let DueCallback { id, url, seen, account, .. } = callback;
    let reply = status_reply(shared, id, seen.clone());
    let Ok(body) = serde_json::to_vec(&reply) else {
        return Verdict::GiveUp("cannot be told in JSON".to_owned());
    };
    let secret = shared.accounts.webhook_secret(*account);
    let headers = match signature(secret, id, now(), &body) {
        Ok(headers) => headers,
        Err(error) => return Verdict::GiveUp(error.to_string()),
    };
    let posted = shared.client.post(url, headers, body.into(), LONGEST_ANSWER).await;
    let pauses = &shared.settings.callback_pauses;
    judge(&posted, tries, pauses, jitter(0, number(id), tries))
}

/// Whose places a callback takes; never its path, which may be a secret.
fn host_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// A number that tells requests apart, for their jitter.
fn number(id: &str) -> i64 {
    let hash = blake3::hash(id.as_bytes());
    let (first, _) = hash.as_bytes().split_at(8);
    first.try_into().map_or(0, i64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_belong_to_a_host_whatever_the_path() {
        assert_eq!(host_of("https://Example.org:8443/hook?token=1"), "example.org");
        assert_eq!(host_of("http://[::1]/a"), "[::1]");
        assert_eq!(host_of("no address"), "");
    }

    #[test]
    fn requests_have_their_own_jitter() {
        assert_ne!(number("gfpgan_a"), number("gfpgan_b"));
        assert_eq!(number("gfpgan_a"), number("gfpgan_a"));
    }
}
