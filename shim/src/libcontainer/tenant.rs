//! A process that `exec` adds to a container, which libcontainer makes (`as_tenant`).

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
use super::executor::Executor;
use super::identity::{self, Identity};
use super::seccomp::SeccompFilter;
use super::{errors, process_defaults, stdio};
use crate::cli::{self, Global};
use crate::container::Container;
use crate::error::Error;

/// The process as libcontainer shall see it, and what does the rest in the process itself.
pub(crate) fn adapt(
    container: &Container,
    spec: &Spec,
    mut process: Process,
) -> Result<(Process, Executor), Error> {
    if let Some(pid) = container.init() {
        let root = format!("/proc/{pid}/root");
        process = process_defaults::for_exec(process, spec, Path::new(&root));
    }
    has_folder(container, process.cwd())?;
    let filter = SeccompFilter::of(spec, &mut process)?;
    own_streams(container, &process)?;
    // After the filter, which asks for a capability until it is on.
    let identity = Identity::of(container, &mut process)?;
    Ok((process, Executor::for_exec(filter, identity)))
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
            Err(Error::NoWorkingDir { id: container.id().to_owned(), cwd: cwd.to_owned() })
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

pub(crate) fn build(
    global: &Global,
    options: &cli::Exec,
    container: &Container,
    process: &Process,
    socket: Option<&Path>,
    executor: Executor,
) -> Result<Pid, Error> {
    let names = SocketNames::hold(&container.library.root);
    let pid = run_builder(global, options, process, socket, executor);
    names.remove();
    pid
}

fn run_builder(
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
        .map_err(|source| Error::library_logged("exec in", id, errors::first_error(), source))?;
    Ok(Pid::from_raw(pid.as_raw()))
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
