//! `private-flag INTERFACE FLAG on|off`: what `runvfctl setup` does on i40e and ice, for a flag of the emulated card.

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
