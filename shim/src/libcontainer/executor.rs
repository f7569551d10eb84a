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

use libcontainer::oci_spec::runtime::{LinuxMemoryPolicy, Process, Spec};
use libcontainer::process::memory_policy::setup_memory_policy;
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{
    Executor as Workload, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::command::{Command, text};
use super::descriptors::Descriptors;
use super::dev_null;
use super::identity::Identity;
use super::rlimits::OpenFilesLimit;
use super::seccomp::SeccompFilter;

#[derive(Debug, Clone)]
pub(crate) struct Executor {
    descriptors: Descriptors,
    /// The first one is loaded first.
    filters: Vec<SeccompFilter>,
    /// These three are only for `exec`. For `create`, libcontainer sets them.
    identity: Option<Identity>,
    memory_policy: Option<LinuxMemoryPolicy>,
    open_files: Option<OpenFilesLimit>,
    is_init: bool,
    /// Whether the spec of the process has `env`. Without it, the process has no environment, as in
    /// runc. libcontainer always gets `HOME` (`process_defaults.rs`).
    has_environment: bool,
    /// Set by `validate`. libcontainer calls all methods in one process, by a shared reference.
    command: RefCell<Option<Command>>,
}

impl Executor {
    /// `process`: before any default was applied.
    pub(crate) fn for_create(filters: Vec<SeccompFilter>, process: Option<&Process>) -> Self {
        Self {
            descriptors: Descriptors::scan(),
            filters,
            identity: None,
            memory_policy: None,
            open_files: None,
            is_init: true,
            has_environment: process.is_some_and(|process| process.env().is_some()),
            command: RefCell::default(),
        }
    }

    pub(crate) fn for_exec(
        filters: Vec<SeccompFilter>,
        identity: Option<Identity>,
        memory_policy: Option<LinuxMemoryPolicy>,
        open_files: Option<OpenFilesLimit>,
        has_environment: bool,
    ) -> Self {
        let is_init = false;
        let created = Self::for_create(filters, None);
        Self { identity, memory_policy, open_files, is_init, has_environment, ..created }
    }

    fn prepare(&self, spec: &Spec) -> Result<(), String> {
        self.descriptors.close_escapes();
        if self.is_init {
            dev_null::reopen();
            end_by_signals();
        }
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
        reset_signals();
        if let Some(Err(errno)) = self.open_files.map(OpenFilesLimit::apply) {
            return format!("cannot set the limit of open files: {}", text(errno));
        }
        let failed = |errno| format!("cannot load the seccomp filter: {}", text(errno));
        let load = || self.filters.iter().try_for_each(SeccompFilter::load).map_err(failed);
        command.execute(load)
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
        let mut command = self.command.borrow_mut();
        let Some(command) = command.as_mut() else { return Ok(()) };
        if !self.has_environment && variables.keys().all(|name| name == "HOME") {
            command.clear_environment();
            return Ok(());
        }
        command.add_variables(variables).map_err(ExecutorSetEnvsError::Other)
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

/// Lets an init process that waits for `start` end by the usual signals, as under runc: with status 2
/// as pid 1, because the kernel ignores the default action for pid 1. [`reset_signals`] undoes this.
fn end_by_signals() {
    let flags = SaFlags::SA_NODEFER | SaFlags::SA_RESETHAND;
    let action = SigAction::new(SigHandler::Handler(end_process), flags, SigSet::empty());
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        // A profile with a notifier may forbid the call. SIGKILL always ends the process.
        // SAFETY: the handler calls only functions that are safe in a handler (signal-safety(7)).
        let _ = unsafe { sigaction(signal, &action) };
    }
}

extern "C" fn end_process(number: libc::c_int) {
    // SAFETY: both calls take a number, and are safe in a signal handler. The signal has its default
    // action again.
    unsafe {
        libc::raise(number);
        libc::_exit(2);
    }
}

/// Resets all signals to their default action, because execve(2) keeps an ignored signal ignored,
/// and a shell cannot reset it. Rust programs ignore SIGPIPE, so `yes | head` would not end. A caller
/// may ignore others: `nohup` ignores SIGHUP, and a container that ignores SIGTERM does not stop.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // The kernel refuses this for SIGKILL and SIGSTOP, and glibc for its two own signals, which
        // are at their default action. All others are valid, so there is no other error.
        // SAFETY: no handler is installed before or after the call.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
