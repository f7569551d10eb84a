//! The one error of this crate. A variant is an operation that failed; it names its object and leaves the cause to
//! `source`, which [`line`] prints.
//!
//! Some texts are an interface: containerd and moby match on "does not exist" and "container not running"
//! (containerd `internal/runc/…/utils.go`, moby `daemon/internal/libcontainerd`), and on the texts of `libcontainer/executor.rs`.

use std::io;
use std::path::PathBuf;

use libcontainer::error::LibcontainerError;
use nix::errno::Errno;

/// Named in hints; `config.rs` reads it.
pub(crate) const RUNTIME_TOML: &str = "/etc/runvf/runtime.toml";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{problem}")]
    Usage { problem: String },
    #[error("cannot copy this program to sealed memory")]
    Seal { source: io::Error },
    #[error("cannot {action} {}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not valid", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("cannot write to stdout")]
    Stdout { source: io::Error },
    #[error("cannot {action}")]
    Kernel { action: &'static str, source: Errno },

    #[error("container id `{id}` is not 1 to 1024 letters, digits, `_`, `+`, `-` or `.`")]
    BadId { id: String },
    #[error("container with given ID already exists: {id}")]
    Exists { id: String },
    #[error("container does not exist: {id}")]
    NoContainer { id: String },
    #[error("the state of container {id} is damaged")]
    BadState { id: String, source: Box<LibcontainerError> },
    #[error("container not running: {id}")]
    NotRunning { id: String },
    #[error("container not paused: {id}")]
    NotPaused { id: String },
    #[error("cannot start {why} container {id}")]
    CannotStart { id: String, why: &'static str },
    #[error("cannot exec in {why} container {id}")]
    CannotExec { id: String, why: &'static str },
    #[error("cannot exec in container {id}: {kind} {number} is not mapped in its user namespace")]
    Unmapped { id: String, kind: &'static str, number: u32 },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: String, status: &'static str },
    #[error("processes of container {id} outlived SIGKILL by {seconds} s")]
    Unkillable { id: String, seconds: u64 },
    #[error("process {pid} of container {id} went away while it was being created{}", in_brackets(.why))]
    InitGone { id: String, pid: i32, why: Option<String> },

    #[error("{}: {problem}; {hint}", .path.display())]
    BadConfig { path: PathBuf, problem: String, hint: String },
    #[error(
        "the container asks for no VF, and {} has `require_annotation = true`; add `--annotation io.runvf.vlan=<1-4094>` \
         (Docker drops annotations silently when its API is older than 1.43)",
        RUNTIME_TOML
    )]
    NoAnnotation,
    #[error("engine {engine} is not there; install it, or name another in {}", RUNTIME_TOML)]
    NoEngine { engine: String },
    #[error(
        "engine {} is runvf itself; name the runtime that shall make the containers in {}",
        .program.display(),
        RUNTIME_TOML
    )]
    EngineIsRunvf { program: PathBuf },
    #[error("{} {command}: {problem}", .program.display())]
    Engine { program: PathBuf, command: String, problem: String },

    #[error("{}: cannot be loaded", .path.display())]
    Spec { path: PathBuf, source: Box<libcontainer::oci_spec::OciSpecError> },
    #[error("{}: {problem}", .path.display())]
    BadSpec { path: PathBuf, problem: String },
    #[error("{} {problem}", .path.display())]
    BadRootfs { path: PathBuf, problem: &'static str },
    #[error("{what}")]
    Unsupported { what: &'static str },
    #[error(
        "runvf's own engine cannot {command}: libcontainer restores no containers; \
         with `engine = \"runc\"` in {} containers made from then on can be",
        RUNTIME_TOML
    )]
    NoCheckpoint { command: &'static str },
    #[error("container {id} asks for a VF, which no checkpoint has in it; create a new one")]
    RestoreWithVf { id: String },
    #[error("`{signal}` is not a signal")]
    BadSignal { signal: String },
    #[error("cannot {action} container {id}{}", in_brackets(.detail))]
    Library {
        action: &'static str,
        id: String,
        /// What libcontainer told its own log, and not its caller.
        detail: Option<String>,
        source: Box<LibcontainerError>,
    },
    #[error("container {id}: no cgroup manager")]
    NoCgroup { id: String, source: Box<libcgroups::common::CreateCgroupSetupError> },

    /// What libcontainer wraps four times, and engines match on.
    #[error("cannot {action} container {id}: {problem}")]
    LibraryLogged { action: &'static str, id: String, problem: String },

    #[error("cannot restrict the devices of container {id}")]
    Devices { id: String, source: Box<libcgroups::v2::devices::controller::DevicesControllerError> },

    #[error("cannot give container {id} its CPUs: {problem}")]
    Cpuset { id: String, problem: String },

    #[error("container {id} was not made from bundle {}; create it again", .bundle.display())]
    OtherBundle { id: String, bundle: PathBuf },

    #[error(
        "what the container mounts from closed folders cannot be handed in: the root of its user namespace may not enter {}; \
         open that folder, or have `engine = \"runc\"` in {}",
        .folder.display(), RUNTIME_TOML
    )]
    UnreachableMount { folder: PathBuf },

    #[error("cannot exec in container {id}: working directory {}: no such file or directory", .cwd.display())]
    NoWorkingDir { id: String, cwd: PathBuf },

    #[error("cannot change the limits of container {id}")]
    Limits { id: String, source: Box<dyn std::error::Error + Send + Sync> },

    // `vf` prints its own line: it knows the hint.
    #[error("{}", .0.line())]
    Vf(Box<vf::Error>),
    #[error("{first} (and then: {then})")]
    FollowedBy { first: Box<Error>, then: String },
}

