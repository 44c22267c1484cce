//! What the same three requests a picture cost without any bookkeeping, and what they cost
//! when the picture is kept, which takes a file that survives a crash of the machine.

use std::{io::Write as _, path::Path, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{Result, overhead::source};

/// Submits, polls and downloads `pictures` pictures, `at_once` at a time. Throws the bytes
/// away, or puts each picture durably into `folder`.
pub(super) async fn run(
    base: &str,
    pictures: usize,
    at_once: usize,
    folder: Option<&Path>,
) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = Client { http, base: base.to_owned(), folder: folder.map(Into::into) };
    stream::iter((0..pictures).map(Ok))
        .try_for_each_concurrent(at_once, |number| {
            let client = client.clone();
            // A task for each, so that it may use every core.
            let task = tokio::spawn(async move { client.one(number).await });
            async { task.await?.map_err(Into::into) }
        })
        .await
        .and_then(|()| Ok(folder.map_or(Ok(()), sync_folder)?))
}

/// A picture is not kept before its folder is. Once at the end is the least there can be.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base: String,
    folder: Option<Arc<Path>>,
}

impl Client {
    async fn one(&self, number: usize) -> std::result::Result<(), String> {
        let picture = self.ask(&source(number)).await?;
        match self.folder.clone() {
            Some(folder) => keep(picture, folder, number).await,
            None => throw_away(picture).await,
        }
    }

    /// Makes the three requests.
    async fn ask(&self, source: &str) -> std::result::Result<reqwest::Response, String> {
        let submitted: Value = self
            .http
            .post(format!("{}/gfpgan/v1/gfpgan/generate", self.base))
            .header("Ocp-Apim-Subscription-Key", "bench")
            .json(&json!({ "img": source, "scale": 2, "version": "v1.4" }))
            .send()
            .await
            .map_err(text)?
            .json()
            .await
            .map_err(text)?;
        let polling_url = submitted["polling_url"].as_str().ok_or("no polling_url")?;
        let status: Value = self
            .http
            .get(polling_url)
            .header("Ocp-Apim-Subscription-Key", "bench")
            .send()
            .await
            .map_err(text)?
            .json()
            .await
            .map_err(text)?;
        let media_url = status["output"]["media_url"][0].as_str().ok_or("no media")?;
        let answer = self.http.get(media_url).send().await.map_err(text)?;
        answer.error_for_status().map_err(text)
    }
}

async fn throw_away(picture: reqwest::Response) -> std::result::Result<(), String> {
    let mut picture = picture.bytes_stream();
    while let Some(chunk) = picture.next().await {
        chunk.map_err(text)?;
    }
    Ok(())
}

/// Writes a temporary file, waits until it is on the disk, and gives it its name.
async fn keep(
    picture: reqwest::Response,
    folder: Arc<Path>,
    number: usize,
) -> std::result::Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut picture = picture.bytes_stream();
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
    while let Some(chunk) = picture.next().await {
        file.write_all(&chunk.map_err(text)?).map_err(failed)?;
    }
    let name = folder.join(format!("{number:08}.png"));
    let durably = move || {
        file.as_file().sync_all()?;
        file.persist(name)?;
        Ok(())
    };
    tokio::task::spawn_blocking(durably).await.map_err(|error| error.to_string())?.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` calls")]
fn text(error: reqwest::Error) -> String {
    error.to_string()
}
