//! The whole program as its users meet it: the real binary, its files, its exit codes,
//! against the project's own gateway or a scripted server on loopback.

#[cfg(test)]
mod support;

#[cfg(test)]
mod exit_codes;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod run_batch;
#[cfg(test)]
mod secrets;
