//! The built programs under real Docker and Podman, on real drivers. Each test has a
//! host of its own.
//!
//! A test's path says which target runs it: `soak::` tests run in `make soak`, `trial::` tests in
//! `make trial`, all others in `make test`.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bundles;
#[cfg(test)]
mod card;
#[cfg(test)]
mod cdi;
#[cfg(test)]
mod delegate;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod escapes;
#[cfg(test)]
mod everyday;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod fault_points;
#[cfg(test)]
mod first_process;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod hook_calls;
#[cfg(test)]
mod hooks_order;
#[cfg(test)]
mod host;
#[cfg(test)]
mod host_events;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod lab_selftest;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod monitor;
#[cfg(test)]
mod netavark;
#[cfg(test)]
mod options;
#[cfg(test)]
mod package;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod pods_cri;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod receive_only;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod resets;
#[cfg(test)]
mod script;
#[cfg(test)]
mod scrub;
#[cfg(test)]
mod sensor_settings;
#[cfg(test)]
mod sensors;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod switch;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod vfio;
