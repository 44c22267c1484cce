//! Real kills: the real binary works on jobs against the gateway in a process of its own,
//! which misbehaves, and is killed at moments that a seed chooses. After every kill all
//! files are audited; at the end of each job its ledger is compared with the gateway's
//! books, request by request.
//!
//! `CRASH_ROUNDS=200 cargo test --release --test crash` kills 200 times and prints a
//! table; `CRASH_SEED` chooses other moments and faults. Time is real here, so a seed
//! repeats the choices and not every detail; what is checked holds whatever happens when.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod books;
mod dice;
mod draws;
mod gateway;
mod history;
mod job;
mod moment;
mod service;
#[expect(dead_code, unused_imports, reason = "shared with `it`, which needs more of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod table;

use std::{env, io::Write as _};

use job::Job;
use table::Table;

/// Kills when nothing else is said: a matter of seconds.
const FEW: u32 = 12;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn killed_at_any_moment_nothing_is_lost_or_paid_twice() {
    let wanted = number("CRASH_ROUNDS").map_or(FEW, |rounds| u32::try_from(rounds).unwrap());
    let seed = number("CRASH_SEED").unwrap_or(1);
    let mut table = Table::default();
    let say = |text: &str| writeln!(std::io::stderr(), "{text}").unwrap();
    for number in 0.. {
        let left = wanted - table.kills();
        if left == 0 {
            break;
        }
        let job = Job::new(seed, number);
        say(&format!("CRASH_SEED={seed}, job {number}: {job}"));
        table.add(job.run(left.min(wanted.div_ceil(3))));
    }
    say(&table.to_string());
}

#[test]
fn a_gateway_that_is_killed_does_what_it_has_accepted_once() {
    let wanted = number("CRASH_ROUNDS").map_or(FEW, |rounds| u32::try_from(rounds).unwrap());
    let seed = number("CRASH_SEED").unwrap_or(1);
    for part in 0..wanted.div_ceil(FEW) {
        gateway::survives(seed.wrapping_add(part.into()), FEW.min(wanted - part * FEW));
    }
}
