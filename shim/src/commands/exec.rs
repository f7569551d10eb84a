//! `exec`: one more process in a running container. Whether it comes as `--process` or as flags, libcontainer gets it as a
//! file with the whole process object, made as runc makes it (`exec.go`, `getProcess`): the container's own process,
//! changed by the flags.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libcontainer::container::ContainerStatus;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec, User};
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::cli::{self, Global};
use crate::container::{self, Container};
use crate::error::Error;
use crate::libcontainer::errors;
use crate::libcontainer::exec_leftovers;
use crate::libcontainer::executor::Executor;
use crate::libcontainer::groups;
use crate::libcontainer::identity::{self, Identity};
use crate::libcontainer::keyring;
use crate::libcontainer::process_defaults;
use crate::libcontainer::rlimits;
use crate::libcontainer::seccomp::SeccompFilter;
use crate::libcontainer::stdio;
use crate::tty::foreground;
use crate::tty::terminal::Console;

pub(crate) fn exec(global: &Global, options: &cli::Exec) -> Result<ExitCode, Error> {
    let container = Container::load(global, &options.id)?;
    may_exec(&container, options.ignore_paused)?;
    let spec = spec_of(&container)?;
    let mut process = match &options.process {
        Some(path) => read_process(path)?,
        None => process_from_flags(&spec, options)?,
    };
    if let Some(pid) = container.init() {
        process =
            process_defaults::for_exec(process, &spec, Path::new(&format!("/proc/{pid}/root")));
    }
    let wants_terminal = process.terminal().unwrap_or(false);
    let console = Console::new(wants_terminal, options.detach, options.console_socket.as_deref())?;
    has_folder(&container, process.cwd())?;
    let filter = SeccompFilter::of(&spec, &mut process)?;
    own_streams(&container, &process)?;
    // After the filter, which asks for a capability until it is on.
    let identity = Identity::of(&container, &mut process)?;
    let executor = Executor::for_exec(filter, identity);
    if container.record.keyring {
        keyring::join(&options.id)?;
    }
    groups::clear()?;
    rlimits::raise_hard_limits(Some(&process))?;
    let names = exec_leftovers::SocketNames::keep(&container.library.root);
    let built = build(global, options, &process, console.socket().as_deref(), executor);
    names.remove();
    let pid = built?;
    if let Some(path) = &options.pid_file {
        container::write_atomically(path, pid.to_string().as_bytes())?;
    }
    if options.detach {
        return Ok(ExitCode::SUCCESS);
    }
    foreground::wait(pid, console.terminal()?)
}

fn may_exec(container: &Container, ignore_paused: bool) -> Result<(), Error> {
    let why = match container.library.status() {
        ContainerStatus::Running => return Ok(()),
        ContainerStatus::Paused if ignore_paused => return Ok(()),
        ContainerStatus::Paused => "a paused",
        ContainerStatus::Stopped => "a stopped",
        // runc allows it; libcontainer does not.
        ContainerStatus::Created | ContainerStatus::Creating => "a not yet started",
    };
    Err(Error::CannotExec { id: container.id().to_owned(), why })
}

