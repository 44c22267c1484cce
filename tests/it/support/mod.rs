//! What whole-program tests have in common: a [`World`] with a folder of its own and a
//! runtime for servers, the [`Service`] that restores, the [`Photos`] that are sources,
//! the [`Command`] that is tested, [`audit`], which reads
//! what it wrote, and the [`SmallDisk`] that it writes to when space is to be short.

mod audit;
mod command;
mod photos;
mod redact;
mod service;
mod small_disk;
mod world;

pub(crate) use audit::{Audit, all_files, audit, visible_files};
pub(crate) use command::{Command, Ended, Running};
pub(crate) use photos::{Photos, colour, png};
pub(crate) use redact::redact;
pub(crate) use service::{KEY, PROBE, SUBMIT, Service, scripted_request, scripted_status};
pub(crate) use small_disk::SmallDisk;
pub(crate) use world::World;
