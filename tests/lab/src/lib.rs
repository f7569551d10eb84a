//! The lab: a host with real SR-IOV drivers in QEMU, pristine for every test.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! let lab = lab::Lab::restore()?;
//! lab.ok("echo 2 > /sys/class/net/pf0/device/sriov_numvfs")?;
//! # Ok(()) }
//! ```
//!
//! [`Lab::restore`] builds the image if it is outdated or missing (minutes, see [`build`]), and
//! then restores a booted, idle guest in about a second. All changes of a test end with its `Lab`.
//!
//! There are two kinds of hosts by their [`Nic`], and two by their [`Kernel`]. An Intel 82576 has three
//! PFs, `pf0` to `pf2`; an Intel X710 has two. All PFs are up and promiscuous and have no VFs. Each PF
//! is wired to a mirror port, `mirror0` to `mirror2`: frames sent on `mirrorN` arrive at `pfN`. The
//! module [`traffic`] sends such frames and checks their delivery.

pub mod background;
pub mod bench_protocol;
pub mod build;
mod cache;
mod command;
mod error;
mod guest;
mod lock;
mod logs;
mod output;
mod qemu;
mod runvf;
pub mod traffic;

pub use error::{Error, Result};
pub use guest::lab::Lab;
pub use output::Output;
pub use qemu::host_kind::{HostKind, Kernel, Nic};
pub use runvf::{BothCpus, Programs, target_dir};
