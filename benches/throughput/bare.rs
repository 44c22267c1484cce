//! What the same three requests a picture cost without any bookkeeping.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Result, service};

/// Requests at once, as in the other run.
const AT_ONCE: usize = 200;

/// Submits, polls and downloads every picture, and throws the bytes away.
pub(super) async fn run(service: &service::Instant) -> Result<Duration> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let started = Instant::now();
    stream::iter(service.sources.iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |source| one(&client, service.base_url(), source))
        .await?;
    Ok(started.elapsed())
}

async fn one(client: &reqwest::Client, base: &str, source: &str) -> Result<()> {
    let submitted: Value = client
        .post(format!("{base}gfpgan/v1/gfpgan/generate"))
        .header("Ocp-Apim-Subscription-Key", "bench")
        .json(&json!({ "img": source, "scale": 2, "version": "v1.4" }))
        .send()
        .await?
        .json()
        .await?;
    let polling_url = submitted["polling_url"].as_str().ok_or("no polling_url")?;
    let media_url = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let status: Value = client
            .get(polling_url)
            .header("Ocp-Apim-Subscription-Key", "bench")
            .send()
            .await?
            .json()
            .await?;
        match status["status"].as_str() {
            Some("COMPLETED") => {
                break status["output"]["media_url"][0].as_str().ok_or("no media")?.to_owned();
            }
            Some("QUEUED" | "PROCESSING") => {}
            _ => return Err(format!("unexpected status: {status}").into()),
        }
    };
    let mut picture = client.get(media_url).send().await?.error_for_status()?.bytes_stream();
    while let Some(chunk) = picture.next().await {
        chunk?;
    }
    Ok(())
}
