//! The lab by hand: build it, keep one guest up, work in it.

use std::io::IsTerminal;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use lab::background;

/// An SR-IOV host in QEMU: three igb PFs, Docker, Podman and the sensors.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the image if its sources changed (minutes) and print where it is
    Build,
    /// Start a pristine guest and keep it until Ctrl-C
    Up {
        /// Leave it running in the background
        #[arg(long)]
        detach: bool,
    },
    /// Open a shell in the running guest, starting one if there is none
    Shell,
    /// Run a command in the running guest, starting one if there is none
    Run {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// End the running guest; nothing of it stays
    Down,
    /// Say whether a guest is running
    Status,
}

fn main() -> ExitCode {
    match act(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(verb: Verb) -> lab::Result<ExitCode> {
    match verb {
        Verb::Build => println!("{}", lab::build::ensure()?.display()),
        Verb::Up { detach: false } => background::serve()?,
        Verb::Up { detach: true } => {
            background::ensure(server()?)?;
        }
        Verb::Shell => return terminal("", true),
        Verb::Run { command } => {
            return terminal(&command.join(" "), std::io::stdin().is_terminal());
        }
        Verb::Down => println!("{}", if background::stop()? { "ended" } else { "was not running" }),
        Verb::Status => match background::find()? {
            Some(up) => {
                println!("running, process {}, transcript {}", up.pid, up.transcript.display())
            }
            None => return Err(lab::Error::Down),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn terminal(script: &str, tty: bool) -> lab::Result<ExitCode> {
    let up = background::ensure(server()?)?;
    let status = background::terminal(&up.control, script, tty)
        .status()
        .map_err(|source| lab::Error::Spawn { program: "ssh".into(), source })?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(255)).unwrap_or(255)))
}

fn server() -> lab::Result<Command> {
    let path = std::env::current_exe()
        .map_err(|source| lab::Error::Spawn { program: "lab".into(), source })?;
    let mut command = Command::new(path);
    command.arg("up");
    Ok(command)
}
