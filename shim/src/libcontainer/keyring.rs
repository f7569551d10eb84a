//! A session keyring for each container. libcontainer creates none, so that a container would
//! inherit its engine's keyring and could read every key in it. runvf joins the keyring before
//! libcontainer forks, because a seccomp filter such as Docker's forbids keyctl(2) later. As a
//! side effect, hooks outside the container have the container's keyring; under runc they keep the
//! engine's.
//!
//! The keyring's name and permissions are runc's (`libcontainer/standard_init_linux.go`,
//! `getSessionRingParams`). `exec` finds the keyring by the name `_ses.ID`.

use std::ffi::CString;

use libcontainer::oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};
use nix::errno::Errno;
use nix::libc;

use crate::error::Error;

/// All permissions for possessors; view, read and link for the user (keyctl_setperm(3)), as the kernel
/// sets them.
const PERMISSIONS: libc::c_ulong = 0x3f00_0000 | 0x0013_0000;

/// Without search, `exec` would not find the keyring and would create another.
const SEARCH_BY_USER: libc::c_ulong = 0x0008_0000;
const SEARCH_BY_OTHERS: libc::c_ulong = 0x0000_0008;

/// The keyring of a container.
pub(crate) struct Keyring<'a> {
    id: &'a str,
    has_user_namespace: bool,
    /// The ids on the host of the user namespace's root. `None` if the spec does not map them.
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
        Self { id, has_user_namespace, root }
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
        // SAFETY: the name ends with a NUL byte and outlives the call.
        let keyring = unsafe {
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
        };
        let keyring = Errno::result(keyring)?;
        let search = if self.has_user_namespace { SEARCH_BY_OTHERS } else { SEARCH_BY_USER };
        let permissions = PERMISSIONS | search;
        // SAFETY: the arguments are numbers; the call accesses no memory of this process.
        let set =
            unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, keyring, permissions) };
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
            (keyring.has_user_namespace, keyring.root)
        };
        let ids = |start: u32| {
            json!([{ "containerID": 1, "hostID": 9, "size": 9 },
            { "containerID": 0, "hostID": start, "size": 1 }])
        };
        let user = json!([{ "type": "user" }]);
        let mapped = json!({ "namespaces": user, "uidMappings": ids(5), "gidMappings": ids(6) });
        assert_eq!(root(mapped), (true, Some((5, 6))));
        assert_eq!(root(json!({ "namespaces": user })), (true, None));
        assert_eq!(root(json!({ "uidMappings": ids(5), "gidMappings": ids(6) })), (false, None));
    }
}
