//! `runvfctl`: what an operator wants to know of VFs and do about them.

mod gc;
mod status;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vf::{Config, Host};

/// Looks after the SR-IOV VFs that runvf gives to containers
#[derive(Parser)]
#[command(name = "runvfctl", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show every PF and VF, and which container has it
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take back VFs whose container ended without giving them back, and try the quarantined again
    Gc,
    /// Check /etc/runvf/config.toml, and that its PFs are on this machine
    Check,
}

fn main() -> ExitCode {
    let host = Host::default();
    let done = match Arguments::parse().command {
        Command::Status { json } => status::run(&host, json),
        Command::Gc => gc::run(&host),
        Command::Check => {
            Config::check(&host).map(|_| format!("{} is fine\n", host.config.display()))
        }
    };
    match done {
        Ok(text) => {
            // A closed pipe is the reader's business.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "runvfctl: {}", error.line());
            ExitCode::FAILURE
        }
    }
}
