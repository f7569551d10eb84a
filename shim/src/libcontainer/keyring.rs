//! A session keyring for each container. libcontainer creates none, so that a container would
//! inherit its engine's keyring and could read every key in it. runvf joins the keyring before
//! libcontainer forks, because a seccomp filter such as Docker's forbids keyctl(2) later. As a
//! side effect, hooks outside the container have the container's keyring; under runc they keep the
//! engine's.
//!
//! The keyring's name is runc's, `_ses.ID` (`libcontainer/standard_init_linux.go`,
//! `getSessionRingParams`). `exec` finds the keyring by this name. The name is one of the host's user
//! namespace, also for a container with a user namespace. So, unlike under runc, others may not search
//! the keyring: any user of the host could then join it.

use std::ffi::CString;

use libcontainer::oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Uid, geteuid, setfsuid};

use crate::error::Error;

/// All permissions for possessors; view, read, link and search for the user (keyctl_setperm(3)). The
/// kernel's default for the user lacks search. Without it, `exec` would not find the keyring and would
/// create another.
const PERMISSIONS: libc::c_ulong = 0x3f00_0000 | 0x001b_0000;

/// The keyring of a container.
pub(crate) struct Keyring<'a> {
    id: &'a str,
    /// The ids on the host of the user namespace's root. `None` without a user namespace, or if the
    /// spec does not map them.
    root: Option<(u32, u32)>,
}

impl<'a> Keyring<'a> {
    pub(crate) fn of(id: &'a str, spec: &Spec) -> Self {
        let linux = spec.linux().as_ref();
        let namespaces = linux.and_then(|linux| linux.namespaces().as_ref());
        let mut namespaces = namespaces.into_iter().flatten();
        let has_user_namespace = namespaces.any(|it| it.typ() == LinuxNamespaceType::User);
        let root = linux
            .filter(|_| has_user_namespace)
            .and_then(|linux| host_root(linux.uid_mappings()).zip(host_root(linux.gid_mappings())));
        Self { id, root }
    }

    /// Joins the container's session keyring, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`], for example if root already has `kernel.keys.root_maxkeys` keys.
    pub(crate) fn join(&self) -> Result<(), Error> {
        match self.try_join() {
            // A kernel without CONFIG_KEYS has no keyrings, so the container inherits none.
            Ok(()) | Err(Errno::ENOSYS) => Ok(()),
            Err(errno) => Err(Error::kernel("join the container's session keyring")(errno)),
        }
    }

    fn try_join(&self) -> Result<(), Errno> {
        let name = CString::new(format!("_ses.{}", self.id)).map_err(|_| Errno::EINVAL)?;
        // The kernel compares this id with the keyring's owner (`security/keys/permission.c`). It is an
        // attribute of the thread.
        if let Some((uid, _)) = self.root {
            setfsuid(Uid::from_raw(uid));
        }
        // SAFETY: the name ends with a NUL byte and outlives the call.
        let keyring = Errno::result(unsafe {
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
        });
        setfsuid(geteuid());
        let keyring = keyring?;
        // SAFETY: the arguments are numbers; the call accesses no memory of this process.
        let set =
            unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, keyring, PERMISSIONS) };
        Errno::result(set)?;
        let Some((uid, gid)) = self.root else { return Ok(()) };
        // SAFETY: as above.
        let set = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_CHOWN, keyring, uid, gid) };
        Errno::result(set).map(drop)
    }
}

/// The id on the host of root in a user namespace.
fn host_root(mappings: &Option<Vec<LinuxIdMapping>>) -> Option<u32> {
    let mut mappings = mappings.iter().flatten();
    let first = mappings.find(|mapping| mapping.container_id() == 0 && mapping.size() > 0)?;
    Some(first.host_id())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_root_of_a_user_namespace_owns_its_keyring() {
        let root = |linux: serde_json::Value| {
            let spec = json!({ "ociVersion": "1.0.2", "linux": linux });
            let keyring = Keyring::of("c", &serde_json::from_value(spec).unwrap());
            keyring.root
        };
        let ids = |start: u32| {
            json!([{ "containerID": 1, "hostID": 9, "size": 9 },
            { "containerID": 0, "hostID": start, "size": 1 }])
        };
        let user = json!([{ "type": "user" }]);
        let mapped = json!({ "namespaces": user, "uidMappings": ids(5), "gidMappings": ids(6) });
        assert_eq!(root(mapped), Some((5, 6)));
        assert_eq!(root(json!({ "namespaces": user })), None);
        assert_eq!(root(json!({ "uidMappings": ids(5), "gidMappings": ids(6) })), None);
    }
}
