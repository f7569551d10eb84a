//! What `make soak` adds to `make test`: kill sweeps, more tables, crowds, endurance, other engines,
//! events; and on the other NIC and the newer kernel what `make test` runs on the X710. What takes
//! minutes and hardly depends on the code that changes every day is in `make trial`.

pub(crate) mod bad_input;
mod bundles;
pub(crate) mod crowd;
pub(crate) mod cycles;
pub(crate) mod delegate;
mod differential;
pub(crate) mod doors;
pub(crate) mod endurance;
mod escapes;
mod everyday;
pub(crate) mod fault_points;
pub(crate) mod first_process;
pub(crate) mod host_events;
pub(crate) mod interrupted;
pub(crate) mod monitor;
mod netavark;
mod on_backports;
mod on_the_82576;
mod options;
pub(crate) mod pods;
mod pods_cri;
pub(crate) mod policy;
pub(crate) mod probe;
pub(crate) mod processes;
pub(crate) mod registration;
pub(crate) mod scrub;
mod sensors;
mod x710;
pub(crate) mod x710_sensors;
