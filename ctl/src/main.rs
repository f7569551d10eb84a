//! `runvfctl`: what an operator wants to know of VFs and do about them.

mod audit;
mod config;
mod doctor;
mod error;
mod init;
mod install;
mod is_managed;
mod manual;
mod probe;
mod release;
mod released;
mod setup;
mod status;
mod table;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vf::{Host, Outcome, Released};

use error::Error;
use install::{Engine, Options, Verb};

/// Looks after the SR-IOV VFs that runvf gives to containers
#[derive(Parser)]
#[command(name = "runvfctl", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show every PF and VF, which container has it, and how much it has seen
    Status(status::Options),
    /// Take back the VFs of containers that ended without giving them back, and look for VFs that running containers have lost
    Gc {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take back the VFs of a container that is gone
    Release {
        /// A container's id, or how it begins if no other does, or the PCI address of a VF
        target: String,
        /// Even from a container that runs: it loses the VF (PCI address only)
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Clean VFs that are in quarantine, have an unreadable claim, or are set up by nobody known, and free them
    Repair {
        /// PCI addresses; none: every VF in quarantine
        vfs: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show who had which VLAN on which VF from when to when, and who was refused
    Audit(audit::Options),
    /// What /etc/runvf/config.toml says
    Config {
        #[command(subcommand)]
        verb: config::Verb,
    },
    /// As `config check`
    #[command(hide = true)]
    Check,
    /// Look at everything that a sensor needs, and say what is wrong and how to mend it. Exits with 2 if something fails, with 1 if there is a warning
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try out with free VFs of a PF, and frames between them, whether a trusted VF sees all of its VLAN and nothing of another
    Probe(probe::Options),
    /// Write a configuration for the NICs of this machine
    Init(init::Options),
    /// Make the PFs of /etc/runvf/config.toml ready: driver's flags, up, promiscuous, VFs
    Setup(setup::Options),
    /// Tell an engine about runvf
    Install {
        engine: Engine,
        /// Docker: make runvf the default runtime, too
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Let an engine forget runvf, and put its configuration back as it was
    Uninstall {
        engine: Engine,
        #[command(flatten)]
        options: Options,
    },
    /// Exit with 0 if this network interface is a VF of a PF in /etc/runvf/config.toml, for udev
    #[command(hide = true)]
    Manages { interface: String },
    /// Print what a shell completes runvfctl's command line with
    Completion { shell: clap_complete::Shell },
    /// Write manual pages
    #[command(hide = true)]
    Man { folder: PathBuf },
}

fn main() -> ExitCode {
    let host = Host::default();
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(usage(&error));
        }
    };
    if let Command::Manages { interface } = &command {
        return is_managed::run(&host, interface);
    }
    match act(&host, command) {
        Ok((text, code)) => {
            // A closed pipe is the reader's business.
            let _ = std::io::stdout().write_all(text.as_bytes());
            code
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "runvfctl: {}", error.line());
            ExitCode::FAILURE
        }
    }
}

/// Of what clap prints by itself, `--help` and `--version` are no errors. An error is 64, as in sysexits.h: clap's 2 is what `doctor`
/// and `probe` say of the machine.
fn usage(error: &clap::Error) -> u8 {
    if error.use_stderr() { 64 } else { 0 }
}

fn act(host: &Host, command: Command) -> Result<(String, ExitCode), Error> {
    Ok(match command {
        Command::Status(options) => success(status::run(host, &options)?),
        Command::Gc { json } => report(&vf::gc(host)?, json),
        Command::Release { target, force, json } => {
            report(&release::run(host, &target, force)?, json)
        }
        Command::Repair { vfs, json } => report(&repair(host, &vfs)?, json),
        Command::Audit(options) => success(audit::run(host, &options)?),
        Command::Config { verb } => success(config::run(host, &verb)?),
        Command::Check => success(config::run(host, &config::Verb::Check)?),
        Command::Doctor { json } => doctor::run(json),
        Command::Probe(options) => probe::run(host, &options)?,
        Command::Init(options) => success(init::run(host, &options)?),
        Command::Setup(options) => setup::run(host, &options)?,
        Command::Install { engine, default, options } => {
            success(install::run(Verb::Install, engine, &options.with_default(default))?)
        }
        Command::Uninstall { engine, options } => {
            success(install::run(Verb::Uninstall, engine, &options)?)
        }
        Command::Completion { shell } => (String::new(), manual::complete(shell)),
        Command::Man { folder } => (String::new(), manual::write(&folder)?),
        // Answered before, as it says nothing.
        Command::Manages { .. } => success(String::new()),
    })
}

fn success(text: String) -> (String, ExitCode) {
    (text, ExitCode::SUCCESS)
}

/// A VF that is in quarantine or was left where it is has not been had: that is 3, so that 1 stays for what could not be tried.
fn report(all: &[Released], json: bool) -> (String, ExitCode) {
    let done = |one: &Released| {
        use Outcome::{Clean, Lost, SetBack, Unrecorded};
        matches!(one.outcome, Clean | Unrecorded(_) | Lost(_) | SetBack(_))
    };
    let code = if all.iter().all(done) { ExitCode::SUCCESS } else { ExitCode::from(3) };
    (released::show(all, json), code)
}

/// Of several, one that cannot be repaired does not keep the others from it.
fn repair(host: &Host, vfs: &[String]) -> Result<Vec<Released>, vf::Error> {
    match vfs {
        [] => vf::repair_all(host),
        [one] => vf::repair(host, one).map(|one| vec![one]),
        several => Ok(several.iter().map(|vf| repair_one_of_several(host, vf)).collect()),
    }
}

fn repair_one_of_several(host: &Host, vf: &str) -> Released {
    vf::repair(host, vf).unwrap_or_else(|error| Released {
        vf: vf.to_owned(),
        interface: String::new(),
        container: String::new(),
        outcome: Outcome::Left(error.line()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_that_is_wrong_is_no_finding() {
        let code = |words: &[&str]| {
            let words = ["runvfctl"].iter().chain(words);
            usage(&Arguments::try_parse_from(words).err().unwrap())
        };
        for wrong in [&["doctor", "--jsn"][..], &["probe"], &["no-such"], &[]] {
            assert_eq!(code(wrong), 64, "{wrong:?}");
        }
        for asked in [&["--help"][..], &["--version"], &["probe", "--help"], &["help"]] {
            assert_eq!(code(asked), 0, "{asked:?}");
        }
    }
}
