//! The supplementary groups that runvf was started with.

use nix::unistd::{geteuid, setgroups};

use crate::error::Error;

/// Leaves them before a container's process is forked. libcontainer calls setgroups(2) only for a spec that names groups
/// (`process.rs`, `set_supplementary_gids`), so that the process of any other would have those of Podman, or of the root shell
/// that called us. runc's has none then. Without root there is no leaving them, and no container either.
pub(crate) fn clear() -> Result<(), Error> {
    match geteuid().is_root() {
        true => setgroups(&[]).map_err(Error::kernel("leave the supplementary groups")),
        false => Ok(()),
    }
}
