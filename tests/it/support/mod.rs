//! What whole-program tests have in common: a [`World`] with a folder of its own and a
//! runtime for servers, the [`Service`] that restores, the [`Photos`] that are sources,
//! the [`Command`] that is tested, and [`audit`], which reads what it wrote.

mod audit;
mod command;
mod photos;
mod redact;
mod service;
mod world;

pub(crate) use audit::{Audit, all_files, audit, visible_files};
pub(crate) use command::{Command, Ended, Running};
pub(crate) use photos::{Photos, colour, png};
pub(crate) use redact::redact;
pub(crate) use service::{KEY, Service, scripted_request, scripted_status};
pub(crate) use world::World;
