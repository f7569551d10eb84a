//! The last step inside the container: find the program and execute it. libcontainer's own executor
//! requires PATH even for an absolute path, refuses a program that only root may execute, runs a
//! file that is not a program with `/bin/sh` (execvp(3)), and panics if runvf's environment is not
//! UTF-8.
//!
//! All that the process needs is looked up while the container is created. After `start`, it loads
//! the seccomp filter and executes the program.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;

use libcontainer::oci_spec::runtime::{LinuxMemoryPolicy, Spec};
use libcontainer::process::memory_policy::setup_memory_policy;
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{
    Executor as Workload, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::command::{Command, text};
use super::descriptors::Descriptors;
use super::identity::Identity;
use super::seccomp::SeccompFilter;

#[derive(Debug, Clone)]
pub(crate) struct Executor {
    descriptors: Descriptors,
    filter: Option<SeccompFilter>,
    /// Identity and memory policy are only for `exec`. For `create`, libcontainer sets both.
    identity: Option<Identity>,
    memory_policy: Option<LinuxMemoryPolicy>,
    /// Set by `validate`. libcontainer calls all methods in one process, by a shared reference.
    command: RefCell<Option<Command>>,
}

impl Executor {
    pub(crate) fn for_create(filter: Option<SeccompFilter>) -> Self {
        let descriptors = Descriptors::scan();
        let command = RefCell::default();
        Self { descriptors, filter, identity: None, memory_policy: None, command }
    }

    pub(crate) fn for_exec(
        filter: Option<SeccompFilter>,
        identity: Option<Identity>,
        memory_policy: Option<LinuxMemoryPolicy>,
    ) -> Self {
        Self { identity, memory_policy, ..Self::for_create(filter) }
    }

    fn prepare(&self, spec: &Spec) -> Result<(), String> {
        self.descriptors.close_escapes();
        if let Some(identity) = &self.identity {
            identity.assume()?;
        }
        setup_memory_policy(&self.memory_policy, &*create_syscall())
            .map_err(|error| crate::error::line(&error))?;
        let process = spec.process().as_ref().ok_or("the spec has no process")?;
        self.command.replace(Some(Command::find(process)?));
        Ok(())
    }

    /// Returns only if it fails.
    fn execute(&self) -> String {
        let command = self.command.borrow();
        let Some(command) = command.as_ref() else { return "exec: no program".to_owned() };
        if let Err(errno) = reset_sigpipe() {
            return text(errno);
        }
        let failed = |errno| format!("cannot load the seccomp filter: {}", text(errno));
        command.execute(|| self.filter.as_ref().map_or(Ok(()), SeccompFilter::load).map_err(failed))
    }
}

impl Workload for Executor {
    /// libcontainer calls this in the container's process, after it has changed to `process.cwd` and
    /// has checked that this folder is inside the container.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.prepare(spec).map_err(ExecutorValidationError::ArgValidationError)
    }

    /// `variables`: the environment of the spec, and variables that libcontainer has added
    /// (`LISTEN_FDS`). The environment of this process does not change.
    fn setup_envs(&self, variables: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        match self.command.borrow_mut().as_mut() {
            Some(command) => command.add_variables(variables).map_err(ExecutorSetEnvsError::Other),
            None => Ok(()),
        }
    }

    /// Runs after `start`. The engine has already reported the process as started, so an error also
    /// goes to the container's stderr.
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let error = self.execute();
        // stderr may be closed, and the filter may forbid write(2).
        let _ = writeln!(std::io::stderr(), "{error}");
        Err(ExecutorError::Other(error))
    }
}

/// Rust programs ignore SIGPIPE, and execve(2) keeps that. `yes | head` would then not end, and a
/// shell cannot reset a signal that was ignored when it started.
fn reset_sigpipe() -> Result<(), Errno> {
    // SAFETY: no handler is installed before or after the call.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop)
}
