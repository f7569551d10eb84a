//! `runvfctl manages`: udev asks it, for each network interface of a VF, whether that VF is runvf's to give away. What it says yes
//! to is kept from network managers and keeps its name.

use std::process::ExitCode;

use vf::Host;

/// No configuration, or one that cannot be read: nothing is ours, and nothing is said. udev shows no output anyway.
pub(crate) fn run(host: &Host, interface: &str) -> ExitCode {
    match vf::manages(host, interface) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}
