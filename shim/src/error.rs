//! The error type of this crate. A variant names the failed operation and its object; the cause is
//! its `source`, and [`line`] prints both.
//!
//! Some texts are an interface: containerd and moby match on "does not exist" and "container not
//! running" (containerd `internal/runc/…/utils.go`, moby `daemon/internal/libcontainerd`), and on
//! the texts of `libcontainer/executor.rs`.

use std::io;
use std::path::PathBuf;

use libcontainer::error::LibcontainerError;
use nix::errno::Errno;

/// The configuration file that `config.rs` reads and that hints name.
pub(crate) const RUNTIME_TOML: &str = "/etc/runvf/runtime.toml";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{problem}")]
    Usage { problem: String },
    #[error("internal error: {problem}; report this line to the maintainers of runvf")]
    Panic { problem: String },
    #[error("cannot run a sealed copy of this program")]
    Seal { source: io::Error },
    #[error("cannot {action} {}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} was written by a newer runvf: it has version {version}; use that version of runvf, or \
         `delete` the container",
        .path.display()
    )]
    NewerRecord { path: PathBuf, version: u32 },
    #[error("cannot parse {}", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("cannot write to stdout")]
    Stdout { source: io::Error },
    #[error("cannot {action}")]
    Kernel { action: &'static str, source: Errno },

    #[error("invalid container id `{id}`: use 1 to 1024 letters, digits, `_`, `+`, `-` or `.`")]
    BadId { id: String },
    #[error("container with given ID already exists: {id}")]
    Exists { id: String },
    #[error("container does not exist: {id}")]
    NoContainer { id: String },
    #[error("cannot read the state of container {id}")]
    BadState { id: String, source: Box<LibcontainerError> },
    #[error("container not running: {id}")]
    NotRunning { id: String },
    #[error("container not paused: {id}")]
    NotPaused { id: String },
    #[error("cannot start container {id}: {reason}")]
    CannotStart { id: String, reason: &'static str },
    #[error("cannot exec in container {id}: {reason}")]
    CannotExec { id: String, reason: &'static str },
    #[error("cannot exec in container {id}: {kind} {number} is not mapped in its user namespace")]
    Unmapped { id: String, kind: &'static str, number: u32 },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: String, status: &'static str },
    #[error("cannot kill container {id}: processes still exist {seconds} s after SIGKILL")]
    Unkillable { id: String, seconds: u64 },
    #[error("the init process of container {id} exited during create{}", in_brackets(.detail))]
    InitExited { id: String, detail: Option<String> },
    #[error("cannot find the init process of container {id}: {problem}")]
    NoInitPid { id: String, problem: &'static str },

    #[error("{}: {problem}; {hint}", .path.display())]
    BadConfig { path: PathBuf, problem: String, hint: String },
    #[error(
        "the container requests no VF, but {} sets `require_annotation = true`; \
         add `--annotation io.runvf.vlan=<1-4094>` \
         (Docker silently drops annotations when its API is older than 1.43)",
        RUNTIME_TOML
    )]
    NoAnnotation,
    #[error("engine {engine} not found; install it, or set another `engine` in {}", RUNTIME_TOML)]
    NoEngine { engine: String },
    #[error(
        "engine {} is runvf itself; set `engine` to another runtime in {}",
        .program.display(),
        RUNTIME_TOML
    )]
    EngineIsRunvf { program: PathBuf },
    #[error("{} {command}: {problem}", .program.display())]
    Engine { program: PathBuf, command: String, problem: String },

    #[error("cannot {action} {}", .path.display())]
    Spec { action: &'static str, path: PathBuf, source: Box<libcontainer::oci_spec::OciSpecError> },
    #[error("{}: {problem}", .path.display())]
    BadSpec { path: PathBuf, problem: String },
    #[error("cannot mount at {}: {problem}", .destination.display())]
    Mount { destination: PathBuf, problem: String },
    #[error("cannot mount at {} with option `{option}`: {problem}", .destination.display())]
    MountOption { destination: PathBuf, option: String, problem: &'static str },
    #[error("{problem}")]
    BadProcess { problem: String },
    #[error("cannot compile the seccomp profile: {problem}; correct linux.seccomp in config.json")]
    Seccomp { problem: String },
    #[error("{} {problem}", .path.display())]
    BadRootfs { path: PathBuf, problem: &'static str },
    #[error(
        "runvf does not support {field}; remove it, or set `engine = \"runc\"` in {}",
        RUNTIME_TOML
    )]
    UnsupportedField { field: String },
    #[error("{what}")]
    Unsupported { what: &'static str },
    #[error(
        "cannot {command}: libcontainer does not support checkpoints; \
         set `engine = \"runc\"` in {} and create the container again",
        RUNTIME_TOML
    )]
    NoCheckpoint { command: &'static str },
    #[error(
        "cannot restore container {id}: it requests a VF, and a checkpoint cannot contain one; \
         create a new container"
    )]
    RestoreWithVf { id: String },
    #[error("unknown signal `{signal}`")]
    BadSignal { signal: String },
    #[error("cannot {action} container {id}{}", in_brackets(.detail))]
    Library {
        action: &'static str,
        id: String,
        /// The first error that libcontainer logged but did not return.
        detail: Option<String>,
        source: Box<LibcontainerError>,
    },
    #[error("cannot access the cgroup of container {id}")]
    NoCgroup { id: String, source: Box<libcgroups::common::CreateCgroupSetupError> },

    /// An error whose text engines match on. libcontainer wraps it four times, so only the text
    /// that it logged is used.
    #[error("cannot {action} container {id}: {problem}")]
    LibraryLogged { action: &'static str, id: String, problem: String },

    #[error("cannot restrict the devices of container {id}")]
    Devices { id: String, source: Box<libcgroups::v2::devices::controller::DevicesControllerError> },

    #[error("container {id} was not created from bundle {}; create it again", .bundle.display())]
    OtherBundle { id: String, bundle: PathBuf },

    #[error(
        "cannot mount from {}: root in the container's user namespace has no permission to enter \
         this folder; make it accessible (chmod o+x), or set `engine = \"runc\"` in {}",
        .folder.display(), RUNTIME_TOML
    )]
    UnreachableMount { folder: PathBuf },

    #[error(
        "cannot exec in container {id}: working directory {}: no such file or directory",
        .cwd.display()
    )]
    NoWorkingDir { id: String, cwd: PathBuf },

    #[error("cannot set the limits of container {id}")]
    Limits { id: String, source: Box<dyn std::error::Error + Send + Sync> },

    // `vf` formats its own line, because it adds the hint.
    #[error("{}", .0.line())]
    Vf(Box<vf::Error>),
    #[error("{first} (cleanup failed too: {then})")]
    FollowedBy { first: Box<Error>, then: String },
}

