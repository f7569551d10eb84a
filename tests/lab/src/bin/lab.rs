//! `lab`: builds the image, and runs one guest for interactive use.

use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use lab::{HostKind, background};

/// An SR-IOV host in QEMU: its PFs, Docker, Podman and the sensors.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(flatten)]
    kind: HostKind,
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
    let Arguments { kind, verb } = Arguments::parse();
    match run(kind, verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kind: HostKind, verb: Verb) -> lab::Result<ExitCode> {
    match verb {
        Verb::Build => println!("{}", lab::build::ensure_image(kind)?.display()),
        Verb::Up { detach: false } => background::serve(kind)?,
        Verb::Up { detach: true } => {
            background::find_or_start(kind, server(kind)?)?;
        }
        Verb::Shell => return run_in_terminal(kind, "", true),
        Verb::Run { command } => {
            return run_in_terminal(kind, &command.join(" "), std::io::stdin().is_terminal());
        }
        Verb::Down => {
            println!("{}", if background::stop(kind)? { "ended" } else { "no guest was running" });
        }
        Verb::Status => match background::find(kind)? {
            Some(guest) => {
                let transcript = guest.transcript.display();
                println!("running, process {}, transcript {transcript}", guest.pid);
            }
            None => return Err(lab::Error::NotRunning),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn run_in_terminal(kind: HostKind, script: &str, tty: bool) -> lab::Result<ExitCode> {
    let guest = background::find_or_start(kind, server(kind)?)?;
    let status = background::terminal_command(&guest.control, script, tty)
        .status()
        .map_err(|source| lab::Error::Spawn { program: "ssh".into(), source })?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(255)).unwrap_or(255)))
}

/// The command that runs the guest in the background: this program, as `lab up`.
fn server(kind: HostKind) -> lab::Result<Command> {
    let path = std::env::current_exe()
        .map_err(|source| lab::Error::Spawn { program: "lab".into(), source })?;
    let mut command = Command::new(path);
    command.args(["up", "--nic", &name(kind.nic), "--kernel", &name(kind.kernel)]);
    Ok(command)
}

/// The name of a value on the command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
