//! The program from outside, and the shape of what is inside.

mod deploy;
mod help;
mod layering;
mod readme;
mod source_text;
