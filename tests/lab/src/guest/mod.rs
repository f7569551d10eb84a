//! A running guest: how to reach it, its commands and its files.

mod boot_wait;
mod files;
mod forward;
mod journal;
pub(crate) mod lab;
mod lifecycle;
mod paths;
pub(crate) mod ssh;
mod x710;
