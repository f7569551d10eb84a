//! A runtime, and its commands.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};

use crate::case::Driver;
use crate::outcome::Class;
use crate::reaper::Reaper;

pub(crate) const ID: &str = "container";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

impl std::str::FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, program) = text.split_once('=').ok_or("expected NAME=PATH")?;
        Ok(Self { name: name.into(), program: program.into() })
    }
}

/// The end of a command.
pub(crate) struct Ended {
    pub(crate) class: Class,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) message: String,
}

/// A runtime with the folder of its state and its output.
pub(crate) struct Session<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) driver: Driver,
    pub(crate) folder: &'a Path,
    pub(crate) timeout: Duration,
    pub(crate) reaper: &'a Reaper,
}

impl Session<'_> {
    /// Runs a command with the id of the container as the last argument.
    pub(crate) fn run(&self, arguments: &[&str]) -> io::Result<Ended> {
        self.run_with(arguments, &[])
    }

    /// [`Session::run`] with further arguments after the id.
    pub(crate) fn run_with(&self, arguments: &[&str], further: &[&str]) -> io::Result<Ended> {
        // A file, because a process of the container may keep it open.
        let path = self.folder.join("control/stdout");
        let mut ended = self.run_into(File::create(&path)?.into(), arguments, further)?;
        ended.stdout = read(&path)?;
        Ok(ended)
    }

    /// [`Session::run_with`] with another standard output, which the container inherits.
    pub(crate) fn run_into(
        &self,
        stdout: Stdio,
        arguments: &[&str],
        further: &[&str],
    ) -> io::Result<Ended> {
        let path = self.folder.join("control/stderr");
        let mut command = Command::new(&self.runtime.program);
        command.arg("--root").arg(self.folder.join("state"));
        if self.driver == Driver::Systemd {
            command.arg("--systemd-cgroup");
        }
        command.args(arguments).arg(ID).args(further).current_dir(self.folder);
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&path)?);
        // The environment of hooks without one is the runtime's.
        command.env_clear().env("PATH", PATH);
        let mut child = command.spawn()?;
        // It has the other end of the container's output.
        drop(command);
        let status = self.reaper.wait(child.id().cast_signed(), self.timeout);
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let stderr = read(&path)?;
        let message = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        Ok(Ended {
            class: class(status, &stderr),
            code: status.and_then(|status| match status {
                WaitStatus::Exited(_, code) => Some(code),
                _ => None,
            }),
            stdout: String::new(),
            message: message.to_owned(),
        })
    }
}

fn class(status: Option<WaitStatus>, stderr: &str) -> Class {
    let Some(status) = status else { return Class::Hung };
    // What programs in Rust and Go print before a bug ends them.
    let panicked = stderr.contains(" panicked at ") || stderr.contains("goroutine 1 [");
    match status {
        WaitStatus::Exited(_, 0) if !panicked => Class::Done,
        WaitStatus::Exited(..) if !panicked => Class::Refused,
        _ => Class::Crashed,
    }
}

fn read(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}
