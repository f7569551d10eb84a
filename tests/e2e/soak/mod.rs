//! What `make soak` adds to `make test`: whole sweeps and tables, crowds, endurance, other engines,
//! rare events; and on the other NIC and the newer kernel what `make test` runs on the X710.

mod bad_input;
mod bundles;
pub(crate) mod crowd;
pub(crate) mod cycles;
mod delegate;
mod differential;
pub(crate) mod endurance;
mod escapes;
mod everyday;
mod fault_points;
mod first_process;
mod foreign;
mod hooks_order;
mod host_events;
mod interrupted;
mod lab_selftest;
pub(crate) mod leaks;
pub(crate) mod limits;
pub(crate) mod monitor;
mod on_backports;
mod on_the_82576;
mod options;
mod pods;
mod policy;
mod probe;
mod processes;
mod registration;
mod scrub;
mod setup;
mod x710_at_once;
