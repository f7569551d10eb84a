//! A process that `exec` adds to a container. libcontainer creates it (`as_tenant`).

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::{Process, Spec};
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use super::exec_leftovers::SocketNames;
use super::exec_state::ExecState;
use super::executor::Executor;
use super::identity::{self, Identity};
use super::rlimits::{self, OpenFilesLimit};
use super::seccomp::{self, SeccompFilter};
use super::{errors, process_check, process_defaults, receive_only, stdio};
use crate::cli;
use crate::container::Container;
use crate::error::Error;
use crate::tty::streams::ProcessEnds;

/// Returns the process for libcontainer, and the executor that does the remaining steps inside the
/// new process.
pub(crate) fn adapt(
    container: &Container,
    spec: &Spec,
    mut process: Process,
    ends: Option<&ProcessEnds>,
) -> Result<(Process, Executor), Error> {
    let has_environment = process.env().is_some();
    if let Some(pid) = container.init() {
        let root = format!("/proc/{pid}/root");
        process = process_defaults::for_exec(process, spec, Path::new(&root));
    }
    process_check::check(&process)?;
    check_cwd(container, process.cwd())?;
    let mut filters = Vec::new();
    if container.record.receive_only {
        seccomp::keep_sys_admin(&mut process);
        filters.push(receive_only::filter()?);
    }
    filters.extend(SeccompFilter::for_exec(spec, &mut process)?);
    set_owner_of_stdio(container, &process, ends)?;
    // After the filters, because they add a capability that the process needs to load it.
    let identity = Identity::take_from(container, &mut process)?;
    // Before one of them is taken out.
    rlimits::raise_hard_limits(Some(&process))?;
    let open_files = OpenFilesLimit::take_from(&mut process);
    let memory_policy = spec.linux().as_ref().and_then(|linux| linux.memory_policy().clone());
    Ok((process, Executor::for_exec(filters, identity, memory_policy, open_files, has_environment)))
}

/// Checks that the working directory exists. libcontainer's error for a missing one is only
/// `ENOENT`. Podman turns "no such file or directory" into exit code 127.
fn check_cwd(container: &Container, cwd: &Path) -> Result<(), Error> {
    let Some(pid) = container.init() else { return Ok(()) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Other errors are reported when the process changes to the directory.
    let Ok(root) = open(format!("/proc/{pid}/root"), flags, Mode::empty()) else { return Ok(()) };
    match openat2(root, cwd, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Err(Errno::NOENT) => {
            Err(Error::NoWorkingDir { id: container.id().to_owned(), cwd: cwd.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Gives the standard streams to the user of the process: the pipes, or runvf's own streams, which it
/// inherits. A process with a terminal gets the terminal instead.
fn set_owner_of_stdio(
    container: &Container,
    process: &Process,
    ends: Option<&ProcessEnds>,
) -> Result<(), Error> {
    match (container.init(), process.terminal()) {
        (None, _) | (_, Some(true)) => Ok(()),
        (Some(pid), _) => {
            let host_id =
                |kind, number| identity::host_id(container.id(), pid.as_raw(), kind, number);
            let owner = host_id("user", process.user().uid())?;
            match ends {
                // A namespace without a root keeps the host's group.
                Some(ends) => {
                    stdio::set_owner_of_ends(ends, owner, host_id("group", 0).unwrap_or(0))
                }
                None => stdio::set_owner("self", owner),
            }
        }
    }
}

/// What the process gets from runvf.
pub(crate) struct Parts<'a> {
    pub(crate) process: &'a Process,
    pub(crate) executor: Executor,
    pub(crate) console_socket: Option<&'a Path>,
    pub(crate) ends: Option<ProcessEnds>,
}

/// Creates the process and returns its pid. `spec`: the container's.
pub(crate) fn build(
    options: &cli::Exec,
    container: &Container,
    spec: &Spec,
    parts: Parts<'_>,
) -> Result<Pid, Error> {
    let state = ExecState::new(container, spec)?;
    let names = SocketNames::lock(&container.library.root);
    let pid = run_builder(state.root(), options, parts);
    names.remove();
    pid
}

fn run_builder(
    root: &Path,
    options: &cli::Exec,
    Parts { process, executor, console_socket, ends }: Parts<'_>,
) -> Result<Pid, Error> {
    let id = options.id.as_str();
    let file = process_file(process)?;
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default());
    let pid = stdio::connect(builder, ends)
        .with_root_path(root)
        .map_err(Error::library("exec in", id))?
        .with_executor(executor)
        .with_console_socket(console_socket)
        .with_preserved_fds(options.preserve_fds.into())
        .as_tenant()
        // Always detached: libcontainer creates no terminal for a process in the foreground, so
        // runvf creates it.
        .with_detach(true)
        .with_process(Some(path_of(&file)))
        .with_ignore_paused(options.ignore_paused)
        .build()
        .map_err(|source| Error::library_logged("exec in", id, errors::first_error(), source))?;
    Ok(Pid::from_raw(pid.as_raw()))
}

/// Writes the process to a memfd, so that the environment, which may contain secrets, does not stay
/// on disk if runvf is killed.
fn process_file(process: &Process) -> Result<File, Error> {
    let failed = Error::kernel("create a memfd for the process");
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
