//! Deterministic simulation: whole runs in milliseconds, with every fault and a crash
//! at every boundary. See `testing::sim` for what a world is.
//!
//! `SIM_SEEDS=20000 cargo test --test sim` runs more seeds, `SIM_SCENARIO=edited` only
//! one scenario, `SIM_FROM=500` begins at another seed. A seed that fails prints its
//! scenario, what does not hold, its trace and the line for `seeds.txt`, whose lines every
//! run repeats.

mod outcomes;
mod planted;
mod scenarios;
mod seeds;
mod sweep;
