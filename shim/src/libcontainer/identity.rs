//! Who a process is that `exec` adds, where libcontainer would make it somebody else or make it so too early. It is then given a process
//! of the host's root, and the last steps are done here, in the process itself, before its program is looked for: the user namespace,
//! the groups, the user, the capabilities.
//!
//! - In a container with users of its own: libcontainer enters all of a container's namespaces but that one (`tenant_builder.rs`,
//!   `NAMESPACE_TYPES`). runc enters it first. Coming from outside, the process is until then out of reach for those who are in the
//!   container: to trace it, to read its descriptors or to send it a signal they would have to have a capability in the host's user
//!   namespace. From then on it is not dumpable (setresuid(2)), as any process that `exec` adds.
//! - At a terminal, for whoever is not root: the terminal is to be theirs (`stdio.rs`), and only root may give it away.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use libcontainer::capabilities::{drop_privileges, reset_effective};
use libcontainer::oci_spec::runtime::{LinuxCapabilities, Process, User};
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_keepcaps;
use nix::unistd::{Gid, Pid, Uid, fchown, isatty, setgroups, setresgid, setresuid};

use crate::container::Container;
use crate::error::Error;

#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// `None`: the host's.
    namespace: Option<Arc<File>>,
    user: User,
    /// The user's number outside.
    owner: Uid,
    capabilities: Option<LinuxCapabilities>,
}

impl Identity {
    /// `None` if it can be left to libcontainer. Else changes the process that libcontainer will see.
    ///
    /// # Errors
    ///
    /// The user, or a group, has no number outside: no process can be it (user_namespaces(7)).
    pub(crate) fn of(container: &Container, process: &mut Process) -> Result<Option<Self>, Error> {
        let Some(pid) = container.init().map(Pid::as_raw) else { return Ok(None) };
        let namespace = other_users(pid)?;
        let user = process.user().clone();
        let terminal = process.terminal().unwrap_or(false) && user.uid() != 0;
        if namespace.is_none() && !terminal {
            return Ok(None);
        }
        let id = container.id();
        let owner = host_id(id, pid, "user", user.uid())?;
        host_id(id, pid, "group", user.gid())?;
        for gid in user.additional_gids().iter().flatten() {
            host_id(id, pid, "group", *gid)?;
        }

        let mut root = User::default();
        root.set_uid(0).set_gid(0).set_umask(user.umask());
        let capabilities = process.capabilities().clone();
        // Without any mentioned, libcontainer leaves all: those are needed to become somebody else.
        process.set_user(root).set_capabilities(None);
        let namespace = namespace.map(Arc::new);
        Ok(Some(Self { namespace, user, owner: Uid::from_raw(owner), capabilities }))
    }

    /// In the process, which must have one thread only (setns(2)).
    pub(crate) fn assume(&self) -> Result<(), String> {
        let stdin = std::io::stdin();
        // Before the user namespace: root of the host, who made the terminal, has no number there.
        if isatty(stdin.as_fd()).unwrap_or(false) {
            fchown(stdin.as_fd(), Some(self.owner), None).map_err(says("terminal"))?;
        }
        if let Some(namespace) = &self.namespace {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWUSER).map_err(says("user namespace"))?;
        }
        let groups = self.user.additional_gids().iter().flatten();
        let groups: Vec<Gid> = groups.copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(says("groups"))?;
        // Or no capability would outlive it (capabilities(7)).
        set_keepcaps(true).map_err(says("capabilities"))?;
        let (uid, gid) = (Uid::from_raw(self.user.uid()), Gid::from_raw(self.user.gid()));
        setresgid(gid, gid, gid).map_err(says("group"))?;
        setresuid(uid, uid, uid).map_err(says("user"))?;
        set_keepcaps(false).map_err(says("capabilities"))?;
        let Some(capabilities) = &self.capabilities else { return Ok(()) };
        let system = create_syscall();
        // Those in effect are not kept, but those that may be.
        let dropped =
            reset_effective(&*system).and_then(|()| drop_privileges(capabilities, &*system));
        dropped.map_err(|error| crate::error::line(&error))
    }
}

fn says(what: &str) -> impl FnOnce(nix::Error) -> String + '_ {
    move |errno| format!("cannot set the {what} of the process: {}", errno.desc())
}

/// The user namespace of a container, unless it is ours.
fn other_users(pid: i32) -> Result<Option<File>, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/user"));
    let read = |path: &PathBuf| fs::read_link(path).map_err(Error::file("read", path));
    if read(&path)? == read(&PathBuf::from("/proc/self/ns/user"))? {
        return Ok(None);
    }
    File::open(&path).map(Some).map_err(Error::file("open", path))
}

/// The number that a user or a group of a container has outside.
///
/// # Errors
///
/// It has none.
pub(crate) fn host_id(id: &str, pid: i32, kind: &'static str, number: u32) -> Result<u32, Error> {
    let file = if kind == "user" { "uid_map" } else { "gid_map" };
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    let map = fs::read_to_string(&path).map_err(Error::file("read", path))?;
    mapped(&map, number).ok_or_else(|| Error::Unmapped { id: id.to_owned(), kind, number })
}

/// `/proc/PID/uid_map`: first number inside, first outside, how many.
fn mapped(map: &str, number: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|text| text.parse::<u64>().ok());
        let (inside, outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let offset = u64::from(number).checked_sub(inside).filter(|offset| *offset < count)?;
        u32::try_from(outside + offset).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::mapped;

    #[test]
    fn numbers_outside() {
        let map = "         0     100000       1000\n      1000       5000          1\n";
        assert_eq!(mapped(map, 0), Some(100_000));
        assert_eq!(mapped(map, 999), Some(100_999));
        assert_eq!(mapped(map, 1000), Some(5000));
        assert_eq!(mapped(map, 1001), None);
        assert_eq!(mapped("", 0), None);
        assert_eq!(mapped("0 4294967295 2", 1), None);
        assert_eq!(mapped("nonsense", 0), None);
    }
}
