//! `create` and `run` by another runtime, with the VFs put in between its `create` and its `start`.

use std::ffi::OsString;
use std::fs;
use std::process::{ExitCode, ExitStatus};

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::Pid;

use super::bundle::Bundle;
use super::command_line;
use super::delete;
use super::program::Engine;
use super::record::Record;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::tty::foreground;
use crate::tty::terminal::Console;
use crate::vf::{authorize_request, release_vfs};

/// One container under way.
pub(super) struct Creation<'a> {
    pub(super) engine: Engine,
    pub(super) global: &'a Global,
    pub(super) options: &'a cli::Create,
    pub(super) config: &'a Config,
    pub(super) log: &'a Log,
}

impl Creation<'_> {
    /// Nothing has been touched until the engine runs.
    pub(super) fn create(&self) -> Result<ExitCode, Error> {
        let bundle = Bundle::load(&self.options.bundle)?;
        let grant = self.grant(&bundle)?;
        let status = self.make(&bundle, grant.is_some(), command_line::typed())?;
        if !status.success() {
            // Its own log has the reason.
            return self.engine.exit_code(status, "create");
        }
        if let Some(grant) = grant {
            self.attach(&grant).map_err(|first| self.undo(first))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn grant(&self, bundle: &Bundle) -> Result<Option<vf::Grant>, Error> {
        let annotations = bundle.annotations.as_ref();
        authorize_request(&self.options.id, annotations, &bundle.netns(), self.config)
    }

    pub(super) fn run(&self, options: &cli::Run) -> Result<ExitCode, Error> {
        let bundle = Bundle::load(&self.options.bundle)?;
        let grant = self.grant(&bundle)?;
        let Some(grant) = grant else {
            if !options.detach && !options.keep {
                return Err(self.engine.exec(command_line::typed()));
            }
            let status = self.make(&bundle, false, command_line::typed())?;
            return self.engine.exit_code(status, "run");
        };
        let socket = self.options.console_socket.as_deref();
        let console = Console::new(bundle.wants_terminal(), options.detach, socket)?;
        // The engine ends once the container's process waits, and that process must be our child then.
        set_child_subreaper(true).map_err(Error::kernel("adopt the container's process"))?;
        let create = command_line::create(self.global, self.options, console.socket().as_deref());
        let status = self.make(&bundle, true, create)?;
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

    /// Has the engine make the container, with a record of it written ahead.
    fn make(
        &self,
        bundle: &Bundle,
        granted: bool,
        line: Vec<OsString>,
    ) -> Result<ExitStatus, Error> {
        let id = &self.options.id;
        Record::new(&self.engine, self.global, bundle).save(self.global, id)?;
        let status = self.engine.run(line);
        if !matches!(&status, Ok(status) if status.success()) {
            if granted {
                // With Podman the engine may have run runvf's hook before it failed.
                release_vfs(id, self.log);
            }
            Record::remove(self.global, id)?;
        }
        status
    }

    fn attach(&self, grant: &vf::Grant) -> Result<Pid, Error> {
        let id = self.options.id.clone();
        let pid = self.pid()?;
        grant.attach(&vf::Container { id, pid })?;
        Ok(Pid::from_raw(pid))
    }

    fn pid(&self) -> Result<i32, Error> {
        let id = &self.options.id;
        let unknown = || Error::InitGone { id: id.clone(), pid: 0, why: None };
        if let Some(path) = &self.options.pid_file {
            let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
            return text.trim().parse().map_err(|_| unknown());
        }
        self.engine.init_pid(self.global.root.as_deref(), id)
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
        foreground::wait(pid, terminal)
    }

    /// The container goes again; what fails on the way is added to the error that began it.
    fn undo(&self, first: Error) -> Error {
        if let Some(path) = &self.options.pid_file {
            // There is no such process any more.
            let _ = fs::remove_file(path);
        }
        match delete::remove(&self.engine, self.global, &self.options.id, self.log) {
            Ok(()) => first,
            Err(then) => first.followed_by(&then),
        }
    }
}
