//! The service's calls back: lost, doubled, early, late and forged, as the seed says.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::{dice::What, scene::Scene};
use crate::{
    api::webhook::parse,
    core::{Callback, CallbackSecret},
};

/// Callbacks that wait for the run, as in production.
const QUEUE: usize = 1_024;

/// The service calls again after this long when there was no room.
const CALLS_AGAIN: Duration = Duration::from_secs(10);

/// A callback that the service is going to make; it outlives the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) due: Duration,
    /// Where to, as the order said; forged ones differ in it.
    address: String,
    body: String,
    /// The life to which it is being brought.
    carried_in: Option<u32>,
}

/// How a callback goes astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    Doubled,
    Early,
    Late,
}

/// Brings callbacks to one life of the client.
#[derive(Debug, Clone)]
pub(super) struct Postman {
    scene: Scene,
    secret: CallbackSecret,
    callbacks: mpsc::Sender<Callback>,
}

impl Postman {
    /// Starts to bring what the service has to say; what an earlier life did not hear is
    /// brought to this one.
    pub(super) fn new(scene: Scene, secret: CallbackSecret) -> (Self, mpsc::Receiver<Callback>) {
        let (callbacks, receiver) = mpsc::channel(QUEUE);
        let postman = Self { scene, secret, callbacks };
        postman.go();
        (postman, receiver)
    }

    /// Sets out with every callback that nobody carries in this life.
    pub(super) fn go(&self) {
        let mut books = self.scene.books();
        for (number, hook) in &mut books.hooks {
            if hook.carried_in != Some(self.scene.life) {
                hook.carried_in = Some(self.scene.life);
                self.bring(*number);
            }
        }
    }

    /// Brings one callback when it is due.
    fn bring(&self, number: u32) {
        let postman = self.clone();
        tokio::spawn(async move {
            loop {
                let hook = postman.scene.books().hooks.get(&number).cloned();
                let Some(Hook { due, address, body, .. }) = hook else { return };
                tokio::time::sleep(due.saturating_sub(postman.scene.now())).await;
                postman.scene.boundaries.pass().await;
                if postman.take(&address, body.as_bytes()) {
                    postman.scene.books().hooks.remove(&number);
                    return;
                }
                tokio::time::sleep(CALLS_AGAIN).await;
            }
        });
    }

    /// Does what the receiver does with a callback; false when the service shall call
    /// again.
    fn take(&self, address: &str, body: &[u8]) -> bool {
        let Ok(place) = self.callbacks.try_reserve() else { return self.callbacks.is_closed() };
        let segment = address.rsplit('/').next().unwrap_or_default();
        let genuine = self.secret.read(segment);
        self.scene.tell(format_args!("called back about {genuine:?}"));
        if let Some((item, attempt)) = genuine {
            let request_id = parse(body).and_then(|hint| hint.request_id);
            place.send(Callback { item, attempt, request_id });
        }
        true
    }
}

/// Notes what the service will call back about a request that it accepts at `at`.
pub(super) fn schedule(
    scene: &Scene,
    address: &str,
    id: &str,
    number: u32,
    at: Duration,
    takes: Duration,
) {
    let (dice, faults) = (scene.dice, scene.faults.hook);
    let table = [
        (faults.lost, Fate::Lost),
        (faults.doubled, Fate::Doubled),
        (faults.early, Fate::Early),
        (faults.late, Fate::Late),
    ];
    let fate = dice.draw(What::HookFate, number, &table);
    let name = id.parse::<u64>().map_or_else(|_| json!(id), |number| json!(number));
    let body = json!({ "request_id": name, "status": "COMPLETED", "output": { "media_url": [] } });
    let due = match fate {
        Some(Fate::Early) => at,
        Some(Fate::Late) => {
            at + takes + Duration::from_secs(dice.between(What::Pause, number, 30, 600))
        }
        _ => at + takes,
    };
    let hook = Hook { due, address: address.to_owned(), body: body.to_string(), carried_in: None };
    let mut hooks = Vec::new();
    match fate {
        Some(Fate::Lost) => {}
        Some(Fate::Doubled) => {
            let again = Hook { due: hook.due + Duration::from_secs(1), ..hook.clone() };
            hooks.extend([hook, again]);
        }
        _ => hooks.push(hook),
    }
    if dice.hit(What::Forged, number, faults.forged) {
        hooks.extend(forged(address, at));
    }
    let mut books = scene.books();
    for hook in hooks {
        let number = books.next_number();
        books.hooks.insert(number, hook);
    }
}

/// What someone calls who has seen an address and wants another attempt to be named: the
/// hash belongs to one attempt of one item.
fn forged(address: &str, at: Duration) -> Vec<Hook> {
    let Some((root, segment)) = address.rsplit_once('/') else { return Vec::new() };
    let mut parts = segment.splitn(3, '-');
    let mut part = || parts.next().unwrap_or_default();
    let (item, attempt, mac) = (part(), part(), part());
    let body = json!({ "request_id": "r99999", "status": "FAILED" }).to_string();
    [
        format!("1-{attempt}-{mac}0"),
        format!("9{item}-{attempt}-{mac}"),
        format!("{item}-9{attempt}-{mac}"),
    ]
    .map(|segment| Hook {
        due: at,
        address: format!("{root}/{segment}"),
        body: body.clone(),
        carried_in: None,
    })
    .into()
}