/// libcontainer says of a working directory that is not there no more than `ENOENT`, and Podman turns "no such file or directory"
/// into exit code 127.
fn has_folder(container: &Container, cwd: &Path) -> Result<(), Error> {
    let Some(pid) = container.init() else { return Ok(()) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // What else may be wrong shows when the process goes there.
    let Ok(root) = open(format!("/proc/{pid}/root"), flags, Mode::empty()) else { return Ok(()) };
    match openat2(root, cwd, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Err(Errno::NOENT) => {
            Err(Error::NoFolder { id: container.id().to_owned(), cwd: cwd.to_owned() })
        }
        _ => Ok(()),
    }
}

/// At a terminal it is the process's own that it gets, and not ours.
fn own_streams(container: &Container, process: &Process) -> Result<(), Error> {
    match (container.init(), process.terminal()) {
        (None, _) | (_, Some(true)) => Ok(()),
        (Some(pid), _) => {
            let owner =
                identity::host_id(container.id(), pid.as_raw(), "user", process.user().uid())?;
            stdio::set_owner("self", owner)
        }
    }
}

fn build(
    global: &Global,
    options: &cli::Exec,
    process: &Process,
    socket: Option<&Path>,
    executor: Executor,
) -> Result<Pid, Error> {
    let id = options.id.as_str();
    let file = process_file(process)?;
    let pid = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(global.root())
        .map_err(Error::library("exec in", id))?
        .with_executor(executor)
        .with_console_socket(socket)
        .with_preserved_fds(options.preserve_fds.into())
        .as_tenant()
        // The terminal is ours to make, in the foreground too: libcontainer makes none there.
        .with_detach(true)
        .with_process(Some(path_of(&file)))
        .with_ignore_paused(options.ignore_paused)
        .build()
        .map_err(|source| Error::inside("exec in", id, errors::first_error(), source))?;
    Ok(Pid::from_raw(pid.as_raw()))
}

fn spec_of(container: &Container) -> Result<Spec, Error> {
    let path = container.library.bundle().join("config.json");
    Spec::load(&path).map_err(|source| Error::Spec { path, source: Box::new(source) })
}

pub(crate) fn read_process(path: &Path) -> Result<Process, Error> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    serde_json::from_reader(BufReader::new(file))
        .map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// In memory: whatever kills us, a process's environment is not left lying about.
fn process_file(process: &Process) -> Result<File, Error> {
    let failed = Error::kernel("make a file in memory for the process");
    let mut file =
        File::from(memfd_create(c"runvf-process", MFdFlags::MFD_CLOEXEC).map_err(failed)?);
    let path = path_of(&file);
    let text = serde_json::to_vec(process);
    let text = text.map_err(|source| Error::Json { path: path.clone(), source })?;
    file.write_all(&text).map_err(Error::file("write", path))?;
    Ok(file)
}

fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn process_from_flags(spec: &Spec, options: &cli::Exec) -> Result<Process, Error> {
    if options.command.is_empty() {
        return Err(Error::Usage { problem: "exec needs a command or --process".to_owned() });
    }
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(options.command.clone()));
    process.set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
    if let Some(typed) = &options.user {
        process.set_user(with_user(process.user().clone(), typed)?);
    }
    if !options.additional_gids.is_empty() {
        let mut user = process.user().clone();
        let mut gids = user.additional_gids().clone().unwrap_or_default();
        gids.extend(&options.additional_gids);
        user.set_additional_gids(Some(gids));
        process.set_user(user);
    }
    if options.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &options.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if !options.cap.is_empty() {
        process.set_capabilities(Some(with_capabilities(process.capabilities(), &options.cap)?));
    }
    Ok(process)
}

fn with_user(mut user: User, typed: &str) -> Result<User, Error> {
    let (uid, gid) = match typed.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (typed, None),
    };
    let number = |text: &str| {
        let problem = format!("--user {typed}: not UID or UID:GID in numbers");
        text.parse::<u32>().map_err(|_| Error::Usage { problem })
    };
    user.set_uid(number(uid)?);
    if let Some(gid) = gid {
        user.set_gid(number(gid)?);
    }
    Ok(user)
}

/// Bounding, effective and permitted, as runc: an inheritable one would outlive a change of user (CVE-2022-29162).
fn with_capabilities(
    old: &Option<LinuxCapabilities>,
    typed: &[String],
) -> Result<LinuxCapabilities, Error> {
    let mut capabilities = old.clone().unwrap_or_else(process_defaults::no_capabilities);
    for name in typed {
        let upper = name.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let one: Capability = serde_json::from_value(name.clone().into())
            .map_err(|_| Error::Usage { problem: format!("`{name}` is not a capability") })?;
        let with = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(one);
            Some(set)
        };
        let (bounding, effective, permitted) = (
            with(capabilities.bounding()),
            with(capabilities.effective()),
            with(capabilities.permitted()),
        );
        capabilities.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    }
    Ok(capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        let user = with_user(User::default(), "1000:7").unwrap();
        assert_eq!((user.uid(), user.gid()), (1000, 7));
        assert_eq!(with_user(User::default(), "5").unwrap().uid(), 5);
        assert!(with_user(User::default(), "bob").is_err());
        assert!(with_user(User::default(), "5:").is_err());
    }

    #[test]
    fn capabilities_are_added_and_none_is_made_inheritable() {
        let added = with_capabilities(&None, &["net_admin".to_owned(), "CAP_KILL".to_owned()]);
        let added = added.unwrap();
        assert_eq!(added.bounding().as_ref().unwrap().len(), 2);
        assert!(added.inheritable().is_none() && added.ambient().is_none());
        assert!(with_capabilities(&None, &["nonsense".to_owned()]).is_err());
    }
}
