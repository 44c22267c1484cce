//! What the same three requests a picture cost without any bookkeeping.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{Result, overhead::source};

/// Submits, polls and downloads `pictures` pictures, `at_once` at a time, and throws the
/// bytes away.
pub(super) async fn run(base: &str, pictures: usize, at_once: usize) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    stream::iter((0..pictures).map(Ok))
        .try_for_each_concurrent(at_once, |number| {
            let client = client.clone();
            let base = base.to_owned();
            // A task for each, so that it may use every core.
            let task = tokio::spawn(async move { one(&client, &base, &source(number)).await });
            async { task.await?.map_err(Into::into) }
        })
        .await
}

async fn one(
    client: &reqwest::Client,
    base: &str,
    source: &str,
) -> std::result::Result<(), String> {
    let submitted: Value = client
        .post(format!("{base}/gfpgan/v1/gfpgan/generate"))
        .header("Ocp-Apim-Subscription-Key", "bench")
        .json(&json!({ "img": source, "scale": 2, "version": "v1.4" }))
        .send()
        .await
        .map_err(text)?
        .json()
        .await
        .map_err(text)?;
    let polling_url = submitted["polling_url"].as_str().ok_or("no polling_url")?;
    let status: Value = client
        .get(polling_url)
        .header("Ocp-Apim-Subscription-Key", "bench")
        .send()
        .await
        .map_err(text)?
        .json()
        .await
        .map_err(text)?;
    let media_url = status["output"]["media_url"][0].as_str().ok_or("no media")?;
    let answer = client.get(media_url).send().await.map_err(text)?;
    let mut picture = answer.error_for_status().map_err(text)?.bytes_stream();
    while let Some(chunk) = picture.next().await {
        chunk.map_err(text)?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` calls")]
fn text(error: reqwest::Error) -> String {
    error.to_string()
}
