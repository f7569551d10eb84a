//! `runvfctl manages`: whether a network interface is a VF that runvf manages.
//!
//! udev runs it for the interface of each VF. Network managers ignore a managed VF, and it keeps
//! its name.

use std::process::ExitCode;

use vf::Host;

/// Without a readable configuration no VF is managed. Nothing is printed, because udev discards the
/// output.
pub(crate) fn run(host: &Host, interface: &str) -> ExitCode {
    match vf::is_managed(host, interface) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}
