//! `runvfctl`: the operator's command. It shows, sets up, releases and repairs VFs, and registers
//! runvf with engines.

mod attach;
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

use clap::{CommandFactory, Parser, Subcommand};
use vf::{Host, Outcome, Released};

use error::Error;
use install::{Action, Engine, Options};

/// Manage the SR-IOV VFs that runvf gives to containers
#[derive(Parser)]
#[command(name = "runvfctl", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show all PFs and VFs, their containers and their traffic
    Status(status::Options),
    /// Attach a VF to a network namespace by hand
    ///
    /// For containers of systemd-nspawn, LXC or `ip netns`. The VF belongs to the namespace: it is
    /// free again after `runvfctl release`, or after the namespace has ended and `runvfctl gc` has
    /// run.
    Attach(attach::Options),
    /// Release the VFs of exited containers, and check the VFs of running containers
    Gc {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Release the VFs of an exited container, or of a network namespace without processes
    Release {
        /// A container id, a unique prefix of one, or the PCI address of a VF
        target: String,
        /// Release the VF even if its container is running; the container loses it (PCI address
        /// only)
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Recover VFs that are quarantined, have an unreadable claim, or have unknown settings
    Repair {
        /// PCI addresses; all quarantined VFs if omitted
        vfs: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show which container had which VLAN and VF, and which requests were refused
    Audit(audit::Options),
    /// Check or show the configuration, /etc/runvf/config.toml
    Config {
        #[command(subcommand)]
        command: config::Subcommand,
    },
    /// Same as `config check`
    #[command(hide = true)]
    Check,
    /// Check everything that a sensor needs, and show a remedy for each problem
    ///
    /// Exits with 2 if a check fails, with 1 if there is only a warning, and with 0 otherwise.
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Test whether the trusted VFs of a PF receive their whole VLAN and nothing of another
    Probe(probe::Options),
    /// Generate a configuration for the NICs of this machine
    Init(init::Options),
    /// Set up the configured PFs: driver flags, link up, promiscuous mode, VFs
    Setup(setup::Options),
    /// Register runvf with an engine, or write its CDI devices
    Install {
        /// The container engine, or cdi
        engine: Engine,
        /// Docker: also make runvf the default runtime
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Unregister runvf and restore the engine's configuration, or remove its CDI devices
    Uninstall {
        /// The container engine, or cdi
        engine: Engine,
        #[command(flatten)]
        options: Options,
    },
    /// Write the CDI files again if they are installed (used by runvf-cdi.service)
    #[command(hide = true)]
    RefreshCdi,
    /// Exit with 0 if this network interface is a VF of a configured PF (used by udev)
    #[command(hide = true)]
    Manages { interface: String },
    /// Generate shell completions
    Completion { shell: clap_complete::Shell },
    /// Generate manual pages
    #[command(hide = true)]
    Man { dir: PathBuf },
}

fn main() -> ExitCode {
    let host = Host::default();
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(exit_code(&error));
        }
    };
    if let Command::Manages { interface } = &command {
        return is_managed::run(&host, interface);
    }
    match run(&host, command) {
        Ok((text, code)) => {
            // A closed pipe is not an error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            code
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "runvfctl: {}", error.line());
            ExitCode::FAILURE
        }
    }
}

/// The exit code for what clap prints: 0 for `--help` and `--version`, and 64 for a usage error, as
/// in sysexits.h. clap's own code 2 is a result of `doctor` and `probe`.
fn exit_code(error: &clap::Error) -> u8 {
    if error.use_stderr() { 64 } else { 0 }
}

fn run(host: &Host, command: Command) -> Result<(String, ExitCode), Error> {
    Ok(match command {
        Command::Status(options) => success(status::run(host, &options)?),
        Command::Attach(options) => success(attach::run(host, &options)?),
        Command::Gc { json } => report(&vf::gc(host)?, json),
        Command::Release { target, force, json } => {
            report(&release::run(host, &target, force)?, json)
        }
        Command::Repair { vfs, json } => report(&repair(host, &vfs)?, json),
        Command::Audit(options) => success(audit::run(host, &options)?),
        Command::Config { command } => success(config::run(host, &command)?),
        Command::Check => success(config::run(host, &config::Subcommand::Check)?),
        Command::Doctor { json } => doctor::run(json),
        Command::Probe(options) => probe::run(host, &options)?,
        Command::Init(options) => success(init::run(host, &options)?),
        Command::Setup(options) => {
            let (text, code) = setup::run(host, &options)?;
            let lines = if options.is_setup() { refresh_cdi()? } else { String::new() };
            // A JSON document is about the PFs alone.
            (if options.json() { text } else { text + &lines }, code)
        }
        Command::RefreshCdi => success(refresh_cdi()?),
        Command::Install { engine, default, options } => {
            success(install::run(Action::Install, engine, &options.with_default(default))?)
        }
        Command::Uninstall { engine, options } => {
            success(install::run(Action::Uninstall, engine, &options)?)
        }
        Command::Completion { shell } => {
            (String::new(), manual::complete(Arguments::command(), shell))
        }
        Command::Man { dir } => (String::new(), manual::write(Arguments::command(), &dir)?),
        // Handled in `main`, because it prints nothing.
        Command::Manages { .. } => success(String::new()),
    })
}

fn refresh_cdi() -> Result<String, Error> {
    Ok(install::refresh_cdi()?.iter().map(|line| format!("cdi: {line}\n")).collect())
}

fn success(text: String) -> (String, ExitCode) {
    (text, ExitCode::SUCCESS)
}

/// Exits with 3 if a VF stays quarantined or blind, or was not released. 1 means that the command could not
/// run at all.
fn report(all: &[Released], json: bool) -> (String, ExitCode) {
    let done = |one: &Released| {
        use Outcome::{Clean, Lost, Rearmed, SetBack, Spooled, StillLost, Unrecorded};
        matches!(
            one.outcome,
            Clean | Spooled(_) | Unrecorded(_) | Lost(_) | StillLost(_) | SetBack(_) | Rearmed(_)
        )
    };
    let code = if all.iter().all(done) { ExitCode::SUCCESS } else { ExitCode::from(3) };
    (released::show(all, json), code)
}

/// Repairs the VFs; with several, an error of one does not prevent the repair of the others.
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
    fn usage_error_exits_with_64() {
        let code = |words: &[&str]| {
            let words = ["runvfctl"].iter().chain(words);
            exit_code(&Arguments::try_parse_from(words).err().unwrap())
        };
        for wrong in [&["doctor", "--jsn"][..], &["probe"], &["no-such"], &[]] {
            assert_eq!(code(wrong), 64, "{wrong:?}");
        }
        for asked in [&["--help"][..], &["--version"], &["probe", "--help"], &["help"]] {
            assert_eq!(code(asked), 0, "{asked:?}");
        }
    }
}
