//! The program from outside, and the shape of what is inside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod deploy;
mod help;
mod layering;
mod readme;
mod source_text;