impl From<vf::Error> for Error {
    fn from(error: vf::Error) -> Self {
        Self::Vf(Box::new(error))
    }
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn kernel(action: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Kernel { action, source }
    }

    /// For `create` and `exec`. `first`: the first error that libcontainer logged, `libcontainer/errors.rs`.
    pub(crate) fn library_logged(
        action: &'static str,
        id: &str,
        first: Option<String>,
        source: LibcontainerError,
    ) -> Self {
        let id = id.to_owned();
        // A failed hook is told twice, and the event names the stage.
        let whole = |problem: &String| {
            problem.starts_with("failed to run ") || line(&source).contains(problem)
        };
        match first {
            Some(problem) if whole(&problem) => Self::LibraryLogged { action, id, problem },
            detail => Self::Library { action, id, detail, source: Box::new(source) },
        }
    }

    /// Adds what failed while the consequences of this error were undone.
    pub(crate) fn followed_by(self, then: &Self) -> Self {
        Self::FollowedBy { first: Box::new(self), then: line(then) }
    }

    pub(crate) fn library(
        action: &'static str,
        id: &str,
    ) -> impl FnOnce(LibcontainerError) -> Self {
        let id = id.to_owned();
        move |source| Self::Library { action, id, detail: None, source: Box::new(source) }
    }
}

fn in_brackets(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

/// The error and its causes on one line, without control characters: engines relay no more than that.
pub(crate) fn line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // libcontainer's transparent variants, and those that print their source, would say it twice.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line() {
        let error = Error::file("read", "/b/a\nb")(io::Error::other("first\nsecond"));
        assert_eq!(line(&error), "cannot read /b/a b: first second");
    }

    #[test]
    fn a_source_is_not_said_twice() {
        let source = LibcontainerError::Other("no such thing".to_owned());
        let error = Error::library("start", "abc")(source);
        assert_eq!(line(&error), "cannot start container abc: no such thing");
    }

    #[test]
    fn texts_that_engines_match_on() {
        let id = || "abc".to_owned();
        assert!(line(&Error::NotRunning { id: id() }).contains("container not running"));
        assert!(line(&Error::NoContainer { id: id() }).contains("does not exist"));
    }
}
