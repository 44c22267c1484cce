//! One job: started, killed, started again, until it is done, then audited.

use std::{collections::BTreeSet, fmt, fs, ops::Range, time::Duration};

use restore_batch::{core::InDoubtPolicy, gateway::GatewayFaults};

use crate::{
    books::JobEnd,
    dice::Dice,
    draws::Draws,
    history::History,
    moment::Moment,
    service::GatewayProcess,
    support::{Audit, Command, KEY, Photos, Running, World, audit, visible_files},
};

/// Photos of one job.
const PHOTOS: usize = 200;

/// Most kills of one job, its retries not counted.
const MOST_KILLS: u32 = 16;

/// Most kills of one job's `retry`.
const MOST_RETRY_KILLS: u32 = 3;

/// How long a slow reply takes: so long that no other reply takes half of it, whatever
/// else the machine has to do.
const SLOW_FOR: Duration = Duration::from_secs(5);

/// The job folder.
const FOLDER: &str = "photos.restored";

/// A job that was drawn.
pub(crate) struct Job {
    dice: Dice,
    policy: InDoubtPolicy,
    in_flight: u32,
    draws: Draws,
    /// Take up what has failed when it is done; also what is in doubt.
    retry: Option<bool>,
}

impl Job {
    pub(crate) fn new(seed: u64, number: i64) -> Self {
        let mut dice = Dice::new(seed, number);
        // In turn, so that a few jobs are one of each kind.
        let (resubmit, in_doubt_too) = (number % 3 == 2, number % 3 == 1);
        let in_flight = 4 + dice.below(21);
        // Slow replies are heard by some jobs, and in doubt in others.
        let request_timeout = if dice.chance(0.5) { SLOW_FOR / 2 } else { SLOW_FOR * 10 };
        let faults = faults(seed ^ number.unsigned_abs(), &mut dice);
        Self {
            policy: if resubmit { InDoubtPolicy::Resubmit } else { InDoubtPolicy::Hold },
            in_flight,
            draws: Draws { faults, request_timeout },
            retry: (in_doubt_too || dice.chance(0.5)).then_some(in_doubt_too),
            dice,
        }
    }

    /// Works on the job until it is done, with at most `most` kills.
    pub(crate) fn run(mut self, most: u32) -> JobEnd {
        let world = World::new();
        let photos = Photos::start(&world, PHOTOS);
        world.write("photos.csv", photos.manifest());
        let service = GatewayProcess::start(&world, &self.draws.faults);
        let mut history = History::new(self.policy, self.in_flight);
        let planned = most.min(3 + self.dice.below(MOST_KILLS - 2));
        while history.kills < planned && self.kill_once(&world, &service, &["run"], &mut history) {}
        let mut summary = self.finish(&world, &service, &["run"]);
        history.look(&world, &service);
        if let Some(in_doubt_too) = self.retry {
            let words = if in_doubt_too { &["retry", "--in-doubt"][..] } else { &["retry"] };
            history.retries(&service, in_doubt_too);
            let planned = (most - history.kills).min(self.dice.below(MOST_RETRY_KILLS + 1));
            for _ in 0..planned {
                if !self.kill_once(&world, &service, words, &mut history) {
                    break;
                }
                history.retries(&service, in_doubt_too);
            }
            // The last one had taken up what there was.
            summary = self.finish(&world, &service, words);
        }
        JobEnd::check(&world, &service, &summary, history, &self.draws)
    }

