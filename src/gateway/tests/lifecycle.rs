//! Opening and ending.

use std::sync::Arc;

use super::bench::{Bench, KEY, settings};
use crate::{
    api::wire::{KEY_HEADER, SUBMIT_PATH},
    engine::InstantEngine,
    gateway::{Gateway, GatewayError, GatewaySettings},
    testing::HeldEngine,
};

async fn bind(settings: GatewaySettings) -> Result<Gateway, GatewayError> {
    Gateway::bind(settings, Arc::new(InstantEngine)).await
}

#[tokio::test]
async fn without_a_key_it_only_listens_on_loopback() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let open = GatewaySettings { keys: Vec::new(), ..settings() };
    bind(open.clone()).await.unwrap();
    let error = bind(GatewaySettings { listen: everywhere, ..open }).await.unwrap_err();
    assert!(matches!(error, GatewayError::KeysNeeded(_)), "{error}");
    let error = bind(GatewaySettings { listen: everywhere, ..settings() }).await.unwrap_err();
    assert!(matches!(error, GatewayError::BaseUrlNeeded(_)), "{error}");
    let base_url = Some("http://example.org/".parse().unwrap());
    bind(GatewaySettings { listen: everywhere, base_url, ..settings() }).await.unwrap();
}

#[tokio::test]
async fn a_public_url_that_cannot_be_given_out_is_refused_and_not_repeated() {
    for url in [
        "ftp://example.org/",
        "localhost:8080",
        "data:,s3cret",
        "https://s3cret@example.org/",
        "https://user:s3cret@example.org/",
        "https://example.org/?s3cret",
        "https://example.org/#s3cret",
    ] {
        let base_url = Some(url.parse().unwrap());
        let error = bind(GatewaySettings { base_url, ..settings() }).await.unwrap_err();
        assert!(matches!(error, GatewayError::BaseUrl), "{url}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_taken_address_and_an_impossible_folder_are_named() {
    let first = bind(settings()).await.unwrap();
    let taken = GatewaySettings { listen: first.local_addr(), ..settings() };
    let error = bind(taken).await.unwrap_err();
    assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
    let impossible = GatewaySettings { state: Some("/dev/null/state".into()), ..settings() };
    let error = bind(impossible).await.unwrap_err();
    assert!(matches!(error, GatewayError::State(_)), "{error}");
    assert!(error.to_string().contains("/dev/null/state"), "{error}");
}

#[tokio::test]
async fn shutting_down_puts_work_back_and_leaves_nothing_temporary() {
    let engine = Arc::new(HeldEngine::default());
    let mut bench = Bench::with_engine(settings(), Arc::clone(&engine) as _).await;
    let id = bench.accepted().await;
    bench.until(&id, &["PROCESSING"]).await;
    let folder = bench.handle.shared.state.folder().to_owned();
    assert!(folder.join("gateway.db").exists());
    bench.shutdown.cancel();
    (&mut bench.served).await.unwrap();
    let refused = bench.post(SUBMIT_PATH).body("{}").header(KEY_HEADER, KEY).send().await;
    assert!(refused.is_err(), "{refused:?}");
    let stats = bench.handle.stats();
    assert_eq!((stats.completed, stats.processing, stats.queued), (0, 0, 1));
    drop(bench);
    // The blocking thread lets the last reference go.
    while folder.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_stops_its_workers() {
    let bench = Bench::with_engine(settings(), Arc::new(HeldEngine::default())).await;
    let id = bench.accepted().await;
    bench.until(&id, &["PROCESSING"]).await;
    bench.served.abort();
    while Arc::strong_count(&bench.handle.shared) > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
