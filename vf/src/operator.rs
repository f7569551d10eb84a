//! Functions behind `runvfctl` and the monitor: setup, status, doctor, probe, events, and the check
//! of the configuration against the host.

pub(crate) mod bench;
pub(crate) mod capture;
pub(crate) mod capture_settings;
pub(crate) mod config_check;
pub(crate) mod counters;
pub(crate) mod doctor;
pub(crate) mod error;
pub(crate) mod inside;
pub(crate) mod probe;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod survey;
pub(crate) mod watch;
