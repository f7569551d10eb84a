//! The supplementary groups that runvf was started with.

use nix::unistd::{geteuid, setgroups};

use crate::error::Error;

/// Drops the supplementary groups before libcontainer forks. libcontainer calls setgroups(2) only if
/// the spec names groups (`process.rs`, `set_supplementary_gids`). Otherwise the container's process
/// would keep the groups of runvf's caller, for example Podman or a root shell; under runc it has
/// none. Does nothing without root, because only root can drop groups or create a container.
pub(crate) fn clear() -> Result<(), Error> {
    match geteuid().is_root() {
        true => setgroups(&[]).map_err(Error::kernel("drop the supplementary groups")),
        false => Ok(()),
    }
}