    /// Starts the program and ends it at some moment. Returns false when it had ended by
    /// itself before.
    fn kill_once(
        &mut self,
        world: &World,
        service: &GatewayProcess,
        words: &[&str],
        history: &mut History,
    ) -> bool {
        let moment = Moment::draw(&mut self.dice);
        let signal = if self.dice.chance(0.15) { "TERM" } else { "KILL" };
        let mut running = self.start(world, service, words);
        moment.wait(service, &mut running);
        let ended = running.end(signal);
        holds_after_a_kill(world, &format!("{signal} {moment}"));
        history.look(world, service);
        match std::os::unix::process::ExitStatusExt::signal(&ended.status) {
            Some(9 | 15) => {
                history.kills += 1;
                true
            }
            Some(other) => panic!("ended by signal {other}: {}", ended.said()),
            None => {
                assert!(matches!(ended.status.code(), Some(0 | 3)), "{}", ended.said());
                false
            }
        }
    }

    /// Runs the program to its end, checks what is there, and returns its summary.
    fn finish(&self, world: &World, service: &GatewayProcess, words: &[&str]) -> serde_json::Value {
        let ended = self.start(world, service, words).wait();
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{}", ended.said());
        nothing_is_left_over(world);
        ended.json()
    }

    fn start<'a>(&self, world: &'a World, service: &GatewayProcess, words: &[&str]) -> Running<'a> {
        let policy = match self.policy {
            InDoubtPolicy::Hold => "hold",
            InDoubtPolicy::Resubmit => "resubmit",
        };
        let settings = [
            format!("--base-url={}", service.base()),
            format!("--in-flight={}", self.in_flight),
            format!("--request-timeout={}ms", self.draws.request_timeout.as_millis()),
        ];
        let command = Command::new(world, words).args(["photos.csv", "--json"]).args(settings);
        let command = command.fast().env("PIXAZO_API_KEY", KEY);
        command.env("RESTORE_BATCH_IN_DOUBT", policy).start()
    }
}

/// Draws what goes wrong: each fault often, rarely or not at all.
fn faults(seed: u64, dice: &mut Dice) -> GatewayFaults {
    let mut some = |most: u32| f64::from(dice.below(3) * most) / 200.0;
    GatewayFaults {
        seed,
        throttled: some(1),
        unavailable: some(1),
        server_error: some(2),
        reset: some(2),
        reply_lost: some(3),
        malformed: some(2),
        slow_reply: some(3),
        slow_for: SLOW_FOR,
        // Waits ten seconds before the next submit, so that a few are enough.
        service_error: some(1),
        failed: some(2),
        early_unknown: some(10),
        // The next question comes only after five seconds.
        late_media: some(2),
        media_cut: some(5),
        media_expired: some(5),
        latency: Range { start: Duration::from_millis(2), end: Duration::from_millis(60) },
    }
}

/// Checks what has to be true at every moment.
fn holds_after_a_kill(world: &World, moment: &str) {
    let Audit { results, failures } = audit(world, FOLDER);
    for sheet in [results, failures] {
        if sheet.rows.is_empty() {
            continue;
        }
        let rows = sheet.column("number");
        let once: BTreeSet<&str> = rows.iter().copied().collect();
        assert_eq!(once.len(), rows.len(), "a row is there twice after {moment}: {rows:?}");
    }
    for path in visible_files(&world.path(FOLDER).join("images")) {
        let extension = path.extension().unwrap_or_default();
        assert_eq!(extension, "png", "{} after {moment}", path.display());
    }
}

/// Checks that a job that is done has left no file that nobody knows.
fn nothing_is_left_over(world: &World) {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(world.path(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let expected = [".restore-batch", "failures.csv", "images", "results.csv"];
    assert_eq!(names(FOLDER), BTreeSet::from(expected.map(str::to_owned)));
    let hidden: Vec<String> = names(&format!("{FOLDER}/images"))
        .into_iter()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(hidden, [""; 0]);
    let state = names(&format!("{FOLDER}/.restore-batch"));
    assert_eq!(state, BTreeSet::from(["ledger.db", "lock", "manifest"].map(str::to_owned)));
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, in_flight, draws: Draws { faults, .. }, retry, .. } = self;
        write!(f, "{policy:?}, {in_flight} in flight, retry {retry:?}, {faults}")
    }
}
