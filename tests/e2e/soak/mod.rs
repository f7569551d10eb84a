//! What `make soak` adds to `make test`: whole sweeps and tables, crowds, endurance, other engines,
//! rare events.

mod bad_input;
mod bundles;
mod cdi;
pub(crate) mod crowd;
mod delegate;
mod differential;
mod doors;
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
pub(crate) mod netavark;
mod options;
mod pods;
mod pods_cri;
mod policy;
mod probe;
mod processes;
mod registration;
mod scrub;
mod setup;
