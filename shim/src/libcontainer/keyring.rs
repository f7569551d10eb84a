//! A session keyring for each container. libcontainer creates none, so that a container would
//! inherit its engine's keyring and could read every key in it. runvf joins the keyring before
//! libcontainer forks, because a seccomp filter such as Docker's forbids keyctl(2) later. As a
//! side effect, hooks outside the container have the container's keyring; under runc they keep the
//! engine's.
//!
//! The keyring's name is runc's, `_ses.ID` (`libcontainer/standard_init_linux.go`,
//! `getSessionRingParams`). `exec` finds the keyring by this name.

use std::ffi::CString;

use nix::errno::Errno;
use nix::libc;

use crate::error::Error;

/// All permissions for possessors; view, read, link and search for the user (keyctl_setperm(3)).
/// The kernel's default for the user lacks search. Without it, `exec` would not find the keyring
/// and would create another.
const PERMISSIONS: libc::c_ulong = 0x3f00_0000 | 0x001b_0000;

/// Joins the container's session keyring, and creates it if it does not exist.
///
/// # Errors
///
/// [`Error::Kernel`], for example if root already has `kernel.keys.root_maxkeys` keys.
pub(crate) fn join(id: &str) -> Result<(), Error> {
    match try_join(id) {
        // A kernel without CONFIG_KEYS has no keyrings, so the container inherits none.
        Ok(()) | Err(Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(Error::kernel("join the container's session keyring")(errno)),
    }
}

fn try_join(id: &str) -> Result<(), Errno> {
    let name = CString::new(format!("_ses.{id}")).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the name ends with a NUL byte and outlives the call.
    let keyring = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
    };
    let keyring = Errno::result(keyring)?;
    // SAFETY: the arguments are numbers; the call accesses no memory of this process.
    let set =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, keyring, PERMISSIONS) };
    Errno::result(set).map(drop)
}
