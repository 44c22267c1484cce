//! The worlds: what goes wrong in each of them.

use restore_batch::{
    core::InDoubtPolicy,
    testing::sim::{
        AccountFaults, Courses, Faults, FetchFaults, HookFaults, PollFaults, Retry, Scenario,
        Stopping, SubmitFaults, Window,
    },
};

/// A little of everything that one request can meet.
pub(crate) const STORM: Faults = Faults {
    submit: SubmitFaults {
        refused: 0.05,
        throttled: 0.1,
        unavailable: 0.05,
        server_error: 0.04,
        reply_lost: 0.03,
        hang: 0.01,
        garbled: 0.03,
        rejected: 0.04,
        slow: 0.1,
    },
    course: Courses {
        failed: 0.05,
        error: 0.15,
        no_media: 0.1,
        never_media: 0.02,
        stuck: 0.02,
        several: 0.1,
    },
    poll: PollFaults {
        lost: 0.05,
        server_error: 0.03,
        throttled: 0.03,
        garbled: 0.03,
        early_unknown: 0.1,
        strange_word: 0.03,
    },
    fetch: FetchFaults { cut: 0.1, slow: 0.05, expired: 0.1, panic: 0.0 },
    hook: HookFaults { lost: 0.1, doubled: 0.2, early: 0.2, late: 0.1, forged: 0.2, belied: 0.3 },
    account: AccountFaults { wallet: 0, key_revoked_at: None, model_disabled_at: None },
    down: Window::new(0, 0),
    silent: Window::new(0, 0),
    media_down: Window::new(0, 0),
    disk_full: Window::new(0, 0),
    ledger_down: Window::new(0, 0),
};

/// Sometime in the first `spread` seconds, for so long.
const fn sometime(spread: u64, seconds: u64) -> Window {
    Window { from: 0, spread, seconds }
}

pub(crate) fn stormy() -> Scenario {
    Scenario { name: "stormy", items: 16, faults: STORM, ..Scenario::default() }
}

/// Every scenario that many seeds run.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![Scenario::default(), stormy()];
    all.extend(services());
    all.extend(accounts());
    all.extend(machines());
    all.extend(called_back());
    all
}

/// Trouble with the service.
fn services() -> Vec<Scenario> {
    let with = |name, faults| Scenario { name, faults, ..stormy() };
    vec![
        Scenario { name: "resubmit", in_doubt: InDoubtPolicy::Resubmit, ..stormy() },
        with("outage", Faults { down: Window::new(3, 300), ..STORM }),
        with("silence", Faults { silent: Window::new(3, 300), ..STORM }),
        with("no-downloads", Faults { media_down: Window::new(15, 600), ..STORM }),
        with("pauses", pauses()),
        with("strange-answers", strange_answers()),
        Scenario { webhooks: true, ..with("webhooks", STORM) },
        Scenario {
            webhooks: true,
            in_doubt: InDoubtPolicy::Resubmit,
            stops: Stopping::Anytime,
            ..with("webhooks-resubmit", doubtful())
        },
        Scenario { webhooks: true, cap: Some(9), ..with("webhooks-capped", doubtful()) },
        Scenario { retry: Some(Retry::Failed), ..with("retried", retried()) },
        Scenario { retry: Some(Retry::InDoubtToo), ..with("retried-in-doubt", STORM) },
    ]
}

pub(crate) fn doubtful() -> Faults {
    let submit = SubmitFaults { reply_lost: 0.2, server_error: 0.1, hang: 0.05, ..STORM.submit };
    Faults { submit, ..STORM }
}

fn pauses() -> Faults {
    Faults {
        submit: SubmitFaults { throttled: 0.3, unavailable: 0.15, slow: 0.3, ..STORM.submit },
        poll: PollFaults { throttled: 0.15, ..STORM.poll },
        ..STORM
    }
}

fn strange_answers() -> Faults {
    Faults {
        submit: SubmitFaults { garbled: 0.3, rejected: 0.1, ..SubmitFaults::default() },
        course: Courses { no_media: 0.3, never_media: 0.1, several: 0.3, ..Courses::default() },
        poll: PollFaults { garbled: 0.2, strange_word: 0.2, early_unknown: 0.2, ..STORM.poll },
        ..Faults::default()
    }
}