impl From<vf::Error> for Error {
    fn from(error: vf::Error) -> Self {
        Self::Vf(Box::new(error))
    }
}

impl Error {
    /// Converts an I/O error on `path` with `map_err`; `action` is a verb, such as "read".
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// Converts the errno of a system call with `map_err`; `action` is a verb with its object.
    pub(crate) fn kernel(action: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Kernel { action, source }
    }

    /// The error of a `create` or `exec` by libcontainer. `first` is the first error that
    /// libcontainer logged (`libcontainer/errors.rs`).
    pub(crate) fn library_logged(
        action: &'static str,
        id: &str,
        first: Option<String>,
        source: LibcontainerError,
    ) -> Self {
        let id = id.to_owned();
        // The logged error of a failed hook repeats the returned one, and also names the stage of
        // the hook.
        let is_complete = |problem: &String| {
            problem.starts_with("failed to run ") || line(&source).contains(problem)
        };
        match first {
            Some(problem) if is_complete(&problem) => Self::LibraryLogged { action, id, problem },
            detail => Self::Library { action, id, detail, source: Box::new(source) },
        }
    }

    /// Adds the error of the cleanup that followed this error.
    pub(crate) fn followed_by(self, then: &Self) -> Self {
        Self::FollowedBy { first: Box::new(self), then: line(then) }
    }

    /// Converts an error of libcontainer with `map_err`.
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

/// Formats an error and its causes on one line without control characters, because engines relay
/// only one line.
pub(crate) fn line(error: &dyn std::error::Error) -> String {
    vf::one_line(error, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_and_its_cause_are_one_line() {
        let error = Error::file("read", "/b/a\nb")(io::Error::other("first\nsecond"));
        assert_eq!(line(&error), "cannot read /b/a b: first second");
    }

    #[test]
    fn the_text_of_a_source_is_not_repeated() {
        let source = LibcontainerError::Other("no such thing".to_owned());
        let error = Error::library("start", "abc")(source);
        assert_eq!(line(&error), "cannot start container abc: no such thing");
    }

    #[test]
    fn errors_have_the_texts_that_engines_match_on() {
        let id = || "abc".to_owned();
        assert!(line(&Error::NotRunning { id: id() }).contains("container not running"));
        assert!(line(&Error::NoContainer { id: id() }).contains("does not exist"));
    }
}
