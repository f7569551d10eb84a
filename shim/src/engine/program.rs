//! The host's own runtime, run on runvf's behalf: in runvf's place, or as its child.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{AccessFlags, access};

use crate::error::Error;

/// Searched after PATH: what starts a runtime may have none.
const FALLBACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    pub(super) program: PathBuf,
}

impl Engine {
    /// By a name or an absolute path.
    pub(super) fn find(name: &str) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::find_in(name, &path, Path::new("/proc/self/exe"))
    }

    fn find_in(name: &str, path: &OsStr, myself: &Path) -> Result<Self, Error> {
        let folders: Vec<PathBuf> =
            std::env::split_paths(path).chain(std::env::split_paths(FALLBACK_PATH)).collect();
        // An absolute path joined to anything is itself.
        let mut candidates = folders.iter().map(|folder| folder.join(name));
        let program = candidates.find(|path| path.is_absolute() && is_program(path));
        let program = program.ok_or_else(|| Error::NoEngine { engine: name.to_owned() })?;
        if is_same(&program, myself) {
            // It would run itself for ever.
            return Err(Error::EngineIsRunvf { program });
        }
        Ok(Self { program })
    }

    /// Runs it in place of this process. Returns only if it cannot.
    pub(super) fn exec(&self, line: impl IntoIterator<Item = OsString>) -> Error {
        Error::file("run", &self.program)(Command::new(&self.program).args(line).exec())
    }

    /// Runs it as a child that reads and writes where we do, and waits.
    pub(super) fn run(
        &self,
        line: impl IntoIterator<Item = OsString>,
    ) -> Result<ExitStatus, Error> {
        let mut command = Command::new(&self.program);
        command.args(line);
        dies_with_us(&mut command);
        command.status().map_err(Error::file("run", &self.program))
    }

    /// Runs one of its commands on a container and returns what it prints.
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
        dies_with_us(&mut line);
        let output = line.output().map_err(Error::file("run", &self.program))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let problem = if told.is_empty() { output.status.to_string() } else { told };
        Err(Error::Engine { program: self.program.clone(), command: command.join(" "), problem })
    }

    /// The pid of a container's init process, by the engine's word.
    pub(super) fn init_pid(&self, root: Option<&Path>, id: &str) -> Result<i32, Error> {
        let state: serde_json::Value =
            serde_json::from_slice(&self.query(root, &["state"], id)?).map_err(|source| {
                Error::Json { path: format!("the state of {id}").into(), source }
            })?;
        let pid = state["pid"].as_i64().and_then(|pid| pid.try_into().ok());
        pid.ok_or_else(|| Error::InitGone { id: id.to_owned(), pid: 0, why: None })
    }

    /// The exit code of a child, for our own.
    pub(super) fn exit_code(&self, status: ExitStatus, command: &str) -> Result<ExitCode, Error> {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ok(ExitCode::from(code as u8)),
            // It could not say so itself.
            (None, _) => Err(Error::Engine {
                program: self.program.clone(),
                command: command.to_owned(),
                problem: status.to_string(),
            }),
        }
    }
}

/// An engine that gives up on us kills us, and must have killed the one that does the work: else a `create` would go on
/// behind the back of the `delete` that follows.
fn dies_with_us(command: &mut Command) {
    // SAFETY: between fork and exec only prctl(2) is called, which touches no memory of ours and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

fn is_same(one: &Path, other: &Path) -> bool {
    let of = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    of(one).is_some_and(|found| of(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::error::line;

    #[test]
    fn a_name_is_looked_up_and_a_path_taken() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runc");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let find = |name: &str| Engine::find_in(name, folder.path().as_os_str(), Path::new("/"));
        assert_ne!(find("runc").ok().map(|engine| engine.program), Some(program.clone()));
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("runc").unwrap().program, program);
        assert_eq!(find(program.to_str().unwrap()).unwrap().program, program);
        assert_eq!(find("sh").unwrap().program, Path::new("/usr/bin/sh"));
        assert!(line(&find("/nope/runc").unwrap_err()).starts_with("engine /nope/runc is not"));
    }

    #[test]
    fn runvf_is_never_its_own_engine() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("runc");
        symlink("/bin/sh", &link).unwrap();
        let found = Engine::find_in("runc", folder.path().as_os_str(), Path::new("/bin/sh"));
        let told = line(&found.unwrap_err());
        assert!(told.starts_with(&format!("engine {} is runvf itself", link.display())), "{told}");
    }

    #[test]
    fn what_an_engine_says_is_what_is_told() {
        let sh = Engine { program: "/bin/sh".into() };
        assert_eq!(sh.query(None, &["-c", "echo $0"], "abc").unwrap(), b"abc\n");
        let told = line(&sh.query(None, &["-c", "echo no >&2; exit 1"], "abc").unwrap_err());
        assert!(told.ends_with(": no"), "{told}");
        let killed = sh.run(["-c", "kill -9 $$"].map(OsString::from)).unwrap();
        assert!(sh.exit_code(killed, "create").is_err());
    }
}
