//! `private-flag INTERFACE FLAG on|off` sets a private flag of a netdev's driver.
//!
//! `runvfctl setup` sets such flags of i40e and ice. The tests set one of the emulated NIC's
//! driver.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, flag, state] = &arguments[..] else {
        eprintln!("usage: private-flag INTERFACE FLAG on|off");
        return ExitCode::from(2);
    };
    match vf::set_private_flag(interface, flag, state == "on") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("private-flag: {}", error.line());
            ExitCode::FAILURE
        }
    }
}
