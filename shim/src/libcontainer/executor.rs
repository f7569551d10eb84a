//! The last step inside the container: find the program and become it. libcontainer's own wants PATH even for an
//! absolute path, takes a program that only root may run for one that nobody may, and runs a file that is no program
//! with the host's `/bin/sh` rules. Engines turn the texts into exit codes: "executable file not found", "no such file or
//! directory" → 127, "permission denied" → 126 (moby `daemon/start.go`, Podman `libpod/oci_util.go`).

use std::ffi::CString;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor as Workload, ExecutorError, ExecutorValidationError};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{AccessFlags, execv, faccessat};

use super::descriptors::Descriptors;
use super::identity::Identity;
use super::seccomp::SeccompFilter;

#[derive(Debug, Clone)]
pub(crate) struct Executor {
    descriptors: Descriptors,
    /// For `exec`; the filter of `create` is libcontainer's, and so is who it is.
    filter: Option<SeccompFilter>,
    identity: Option<Identity>,
}

impl Executor {
    pub(crate) fn for_create() -> Self {
        Self { descriptors: Descriptors::scan(), filter: None, identity: None }
    }

    pub(crate) fn for_exec(filter: Option<SeccompFilter>, identity: Option<Identity>) -> Self {
        Self { descriptors: Descriptors::scan(), filter, identity }
    }
}

impl Workload for Executor {
    /// libcontainer calls it in the container's process, after it went to `process.cwd` and made sure that this is inside.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.descriptors.close_escapes();
        if let Some(identity) = &self.identity {
            identity.assume().map_err(ExecutorValidationError::ArgValidationError)?;
        }
        find(spec).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }

    /// Runs after `start`: the engine believes in the process already, so stderr is where a person will look.
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (path, arguments) = find(spec).map_err(ExecutorError::Other)?;
        let zero = |_| ExecutorError::InvalidArg;
        let program = CString::new(path.to_string_lossy().as_bytes()).map_err(zero)?;
        let arguments = arguments.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        let arguments = arguments.map_err(zero)?;
        if let Some(filter) = &self.filter {
            filter.apply().map_err(ExecutorError::Other)?;
        }
        heed_pipes().map_err(|errno| ExecutorError::Other(text(errno)))?;
        let Err(errno) = execv(&program, &arguments);
        let text = format!("exec {}: {}", path.display(), text(errno));
        eprintln!("{text}");
        Err(ExecutorError::Other(text))
    }
}

/// Rust's programs ignore SIGPIPE, and so would whatever they become: `yes | head` would not end, and no shell may change that.
fn heed_pipes() -> Result<(), Errno> {
    // SAFETY: no handler is installed, and none was.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop)
}

fn find(spec: &Spec) -> Result<(PathBuf, Vec<String>), String> {
    let process = spec.process().as_ref().ok_or("the spec has no process")?;
    let arguments = process.args().clone().unwrap_or_default();
    let name = arguments.first().ok_or("process.args is empty")?;
    let environment = process.env().as_deref().unwrap_or_default();
    let path = environment.iter().rev().find_map(|entry| entry.strip_prefix("PATH="));
    Ok((look_up(name, path)?, arguments))
}

/// As Go's `exec.LookPath`, which runc uses, and in its words.
fn look_up(name: &str, path: Option<&str>) -> Result<PathBuf, String> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(Errno::ENOENT) => {
                Err(format!("exec: {name:?}: stat {name}: {}", text(Errno::ENOENT)))
            }
            Err(errno) => Err(format!("exec: {name:?}: {}", text(errno))),
        };
    }
    let mut denied = false;
    for folder in path.unwrap_or_default().split(':') {
        let path = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(errno) => denied |= errno == Errno::EACCES,
        }
    }
    match denied {
        true => Err(format!("exec: {name:?}: {}", text(Errno::EACCES))),
        false => Err(format!("exec: {name:?}: executable file not found in $PATH")),
    }
}

fn executable(path: &Path) -> Result<(), Errno> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(Errno::EISDIR),
        Ok(_) => {}
        Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
    // By the effective user: at this point that is the container's.
    faccessat(nix::fcntl::AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)
}

/// The texts of Go's syscall package: the C library's, in lower case.
fn text(errno: Errno) -> String {
    errno.desc().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_engines_turn_into_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plain");
        std::fs::write(&file, "").unwrap();
        let line = look_up("nope", Some("/bin:/usr/bin")).unwrap_err();
        assert_eq!(line, "exec: \"nope\": executable file not found in $PATH");
        let line = look_up("/nope", None).unwrap_err();
        assert_eq!(line, "exec: \"/nope\": stat /nope: no such file or directory");
        let line = look_up(file.to_str().unwrap(), None).unwrap_err();
        assert!(line.ends_with(": permission denied"), "{line}");
        let line = look_up("/tmp", None).unwrap_err();
        assert_eq!(line, "exec: \"/tmp\": is a directory");
    }

    #[test]
    fn an_absolute_path_needs_no_path_variable() {
        assert_eq!(look_up("/bin/sh", None), Ok(PathBuf::from("/bin/sh")));
        assert!(look_up("sh", None).is_err());
        assert!(look_up("sh", Some("/nope:/bin")).is_ok());
    }
}
