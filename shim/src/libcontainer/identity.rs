//! The identity of a process that `exec` adds: user namespace, groups, user, capabilities. In two
//! cases libcontainer would set a wrong identity, or set it too early. Then runvf gives libcontainer
//! a process of the host's root, and sets the identity itself, in that process, before it looks for
//! the program.
//!
//! - The container has a user namespace. libcontainer enters all other namespaces of the container,
//!   but not this one (`tenant_builder.rs`, `NAMESPACE_TYPES`). runc enters it first. Until runvf
//!   enters it, the container's processes cannot trace the process, read its descriptors or signal
//!   it, because that requires a capability in the host's user namespace. Afterwards the process is
//!   not dumpable (setresuid(2)), like every process that `exec` adds.
//! - The process has a terminal, and its user is not root. The user must own the terminal
//!   (`stdio.rs`), and only root may change the owner.

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
    /// `None`: runvf's own user namespace.
    namespace: Option<Arc<File>>,
    user: User,
    /// The user's uid on the host.
    host_uid: Uid,
    capabilities: Option<LinuxCapabilities>,
}

impl Identity {
    /// Takes the identity out of a process and makes that process one of the host's root. Returns
    /// `None`, and changes nothing, if libcontainer can set the identity.
    ///
    /// # Errors
    ///
    /// The user or a group is not mapped in the user namespace, so no process can have it
    /// (user_namespaces(7)).
    pub(crate) fn take_from(
        container: &Container,
        process: &mut Process,
    ) -> Result<Option<Self>, Error> {
        let Some(pid) = container.init().map(Pid::as_raw) else { return Ok(None) };
        let namespace = open_user_namespace(pid)?;
        let user = process.user().clone();
        let terminal = process.terminal().unwrap_or(false) && user.uid() != 0;
        if namespace.is_none() && !terminal {
            return Ok(None);
        }
        let id = container.id();
        let host_uid = host_id(id, pid, "user", user.uid())?;
        host_id(id, pid, "group", user.gid())?;
        for gid in user.additional_gids().iter().flatten() {
            host_id(id, pid, "group", *gid)?;
        }

        let mut root = User::default();
        root.set_uid(0).set_gid(0).set_umask(user.umask());
        let capabilities = process.capabilities().clone();
        // Without capabilities in the spec, libcontainer keeps all. `assume` needs them.
        process.set_user(root).set_capabilities(None);
        let namespace = namespace.map(Arc::new);
        Ok(Some(Self { namespace, user, host_uid: Uid::from_raw(host_uid), capabilities }))
    }

    /// Sets the identity of the calling process, which must have only one thread (setns(2)).
    pub(crate) fn assume(&self) -> Result<(), String> {
        let stdin = std::io::stdin();
        // Before the user namespace, because the terminal's owner, root of the host, is not mapped
        // there.
        if isatty(stdin.as_fd()).unwrap_or(false) {
            fchown(stdin.as_fd(), Some(self.host_uid), None)
                .map_err(failed_to("change the owner of the terminal"))?;
        }
        if let Some(namespace) = &self.namespace {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWUSER)
                .map_err(failed_to("enter the container's user namespace"))?;
        }
        let groups = self.user.additional_gids().iter().flatten();
        let groups: Vec<Gid> = groups.copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(failed_to("set the supplementary groups"))?;
        // Otherwise setresuid(2) would clear all capabilities (capabilities(7)).
        set_keepcaps(true).map_err(failed_to("keep the capabilities"))?;
        let (uid, gid) = (Uid::from_raw(self.user.uid()), Gid::from_raw(self.user.gid()));
        setresgid(gid, gid, gid).map_err(failed_to("set the group"))?;
        setresuid(uid, uid, uid).map_err(failed_to("set the user"))?;
        set_keepcaps(false).map_err(failed_to("reset the keep-capabilities flag"))?;
        let Some(capabilities) = &self.capabilities else { return Ok(()) };
        let system = create_syscall();
        // The flag keeps the permitted set and not the effective set, so that is set again.
        let dropped =
            reset_effective(&*system).and_then(|()| drop_privileges(capabilities, &*system));
        dropped.map_err(|error| crate::error::line(&error))
    }
}

fn failed_to(action: &str) -> impl FnOnce(nix::Error) -> String + '_ {
    move |errno| format!("cannot {action}: {}", errno.desc())
}

/// Opens the user namespace of a process. Returns `None` if runvf is in the same one.
fn open_user_namespace(pid: i32) -> Result<Option<File>, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/user"));
    let read = |path: &PathBuf| fs::read_link(path).map_err(Error::file("read", path));
    if read(&path)? == read(&PathBuf::from("/proc/self/ns/user"))? {
        return Ok(None);
    }
    File::open(&path).map(Some).map_err(Error::file("open", path))
}

/// Returns the id on the host of a user or a group in a container. `kind`: "user" or "group".
///
/// # Errors
///
/// [`Error::Unmapped`] if the container's user namespace does not map the id.
pub(crate) fn host_id(id: &str, pid: i32, kind: &'static str, number: u32) -> Result<u32, Error> {
    let file = if kind == "user" { "uid_map" } else { "gid_map" };
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    let map = fs::read_to_string(&path).map_err(Error::file("read", path))?;
    map_id(&map, number).ok_or_else(|| Error::Unmapped { id: id.to_owned(), kind, number })
}

/// Maps an id by the text of `/proc/PID/uid_map`. The fields of a line are the first id inside, the
/// first id outside, and the number of ids.
fn map_id(map: &str, number: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|text| text.parse::<u64>().ok());
        let (inside, outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let offset = u64::from(number).checked_sub(inside).filter(|offset| *offset < count)?;
        u32::try_from(outside + offset).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::map_id;

    #[test]
    fn ids_map_to_ids_of_the_host() {
        let map = "         0     100000       1000\n      1000       5000          1\n";
        assert_eq!(map_id(map, 0), Some(100_000));
        assert_eq!(map_id(map, 999), Some(100_999));
        assert_eq!(map_id(map, 1000), Some(5000));
        assert_eq!(map_id(map, 1001), None);
        assert_eq!(map_id("", 0), None);
        assert_eq!(map_id("0 4294967295 2", 1), None);
        assert_eq!(map_id("nonsense", 0), None);
    }
}
