//! The engine's program: runvf executes it in its own process, or runs it as a child.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{AccessFlags, access};

use crate::error::Error;

/// Folders that are searched after PATH, because the parent of a runtime may have no PATH.
const FALLBACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    pub(super) program: PathBuf,
}

impl Engine {
    /// Finds the program by a name or an absolute path.
    pub(super) fn find(name: &str) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::find_in(name, &path, Path::new("/proc/self/exe"))
    }

    /// `runvf` is the path of this program, which cannot be its own engine.
    fn find_in(name: &str, path: &OsStr, runvf: &Path) -> Result<Self, Error> {
        let folders: Vec<PathBuf> =
            std::env::split_paths(path).chain(std::env::split_paths(FALLBACK_PATH)).collect();
        // `join` with an absolute path returns that path.
        let mut candidates = folders.iter().map(|folder| folder.join(name));
        let program = candidates.find(|path| path.is_absolute() && is_program(path));
        let program = program.ok_or_else(|| Error::NoEngine { engine: name.to_owned() })?;
        if is_same_file(&program, runvf) {
            // runvf would execute itself in an endless loop.
            return Err(Error::EngineIsRunvf { program });
        }
        Ok(Self { program })
    }

    /// Replaces this process by the engine. Returns only if that fails.
    pub(super) fn exec(&self, line: impl IntoIterator<Item = OsString>) -> Error {
        Error::file("run", &self.program)(Command::new(&self.program).args(line).exec())
    }

    /// Runs the engine as a child with this process's stdin, stdout and stderr, and waits for it.
    pub(super) fn run(
        &self,
        line: impl IntoIterator<Item = OsString>,
    ) -> Result<ExitStatus, Error> {
        let mut command = Command::new(&self.program);
        command.args(line);
        kill_with_parent(&mut command);
        command.status().map_err(Error::file("run", &self.program))
    }

    /// Runs a command of the engine on a container and returns the output.
    pub(super) fn query(
        &self,
        root: Option<&Path>,
        command: &[&str],
        id: &str,
    ) -> Result<Vec<u8>, Error> {
        let mut line = Command::new(&self.program);
        if let Some(root) = root {
            line.arg("--root").arg(root);
        }
        line.args(command).arg(id).stdin(Stdio::null());
        kill_with_parent(&mut line);
        let output = line.output().map_err(Error::file("run", &self.program))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let problem = if stderr.is_empty() { output.status.to_string() } else { stderr };
        Err(Error::Engine { program: self.program.clone(), command: command.join(" "), problem })
    }

    /// Converts the engine's exit status to an exit code of runvf. An engine that a signal ended is
    /// an error.
    pub(super) fn exit_code(&self, status: ExitStatus, command: &str) -> Result<ExitCode, Error> {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ok(ExitCode::from(code as u8)),
            // A killed engine could not report an error itself.
            (None, _) => Err(Error::Engine {
                program: self.program.clone(),
                command: command.to_owned(),
                problem: status.to_string(),
            }),
        }
    }
}

/// Makes the kernel kill the child when runvf dies. Docker or containerd may kill runvf after a
/// timeout; without this, the child's `create` would continue in parallel to the `delete` that
/// follows.
fn kill_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec, the closure calls only prctl(2), which accesses no memory of
    // this process and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    let inode = |path: &Path| path.metadata().ok().map(|data| (data.dev(), data.ino()));
    inode(left).is_some_and(|left| inode(right) == Some(left))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::error::line;

    #[test]
    fn a_name_is_searched_in_path_and_an_absolute_path_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runc");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let find = |name: &str| Engine::find_in(name, folder.path().as_os_str(), Path::new("/"));
        assert_ne!(find("runc").ok().map(|engine| engine.program), Some(program.clone()));
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("runc").unwrap().program, program);
        assert_eq!(find(program.to_str().unwrap()).unwrap().program, program);
        assert_eq!(find("sh").unwrap().program, Path::new("/usr/bin/sh"));
        let message = line(&find("/nope/runc").unwrap_err());
        assert!(message.starts_with("engine /nope/runc not found; install it"), "{message}");
    }

    #[test]
    fn runvf_is_never_its_own_engine() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("runc");
        symlink("/bin/sh", &link).unwrap();
        let found = Engine::find_in("runc", folder.path().as_os_str(), Path::new("/bin/sh"));
        let message = line(&found.unwrap_err());
        let expected = format!("engine {} is runvf itself", link.display());
        assert!(message.starts_with(&expected), "{message}");
    }

    #[test]
    fn an_error_contains_the_stderr_of_the_engine() {
        let sh = Engine { program: "/bin/sh".into() };
        assert_eq!(sh.query(None, &["-c", "echo $0"], "abc").unwrap(), b"abc\n");
        let message = line(&sh.query(None, &["-c", "echo no >&2; exit 1"], "abc").unwrap_err());
        assert!(message.ends_with(": no"), "{message}");
        let killed = sh.run(["-c", "kill -9 $$"].map(OsString::from)).unwrap();
        assert!(sh.exit_code(killed, "create").is_err());
    }
}
