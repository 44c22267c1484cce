//! Any `Retry-After` and `Date`: no panic, and never a longer pause than the longest.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use restore_batch::core::retry_after::{LONGEST, parse};

fuzz_target!(|input: (&str, Option<&str>, i64)| {
    let (value, date, now) = input;
    let now = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let pause = parse(value, date, now);
    assert!(pause.is_none_or(|pause| pause <= LONGEST));
    if let Ok(seconds) = value.trim().parse::<u32>()
        && value.trim().bytes().all(|byte| byte.is_ascii_digit())
    {
        assert_eq!(pause.unwrap().as_secs(), u64::from(seconds).min(LONGEST.as_secs()));
    }
});
