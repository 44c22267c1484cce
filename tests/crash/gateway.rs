//! The gateway itself is killed, again and again, while clients submit: what it has
//! accepted it does, once, and charges once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use reqwest::Client;
use restore_batch::{
    core::Micros,
    gateway::{BookedRequest, GatewayFaults, GatewayStats},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    dice::Dice,
    service::GatewayProcess,
    support::{KEY, Photos, World},
};

/// Requests in all.
const REQUESTS: usize = 60;

/// Submits at once.
const AT_ONCE: usize = 8;

/// Price of one request.
const PRICE: Micros = Micros(3_100);

/// How long all requests may take; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the clients have heard.
#[derive(Default)]
struct Heard {
    /// The request of each photo, as every answer so far has named it.
    ids: BTreeMap<usize, String>,
}

/// When a gateway is killed: as soon as so many submits were answered since its start, or
/// once it has ended so many requests in all.
#[derive(Debug, Clone, Copy)]
enum Kill {
    Answers(usize),
    Ended(u64),
}

/// Kills a gateway `kills` times, and lets it finish.
pub(crate) fn survives(seed: u64, kills: u32) {
    let world = World::new();
    let photos = Photos::start(&world, REQUESTS);
    // Time to be killed in, between acceptance and end.
    let latency = Duration::ZERO..Duration::from_millis(40);
    let faults = GatewayFaults { seed, latency, ..GatewayFaults::default() };
    let mut dice = Dice::new(seed, -1);
    let mut heard = Heard::default();
    for number in 0..kills {
        let gateway = GatewayProcess::start(&world, &faults);
        knows_what_was_heard(&gateway.books(), &heard);
        let kill = match number % 2 {
            0 => Kill::Answers(1 + dice.below(12) as usize),
            _ => Kill::Ended(gateway.stats().completed + 1 + u64::from(dice.below(8))),
        };
        // Photos that nobody has heard of yet, and some that are known.
        let first = heard.ids.len().saturating_sub(4);
        submit(&world, &gateway, &photos, first..REQUESTS, &mut heard, kill);
        gateway.kill();
    }
    let gateway = GatewayProcess::start(&world, &faults);
    submit(&world, &gateway, &photos, 0..REQUESTS, &mut heard, Kill::Answers(usize::MAX));
    let ends = Instant::now() + PATIENCE;
    while gateway.stats().completed < REQUESTS as u64 {
        assert!(Instant::now() < ends, "not done: {:?}", gateway.stats());
    }
    ended_well(&world, &gateway, &gateway.stats(), &heard);
}

/// Submits photos until the moment of the kill, each with a key of its own.
fn submit(
    world: &World,
    gateway: &GatewayProcess,
    photos: &Photos,
    numbers: std::ops::Range<usize>,
    heard: &mut Heard,
    kill: Kill,
) {
    world.block_on(async {
        let client = Client::builder().no_proxy().build().unwrap();
        let mut answers = stream::iter(numbers)
            .map(|number| submit_one(&client, gateway.base(), number, photos.url(number)))
            .buffer_unordered(AT_ONCE);
        let mut count = 0;
        while let Some((number, id)) = answers.next().await {
            let known = heard.ids.entry(number).or_insert_with(|| id.clone());
            assert_eq!(*known, id, "another request for the key of photo {number}");
            count += 1;
            let over = match kill {
                Kill::Answers(answers) => count >= answers,
                // Asked after each answer, so that it ends with the last one at the latest.
                Kill::Ended(ended) => gateway.stats_now(&client).await.completed >= ended,
            };
            if over {
                // What is under way is lost with the gateway.
                return;
            }
        }
    });
}

async fn submit_one(client: &Client, base: &str, number: usize, img: String) -> (usize, String) {
    let submit = client
        .post(format!("{base}/gfpgan/v1/gfpgan/generate"))
        .header("Ocp-Apim-Subscription-Key", KEY)
        .header("Idempotency-Key", format!("photo-{number}"))
        .json(&json!({ "img": img, "scale": 2 }));
    let reply = submit.send().await.unwrap();
    assert_eq!(reply.status(), 202);
    let reply: Value = reply.json().await.unwrap();
    (number, reply["request_id"].as_str().unwrap().to_owned())
}

/// Checks that nothing is forgotten that a client has heard of, and nothing is there twice.
#[track_caller]
fn knows_what_was_heard(books: &[BookedRequest], heard: &Heard) {
    let known: BTreeSet<&str> = books.iter().map(|request| request.request_id.as_str()).collect();
    for (number, id) in &heard.ids {
        assert!(known.contains(id.as_str()), "photo {number} was accepted as {id} and forgotten");
    }
    let photos: BTreeSet<&str> = books.iter().map(|request| request.img.as_str()).collect();
    assert_eq!(photos.len(), books.len(), "a photo was accepted twice");
}

fn ended_well(world: &World, gateway: &GatewayProcess, stats: &GatewayStats, heard: &Heard) {
    let books = gateway.books();
    knows_what_was_heard(&books, heard);
    assert_eq!(books.len(), REQUESTS);
    assert_eq!(stats.charged, PRICE.times(REQUESTS as u64));
    assert_eq!((stats.queued, stats.processing, stats.failed, stats.errors), (0, 0, 0, 0));
    let results = world.path("gateway-state/results");
    for request in &books {
        let file = std::fs::read(results.join(&request.request_id).with_extension("png")).unwrap();
        let hash = blake3::hash(&file).to_hex().to_string();
        assert_eq!(request.blake3.as_deref(), Some(hash.as_str()));
        image::load_from_memory(&file).unwrap();
    }
    let files = std::fs::read_dir(results).unwrap().count();
    assert_eq!(files, REQUESTS, "a file that no request needs was left");
}
