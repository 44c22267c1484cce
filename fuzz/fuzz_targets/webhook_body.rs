//! Any body as a webhook's: no panic, and nothing but a name that can be used.

#![no_main]

use libfuzzer_sys::fuzz_target;
use restore_batch::api::webhook;

fuzz_target!(|body: &[u8]| {
    let Some(request_id) = webhook::parse(body).and_then(|hint| hint.request_id) else { return };
    let id = &request_id.0;
    assert!(!id.trim().is_empty() && id.len() <= 256, "{id:?}");
    assert!(!id.chars().any(char::is_control) && id.chars().any(|c| c != '.'), "{id:?}");
});
