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
async fn a_taken_address_and_a_missing_folder_are_named() {
    let first = bind(settings()).await.unwrap();
    let taken = GatewaySettings { listen: first.local_addr(), ..settings() };
    let error = bind(taken).await.unwrap_err();
    assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
    let missing = GatewaySettings { results_in: Some("/nowhere".into()), ..settings() };
    let error = bind(missing).await.unwrap_err();
    assert!(matches!(error, GatewayError::Results(_)), "{error}");
}

#[tokio::test]
async fn shutting_down_abandons_work_and_leaves_no_results() {
    let folder = tempfile::tempdir().unwrap();
    let results_in = Some(folder.path().to_owned());
    let engine = Arc::new(HeldEngine::default());
    let settings = GatewaySettings { results_in, ..settings() };
    let mut bench = Bench::with_engine(settings, Arc::clone(&engine) as _).await;
    let id = bench.accepted().await;
    bench.until(&id, &["PROCESSING"]).await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    bench.shutdown.cancel();
    (&mut bench.served).await.unwrap().unwrap();
    let refused = bench.post(SUBMIT_PATH).body("{}").header(KEY_HEADER, KEY).send().await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(bench.handle.stats().completed, 0);
    drop(bench);
    // The blocking thread lets the last reference go.
    while std::fs::read_dir(folder.path()).unwrap().count() > 0 {
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