fn retried() -> Faults {
    Faults {
        course: Courses { stuck: 0.1, ..STORM.course },
        fetch: FetchFaults { cut: 0.5, ..STORM.fetch },
        ..STORM
    }
}

/// Trouble with the account.
fn accounts() -> Vec<Scenario> {
    let with = |name, account| Scenario { name, faults: Faults { account, ..STORM }, ..stormy() };
    let none = AccountFaults::default();
    vec![
        Scenario { name: "capped", cap: Some(9), ..stormy() },
        Scenario {
            name: "capped-resubmit",
            in_doubt: InDoubtPolicy::Resubmit,
            cap: Some(9),
            ..stormy()
        },
        with("empty-wallet", AccountFaults { wallet: 6, ..none }),
        with("key-revoked", AccountFaults { key_revoked_at: Some(4), ..none }),
        with("model-disabled", AccountFaults { model_disabled_at: Some(3), ..none }),
    ]
}

/// Trouble with the machine, and with people.
fn machines() -> Vec<Scenario> {
    let with = |name, faults| Scenario { name, faults, ..stormy() };
    vec![
        Scenario { name: "drained", stops: Stopping::DrainAfter(4), ..stormy() },
        Scenario { name: "stopped", stops: Stopping::Anytime, ..stormy() },
        Scenario { name: "importing", import_gap: 5, stops: Stopping::Anytime, ..stormy() },
        Scenario { name: "edited", edited: true, stops: Stopping::Anytime, ..stormy() },
        Scenario {
            name: "edited-resubmit",
            edited: true,
            stops: Stopping::Anytime,
            in_doubt: InDoubtPolicy::Resubmit,
            import_gap: 3,
            ..stormy()
        },
        Scenario { name: "many", items: 300, retry: Some(Retry::Failed), ..rejecting() },
        Scenario { name: "broken-manifest", breaks_off: Some(2), import_gap: 5, ..stormy() },
        Scenario { breaks_off: Some(3), ..with("broken-manifest-key-revoked", key_revoked()) },
        Scenario { name: "wrong-clock", wall_jumps: true, stops: Stopping::Anytime, ..stormy() },
        Scenario { name: "takeover", stops: Stopping::Takeover, ..stormy() },
        with("disk-full", Faults { disk_full: sometime(60, 30), ..STORM }),
        Scenario {
            import_gap: 3,
            ..with("ledger-down", Faults { ledger_down: sometime(40, 20), ..STORM })
        },
        with("panics", Faults { fetch: FetchFaults { panic: 0.05, ..STORM.fetch }, ..STORM }),
    ]
}

/// Trouble while the service calls back.
fn called_back() -> Vec<Scenario> {
    let with = |name, faults| Scenario { name, webhooks: true, faults, ..stormy() };
    let ledger_down = Faults { ledger_down: sometime(40, 20), ..doubtful() };
    let key_revoked = AccountFaults { key_revoked_at: Some(15), ..AccountFaults::default() };
    let wallet = AccountFaults { wallet: 8, ..AccountFaults::default() };
    vec![
        with("webhooks-ledger-down", ledger_down),
        with("webhooks-key-revoked", Faults { account: key_revoked, ..doubtful() }),
        with("webhooks-empty-wallet", Faults { account: wallet, ..doubtful() }),
        Scenario { stops: Stopping::Takeover, ..with("webhooks-takeover", doubtful()) },
        Scenario { edited: true, stops: Stopping::Anytime, ..with("webhooks-edited", doubtful()) },
    ]
}

/// The key is refused while requests are out.
fn key_revoked() -> Faults {
    let account = AccountFaults { key_revoked_at: Some(3), ..AccountFaults::default() };
    Faults { account, ..STORM }
}

/// Most items are refused at once, so that a retry has many to submit again, and owes
/// pictures beyond the first page of the supply.
fn rejecting() -> Scenario {
    let submit = SubmitFaults { rejected: 0.8, ..SubmitFaults::default() };
    let course = Courses { never_media: 0.5, ..Courses::default() };
    let faults = Faults { submit, course, ..Faults::default() };
    Scenario { faults, stops: Stopping::Anytime, in_flight: 100, ..Scenario::default() }
}
