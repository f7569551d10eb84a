//! The commands of a running guest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::guest::journal::Journal;
use crate::guest::ssh::Ssh;
use crate::output::{Output, RawOutput};
use crate::qemu::host_kind::HostKind;
use crate::qemu::machine::Machine;

const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A pristine SR-IOV host.
///
/// The guest ends when its `Lab` is dropped, and also when this process dies in any way. Several
/// threads may run commands at the same time.
pub struct Lab {
    // Before `machine`, so that it is dropped first: otherwise ssh reports the end of the guest.
    pub(super) ssh: Ssh,
    pub(super) machine: Machine,
    pub(super) kind: HostKind,
    pub(super) key: PathBuf,
    // After `machine`, which writes it until it ends.
    pub(super) journal: Journal,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("transcript", &self.transcript()).finish_non_exhaustive()
    }
}

impl Lab {
    /// Runs `script` in bash. An exit status other than 0 is not an error.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.sh_within(COMMAND_TIMEOUT, script)
    }

    /// [`Lab::sh`] with a timeout.
    pub fn sh_within(&self, timeout: Duration, script: &str) -> Result<Output> {
        self.raw(script, Vec::new(), timeout).map(Output::from)
    }

    /// Runs `script` in bash with `set -e -o pipefail`.
    ///
    /// # Errors
    ///
    /// The exit status is not 0. The error shows the script and its output.
    pub fn ok(&self, script: &str) -> Result<Output> {
        self.ok_within(COMMAND_TIMEOUT, script)
    }

    /// [`Lab::ok`] with a timeout.
    pub fn ok_within(&self, timeout: Duration, script: &str) -> Result<Output> {
        let output = self.sh_within(timeout, &format!("set -e -o pipefail\n{script}"))?;
        self.checked(script, output)
    }

    /// Runs a command such as `ip -j link` and parses its output.
    pub fn json(&self, script: &str) -> Result<Value> {
        let output = self.ok(script)?;
        serde_json::from_str(&output.stdout).map_err(|source| Error::Json {
            command: script.into(),
            output,
            source,
        })
    }

    /// Repeats `condition` in bash until it succeeds.
    ///
    /// It replaces fixed sleeps for states that the guest reaches by itself. The whole wait is one
    /// ssh command.
    pub fn wait_until(&self, timeout: Duration, condition: &str) -> Result<Output> {
        let seconds = timeout.as_secs().max(1);
        let poll = include_str!("wait-until.sh");
        let script = format!("condition() {{\n{condition}\n}}\nLIMIT={seconds}\n{poll}");
        let output = self.sh_within(timeout + COMMAND_TIMEOUT, &script)?;
        if output.success() {
            return Ok(output);
        }
        let so_far = output.to_string();
        Err(Error::Timeout { what: condition.to_owned(), after: timeout, so_far })
    }

    pub fn kind(&self) -> HostKind {
        self.kind
    }

    /// The log of all commands of this guest with their results. It stays after the guest ended.
    pub fn transcript(&self) -> &Path {
        self.ssh.transcript()
    }

    /// ssh's control socket. Another process can use it to run commands in this guest.
    pub(crate) fn control(&self) -> PathBuf {
        self.machine.folder().join("ssh")
    }

    pub(crate) fn raw(&self, script: &str, input: Vec<u8>, timeout: Duration) -> Result<RawOutput> {
        let raw = self.ssh.run(script, input, timeout)?;
        // The status 255 comes from ssh or from the script. If the connection is gone, it is ssh's.
        if raw.status == 255 && !(self.ssh.alive() && self.machine.alive()) {
            return Err(self.machine.failed(&format!("lost the guest during `{script}`")));
        }
        Ok(raw)
    }

    pub(crate) fn checked(&self, script: &str, output: Output) -> Result<Output> {
        if output.success() {
            return Ok(output);
        }
        Err(Error::Command {
            command: script.into(),
            output,
            transcript: self.transcript().to_owned(),
        })
    }
}
