//! `runvf-hook`: the OCI hooks, for engines that use another runtime than runvf. Under the name
//! `runvf` it is the netavark plugin.

mod attach;
mod bundle;
mod cri;
mod detach;
mod device;
mod error;
#[cfg(test)]
mod hostile;
mod netavark;
mod report;
mod state;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::state::State;

/// OCI hooks that attach SR-IOV VFs to a container and release them
///
/// A container engine runs them with the container state on stdin, as configured in `hooks.d` or
/// in a CDI file.
#[derive(Parser)]
#[command(name = "runvf-hook", version)]
struct Arguments {
    #[command(subcommand)]
    hook: Hook,
}

#[derive(Subcommand)]
enum Hook {
    /// createRuntime: attach the VFs that the annotations and the CDI device request
    Attach(device::Options),
    /// poststop: release the container's VFs and clean them
    Detach,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next();
    if netavark::is_called(program.as_deref()) {
        report_panics(netavark::report);
        return netavark::main(words);
    }
    report_panics(report::report);
    let arguments = Arguments::parse();
    let state = State::read(std::io::stdin().lock());
    let result = match (&state, arguments.hook) {
        (Ok(state), Hook::Attach(options)) => attach::run(state, options.device().as_ref()),
        (Ok(state), Hook::Detach) => {
            detach::run(state);
            Ok(())
        }
        (Err(_), _) => Ok(()),
    };
    let error = match (&state, result) {
        (Ok(_), Ok(())) => return ExitCode::SUCCESS,
        (Ok(_), Err(error)) => error.line(),
        (Err(error), _) => error.line(),
    };
    report::report(&error);
    ExitCode::FAILURE
}

/// Reports a panic like another error, in one line. Rust prints three lines to stderr, and ends a program
/// that is built with `panic = "abort"` by SIGABRT.
fn report_panics(report: fn(&str)) {
    std::panic::set_hook(Box::new(move |info| {
        let line = info.to_string().replace(char::is_control, " ");
        report(&format!("internal error: {line}; report this line to the maintainers of runvf"));
        #[expect(clippy::exit, reason = "a panic must not continue")]
        std::process::exit(1);
    }));
}
