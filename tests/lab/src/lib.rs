//! The lab: a host with real SR-IOV drivers in QEMU, pristine for every test.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! let lab = lab::Lab::restore()?;
//! lab.ok("echo 2 > /sys/class/net/pf0/device/sriov_numvfs")?;
//! # Ok(()) }
//! ```
//!
//! [`Lab::restore`] builds the image when it is not there or its inputs changed (minutes, see
//! [`build`]), then brings back a booted, settled guest in about a second. Nothing a test does
//! outlives its `Lab`.
//!
//! The guest has three PFs, `pf0` to `pf2`, all up and promiscuous and without VFs, and on each
//! PF's wire a mirror port, `mirror0` to `mirror2`: whatever is sent on `mirrorN` arrives at `pfN`.
//! [`traffic`] makes and judges it.

pub mod background;
pub mod bench_protocol;
pub mod build;
mod cache;
mod command;
mod error;
mod guest;
mod qemu;
mod runvf;
pub mod traffic;

pub use command::Output;
pub use error::{Error, Result};
pub use guest::lab::Lab;
pub use runvf::{BothCpus, Programs, built};
