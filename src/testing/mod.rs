//! Fakes and harnesses for tests and benchmarks; never in a release binary.

pub mod scripted_server;
