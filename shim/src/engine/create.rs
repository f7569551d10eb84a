//! `create` and `run` by another runtime. runvf attaches the VFs between the engine's `create` and
//! its `start`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::Pid;

use super::bundle::Bundle;
use super::command_line;
use super::delete;
use super::presence::Presence;
use super::program::Engine;
use super::record::Record;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::tty::foreground;
use crate::tty::terminal::Console;
use crate::vf::{authorize_request, release_vfs};

/// The creation of one container.
pub(super) struct Creation<'a> {
    pub(super) engine: Engine,
    pub(super) global: &'a Global,
    pub(super) options: &'a cli::Create,
    pub(super) config: &'a Config,
    pub(super) log: &'a Log,
}

impl Creation<'_> {
    /// Authorizes the VFs, lets the engine create the container, and attaches the VFs. Nothing on
    /// the host changes before the engine runs.
    pub(super) fn create(&self) -> Result<ExitCode, Error> {
        let bundle = Bundle::load(&self.options.bundle)?;
        let grant = self.authorize(&bundle)?;
        let status = self.run_engine(&bundle, grant.as_ref(), command_line::current())?;
        if !status.success() {
            // The engine has already written the reason to its log.
            return self.engine.exit_code(status, "create");
        }
        if let Some(grant) = grant {
            self.attach(&grant).map_err(|first| self.undo(first))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn authorize(&self, bundle: &Bundle) -> Result<Option<vf::Grant>, Error> {
        let annotations = bundle.annotations.as_ref();
        let (netns, devices) = (bundle.netns(), bundle.net_devices());
        authorize_request(&self.options.id, annotations, &netns, &devices, self.config)
    }

    /// Without a VF, passes `run` to the engine. With a VF, replaces it by the engine's `create`
    /// and `start`.
    pub(super) fn run(&self, options: &cli::Run) -> Result<ExitCode, Error> {
        let bundle = Bundle::load(&self.options.bundle)?;
        let grant = self.authorize(&bundle)?;
        let Some(grant) = grant else {
            if !options.detach && !options.keep {
                return Err(self.engine.exec(command_line::current()));
            }
            let status = self.run_engine(&bundle, None, command_line::current())?;
            return self.engine.exit_code(status, "run");
        };
        let socket = self.options.console_socket.as_deref();
        let console = Console::new(bundle.wants_terminal(), options.detach, socket)?;
        // `create` exits while the init process waits for `start`. As a subreaper, runvf becomes
        // the parent of the init process and can wait for it.
        set_child_subreaper(true).map_err(Error::kernel("adopt the container's process"))?;
        let create = command_line::create(self.global, self.options, console.socket().as_deref());
        let status = self.run_engine(&bundle, Some(&grant), create)?;
        if !status.success() {
            return self.engine.exit_code(status, "create");
        }
        let pid = self.attach(&grant).map_err(|first| self.undo(first))?;
        match self.start_and_wait(options, pid, console) {
            Ok(code) if options.detach || options.keep => Ok(code),
            Ok(code) => {
                delete::remove(&self.engine, self.global, &self.options.id, self.log).map(|()| code)
            }
            Err(first) => Err(self.undo(first)),
        }
    }

    /// Writes the record of the container, then runs the engine with `line`. Removes the record if
    /// the engine fails and does not have the container.
    fn run_engine(
        &self,
        bundle: &Bundle,
        grant: Option<&vf::Grant>,
        line: Vec<OsString>,
    ) -> Result<ExitStatus, Error> {
        let id = &self.options.id;
        Record::new(&self.engine, self.global, bundle, grant).save(self.global, id)?;
        let status = match self.engine.run(line) {
            Ok(status) => status,
            // The engine did not run, so it made nothing.
            Err(error) => return Record::remove(self.global, id).and(Err(error)),
        };
        if !status.success() {
            if grant.is_some() {
                // With Podman, the engine may have run runvf's hook, which attaches VFs, before it
                // failed.
                release_vfs(id, self.log);
            }
            Record::remove_if_missing(&self.engine, self.global, id, self.log)?;
            // The engine has written its error to the log, which must stay the only entry.
            self.log.print_warnings();
        }
        Ok(status)
    }

    fn attach(&self, grant: &vf::Grant) -> Result<Pid, Error> {
        let id = self.options.id.clone();
        let pid = self.init_pid()?;
        grant.attach(&vf::Container { id, pid })?;
        Ok(Pid::from_raw(pid))
    }

    fn init_pid(&self) -> Result<i32, Error> {
        let id = &self.options.id;
        if let Some(path) = &self.options.pid_file
            && let Some(text) = read_own(path)?
        {
            let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
            let problem = "the engine wrote no valid pid to the pid file";
            return pid.ok_or_else(|| Error::NoInitPid { id: id.clone(), problem });
        }
        match self.engine.presence(self.global.root.as_deref(), id) {
            Presence::Exists(state) => state.init_pid(id),
            Presence::Missing => Err(Error::NoContainer { id: id.clone() }),
            Presence::Unknown(error) => Err(error),
        }
    }

    fn start_and_wait(
        &self,
        options: &cli::Run,
        pid: Pid,
        console: Console,
    ) -> Result<ExitCode, Error> {
        let terminal = console.terminal()?;
        let status = self.engine.run(command_line::start(self.global, &self.options.id))?;
        if !status.success() {
            let problem = status.to_string();
            let program = self.engine.program.clone();
            return Err(Error::Engine { program, command: "start".to_owned(), problem });
        }
        if options.detach {
            return Ok(ExitCode::SUCCESS);
        }
        foreground::wait(pid, terminal, None)
    }

    /// Removes the container after the error `first`. Returns that error, with the error of the
    /// removal if that failed too.
    fn undo(&self, first: Error) -> Error {
        if let Some(path) = &self.options.pid_file {
            // The file names a process that the removal kills.
            let _ = fs::remove_file(path);
        }
        match delete::remove(&self.engine, self.global, &self.options.id, self.log) {
            Ok(()) => first,
            Err(then) => first.followed_by(&then),
        }
    }
}

/// Reads a pid file. `None` if a user other than root can replace it: the pid could then be that of
/// a process of this user, who would get the VF.
fn read_own(path: &Path) -> Result<Option<String>, Error> {
    if vf::check_folder_owners(path).is_err() {
        return Ok(None);
    }
    fs::read_to_string(path).map(Some).map_err(Error::file("read", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn pid_file_that_another_user_can_replace_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::write(&path, "7").unwrap();
        assert_eq!(read_own(&path).unwrap().as_deref(), Some("7"));
        chown(folder.path(), Some(1000), None).unwrap();
        assert_eq!(read_own(&path).unwrap(), None);
        assert_eq!(read_own(&folder.path().join("none")).unwrap(), None);
    }
}
