//! The built programs under real Docker and Podman, on real igb and igbvf drivers. Every test has a host of its own.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bare;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod delegate;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod escapes;
#[cfg(test)]
mod everyday;
#[cfg(test)]
mod first_process;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod holder;
#[cfg(test)]
mod hooks_order;
#[cfg(test)]
mod host;
#[cfg(test)]
mod installed;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod lab_selftest;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod masses;
#[cfg(test)]
mod options;
#[cfg(test)]
mod package;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod scrub;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod world;
