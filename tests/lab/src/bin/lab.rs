//! `lab`: builds the image, and runs one guest for interactive use.

use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use lab::{Nic, background};

/// An SR-IOV host in QEMU: its PFs, Docker, Podman and the sensors.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    /// The SR-IOV NIC of the host; one guest of each NIC can run at a time
    #[arg(long, global = true, value_enum, default_value = "82576")]
    nic: Nic,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the image if it is outdated (minutes), and print its folder
    Build,
    /// Start a pristine guest and run it until Ctrl-C
    Up {
        /// Run it in the background
        #[arg(long)]
        detach: bool,
    },
    /// Open a shell in the running guest; start a guest first if none is running
    Shell,
    /// Run a command in the running guest; start a guest first if none is running
    Run {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// End the running guest and discard its changes
    Down,
    /// Print whether a guest is running
    Status,
}

fn main() -> ExitCode {
    let Arguments { nic, verb } = Arguments::parse();
    match run(nic, verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(nic: Nic, verb: Verb) -> lab::Result<ExitCode> {
    match verb {
        Verb::Build => println!("{}", lab::build::ensure_image(nic)?.display()),
        Verb::Up { detach: false } => background::serve(nic)?,
        Verb::Up { detach: true } => {
            background::find_or_start(nic, server(nic)?)?;
        }
        Verb::Shell => return run_in_terminal(nic, "", true),
        Verb::Run { command } => {
            return run_in_terminal(nic, &command.join(" "), std::io::stdin().is_terminal());
        }
        Verb::Down => {
            println!("{}", if background::stop(nic)? { "ended" } else { "no guest was running" });
        }
        Verb::Status => match background::find(nic)? {
            Some(guest) => {
                let transcript = guest.transcript.display();
                println!("running, process {}, transcript {transcript}", guest.pid);
            }
            None => return Err(lab::Error::NotRunning),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn run_in_terminal(nic: Nic, script: &str, tty: bool) -> lab::Result<ExitCode> {
    let guest = background::find_or_start(nic, server(nic)?)?;
    let status = background::terminal_command(&guest.control, script, tty)
        .status()
        .map_err(|source| lab::Error::Spawn { program: "ssh".into(), source })?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(255)).unwrap_or(255)))
}

/// The command that runs the guest in the background: this program, as `lab up`.
fn server(nic: Nic) -> lab::Result<Command> {
    let path = std::env::current_exe()
        .map_err(|source| lab::Error::Spawn { program: "lab".into(), source })?;
    let mut command = Command::new(path);
    let nic = nic.to_possible_value().map(|value| value.get_name().to_owned());
    command.arg("up").arg("--nic").arg(nic.unwrap_or_default());
    Ok(command)
}
