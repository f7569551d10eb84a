//! The command of a container's process: its program, arguments and environment, in the form that
//! execve(2) takes.
//!
//! The texts of errors are an interface, because engines turn them into exit codes: "executable file
//! not found" and "no such file or directory" into 127, "permission denied" into 126 (moby
//! `daemon/start.go`, Podman `libpod/oci_util.go`).

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Process;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::unistd::{AccessFlags, faccessat};

#[derive(Debug, Clone)]
pub(crate) struct Command {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Command {
    /// Finds the program. Must be called in the container, in the process's working directory and
    /// with its user.
    pub(crate) fn find(process: &Process) -> Result<Self, String> {
        let arguments = process.args().clone().unwrap_or_default();
        let name = arguments.first().ok_or("process.args is empty")?;
        let variables = without_duplicates(process.env().as_deref().unwrap_or_default());
        let path = variables.iter().find_map(|variable| variable.strip_prefix("PATH="));
        let program = look_up(name, path)?;
        Ok(Self {
            program: c_string(program.into_os_string().into_vec())?,
            arguments: arguments.into_iter().map(c_string).collect::<Result<_, _>>()?,
            environment: variables.into_iter().map(c_string).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn clear_environment(&mut self) {
        self.environment.clear();
    }

    /// Adds the variables that the environment does not have.
    pub(crate) fn add_variables(
        &mut self,
        variables: HashMap<String, String>,
    ) -> Result<(), String> {
        let has = |name: &str| {
            let name = name.as_bytes();
            self.environment.iter().map(|variable| variable.as_bytes()).any(|variable| {
                variable.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='))
            })
        };
        let missing = variables.into_iter().filter(|(name, _)| !has(name));
        let mut missing: Vec<String> =
            missing.map(|(name, value)| format!("{name}={value}")).collect();
        missing.sort();
        for variable in missing {
            self.environment.push(c_string(variable)?);
        }
        Ok(())
    }

    /// Calls `last_step` and executes the program. No system call is between the two. Returns only if
    /// it fails.
    pub(crate) fn execute(&self, last_step: impl FnOnce() -> Result<(), String>) -> String {
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        if let Err(problem) = last_step() {
            return problem;
        }
        // SAFETY: both arrays end with a null pointer, and the strings live longer than the call.
        unsafe { libc::execve(self.program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        format!("exec {}: {}", self.program.to_string_lossy(), text(Errno::last()))
    }
}

/// Returns an array of execve(2).
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Keeps the last entry of each name, in the order of these entries, as runc does (`libcontainer/env.go`).
fn without_duplicates(variables: &[String]) -> Vec<String> {
    let mut names = HashSet::new();
    let mut kept = Vec::new();
    for variable in variables.iter().rev() {
        if names.insert(variable.split('=').next()) {
            kept.push(variable.clone());
        }
    }
    kept.reverse();
    kept
}

fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, String> {
    CString::new(text).map_err(|error| format!("exec: {error}"))
}

/// Finds a program with the rules and the error texts of Go's `exec.LookPath`, which runc uses.
fn look_up(name: &str, path: Option<&str>) -> Result<PathBuf, String> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match check_executable(&path) {
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
        match check_executable(&path) {
            Ok(()) => return Ok(path),
            Err(errno) => denied |= errno == Errno::EACCES,
        }
    }
    match denied {
        true => Err(format!("exec: {name:?}: {}", text(Errno::EACCES))),
        false => Err(format!("exec: {name:?}: executable file not found in $PATH")),
    }
}

fn check_executable(path: &Path) -> Result<(), Errno> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(Errno::EISDIR),
        Ok(_) => {}
        Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
    // With the effective user, which is the container's at this point.
    match faccessat(nix::fcntl::AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        // A seccomp filter around runvf may not know faccessat2(2). execve(2) decides then, as under
        // runc (Go's `unix.Eaccess`).
        Err(Errno::EPERM | Errno::ENOSYS) => Ok(()),
        other => other,
    }
}

/// The error text of Go's syscall package, which is the C library's text in lower case.
pub(crate) fn text(errno: Errno) -> String {
    errno.desc().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn error_texts_are_those_that_engines_turn_into_exit_codes() {
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

    #[test]
    fn the_environment_keeps_its_order_and_the_last_value() {
        let env = json!(["B=1", "PATH=/nope", "A=1", "B=2", "PATH=/bin"]);
        let process = json!({
            "cwd": "/", "args": ["sh", "-c"], "user": { "uid": 0, "gid": 0 }, "env": env,
        });
        let mut command = Command::find(&serde_json::from_value(process).unwrap()).unwrap();
        let more = [("PATH", "/no"), ("LISTEN_PID", "1"), ("LISTEN_FDS", "2"), ("PAT", "x")];
        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
        command.add_variables(HashMap::from(more)).unwrap();
        let variables: Vec<_> =
            command.environment.iter().map(|variable| variable.to_str().unwrap()).collect();
        assert_eq!(variables, ["A=1", "B=2", "PATH=/bin", "LISTEN_FDS=2", "LISTEN_PID=1", "PAT=x"]);
        assert_eq!(command.program.to_str(), Ok("/bin/sh"));
        assert_eq!(command.arguments.len(), 2);
    }
}
