//! A session keyring for each container, which libcontainer does not make: without one a container inherits its engine's,
//! and all that the engine's processes keep there is the container's to read. Joined before libcontainer forks, so that
//! it is there before a filter can forbid keyctl(2), as Docker's does. Hooks that run outside have it too; under runc
//! they keep the engine's.
//!
//! It has runc's name, `_ses.ID` (`libcontainer/standard_init_linux.go`, `getSessionRingParams`), by which `exec` finds it again.

use std::ffi::CString;

use nix::errno::Errno;
use nix::libc;

use crate::error::Error;

/// What possessors may do, all of it, and its user: view, read, link and search it, keyctl_setperm(3). The last is not
/// among the kernel's defaults, and without it `exec` would not find the keyring but make another.
const PERMISSIONS: libc::c_ulong = 0x3f00_0000 | 0x001b_0000;

/// Joins the container's session keyring, and makes it if it is not there.
///
/// # Errors
/// [`Error::Kernel`], for one if root has as many keys as `kernel.keys.root_maxkeys` allows.
pub(crate) fn join(id: &str) -> Result<(), Error> {
    match try_join(id) {
        // A kernel without CONFIG_KEYS has none to share either.
        Ok(()) | Err(Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(Error::kernel("join the container's session keyring")(errno)),
    }
}

fn try_join(id: &str) -> Result<(), Errno> {
    let name = CString::new(format!("_ses.{id}")).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the name ends with a zero and outlives the call.
    let keyring = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
    };
    let keyring = Errno::result(keyring)?;
    // SAFETY: three numbers; no memory of ours is touched.
    let set =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, keyring, PERMISSIONS) };
    Errno::result(set).map(drop)
}
