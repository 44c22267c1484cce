//! The service calls back, through the real loop, workers and ledger.

use super::*;
use crate::core::{Callback, CallbackAddresses, CallbackSecret, ItemEvent};

/// Takes every submit without an answer, and calls back after so many seconds.
struct Silent {
    calls_after: u64,
    secret: CallbackSecret,
    sender: mpsc::Sender<Callback>,
}

impl RestoreApi for Silent {
    fn submit<'a>(&'a self, order: &'a SubmitOrder) -> BoxFuture<'a, SubmitOutcome> {
        let address = order.webhook.clone().expect("a callback is asked for");
        let (item, attempt) = self.secret.read(address.rsplit('/').next().unwrap()).unwrap();
        let request_id = Some(RequestId(format!("r{item}")));
        let (sender, wait) = (self.sender.clone(), Duration::from_secs(self.calls_after));
        tokio::spawn(async move {
            sleep(wait).await;
            // Also about attempts that there never were. The run may be over by then.
            for attempt in [attempt + 1, attempt, attempt] {
                let request_id = request_id.clone();
                let _ = sender.send(Callback { item, attempt, request_id }).await;
            }
        });
        Box::pin(async {
            sleep(Duration::from_secs(5)).await;
            SubmitOutcome::InDoubt(failure(FailureCode::InDoubt))
        })
    }

    fn status<'a>(&'a self, known: &'a Known) -> BoxFuture<'a, StatusOutcome> {
        assert!(known.request_id.0.starts_with('r'), "nothing is probed");
        Box::pin(async { StatusOutcome::Failed(failure(FailureCode::ServiceFailed)) })
    }
}

impl Job {
    /// Runs with a service that calls back; returns how it ended and after how long.
    async fn run_called_back(
        &self,
        ledger: BoundaryLedger,
        calls_after: u64,
    ) -> (Result<Outcome, RunError>, Duration) {
        let (sender, callbacks) = mpsc::channel(8);
        let secret = self.memory.job().await.unwrap().callback_secret;
        let root = url::Url::parse("https://me.example/hooks").unwrap();
        let addresses = CallbackAddresses::new(root, secret);
        let webhooks = Webhooks { addresses, callbacks, patience: Duration::from_mins(2) };
        let parts = Parts {
            api: Arc::new(Silent { calls_after, secret, sender }),
            webhooks: Some(webhooks),
            ..self.parts(ledger, &[])
        };
        let (notices, intake) = mpsc::channel(1);
        notices.send(IntakeNotice::Complete(Intake::default())).await.unwrap();
        let (_sender, stops) = Stops::manual();
        let budget = Budget::new(Micros::ZERO, None);
        let began = self.clock.instant();
        let run = run(parts, rules(), Owed::default(), budget, intake, stops);
        let outcome = timeout(Duration::from_hours(2), run).await.expect("the run ends");
        (outcome, self.clock.instant() - began)
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_given_early_or_late_settles_the_doubt() {
    for (calls_after, told) in [(1, false), (60, true)] {
        let job = Job::new(2).await;
        let (outcome, took) = job.run_called_back(job.ledger(), calls_after).await;
        assert_eq!(outcome.unwrap().panics, 0);
        assert_eq!(job.states().await, [ItemState::Failed; 2], "the status endpoint decides");
        assert_eq!(job.heard("state: InDoubt"), told);
        assert!(job.heard("Named"));
        assert!(took < Duration::from_secs(calls_after + 10), "{took:?}");
        let item = job.memory.item(ItemId(1)).await.unwrap();
        assert_eq!((item.attempts(), item.charged), (1, rules().price));
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_never_comes_is_not_waited_for_longer() {
    let job = Job::new(2).await;
    let (outcome, took) = job.run_called_back(job.ledger(), 1_000).await;
    assert!(outcome.unwrap().halted.is_none());
    assert_eq!(job.states().await, [ItemState::InDoubt; 2]);
    assert_eq!(took.as_secs(), 120, "from the submit");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_kept_though_the_ledger_fails_for_a_moment() {
    let job = Job::new(2).await;
    let ledger = job.ledger().failing(ItemId(1), EventKind::RequestNamed, 3);
    let (outcome, _) = job.run_called_back(ledger, 30).await;
    outcome.expect("the ledger recovers");
    assert_eq!(job.states().await, [ItemState::Failed; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_keep_a_name_ends_the_run() {
    let job = Job::new(2).await;
    let ledger = job.ledger().failing(ItemId(1), EventKind::RequestNamed, u32::MAX);
    let (outcome, took) = job.run_called_back(ledger, 30).await;
    let error = outcome.expect_err("the ledger failed");
    assert!(error.to_string().contains("simulated"), "{error}");
    assert_eq!(job.states().await[0], ItemState::InDoubt);
    assert!(took < Duration::from_secs(45), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_attempt_is_named() {
    let job = Job::new(1).await;
    let price = rules().price;
    let doubt = || ItemEvent::AnswerLost(failure(FailureCode::InDoubt));
    let intent = || ItemEvent::SubmitIntent { price };
    for event in [intent(), doubt(), ItemEvent::Resubmit, intent(), doubt()] {
        job.memory.advance(job.fence, ItemId(1), event, Timestamp::UNIX_EPOCH).await.unwrap();
    }
    let parts = job.parts(job.ledger(), &[]);
    let (_notices, intake) = mpsc::channel(1);
    let (_sender, stops) = Stops::manual();
    let budget = Budget::new(Micros::ZERO, None);
    let coordinator = Coordinator::new(parts, Arc::new(rules()), budget, intake, stops);
    let name = async |id, attempt| {
        let workers = coordinator.workers.clone();
        match workers.name(ItemId(id), attempt, RequestId("r1".into()), false).await {
            Finished::Resolved { change, .. } => change.map(|(item, _)| item.state),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(name(1, 1).await, None);
    assert_eq!(name(1, 3).await, None);
    assert_eq!(name(9, 1).await, None, "there is no such item");
    assert_eq!(name(1, 2).await, Some(ItemState::Submitted));
    assert_eq!(name(1, 2).await, None, "once");
    let audit = job.memory.audit().await.unwrap();
    assert_eq!(
        (audit.counted.money.possibly_charged, audit.counted.money.reserved),
        (price, price)
    );
}
