//! Functions behind `runvfctl`: setup, status, doctor, probe, and the check of the configuration
//! against the host.

pub(crate) mod bench;
pub(crate) mod capture_settings;
pub(crate) mod config_check;
pub(crate) mod counters;
pub(crate) mod doctor;
pub(crate) mod error;
pub(crate) mod probe;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod survey;
