//! Whole round trips over loopback; one file for each part of the contract.

mod bench;
mod callbacks;
mod contract;
mod faults;
mod files;
mod lifecycle;
mod money;
mod operation;
mod restart;

pub(super) use bench::assert_error;
