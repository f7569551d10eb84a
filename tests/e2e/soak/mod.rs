//! What `make soak` adds to `make test`: whole sweeps and tables, crowds, endurance, other engines,
//! rare events; and on the other NIC and the newer kernel what `make test` runs on the X710.

pub(crate) mod bad_input;
mod bundles;
pub(crate) mod crowd;
pub(crate) mod cycles;
mod delegate;
mod differential;
pub(crate) mod endurance;
mod escapes;
mod everyday;
pub(crate) mod fault_points;
mod first_process;
pub(crate) mod foreign;
mod hooks_order;
pub(crate) mod host_events;
mod interrupted;
mod lab_selftest;
pub(crate) mod leaks;
pub(crate) mod limits;
mod on_backports;
mod on_the_82576;
mod options;
mod pods;
pub(crate) mod policy;
pub(crate) mod probe;
mod processes;
mod registration;
pub(crate) mod scrub;
mod sensors;
mod setup;
mod x710;
mod x710_at_once;
mod x710_sensors;
