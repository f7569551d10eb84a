//! PFs, VFs and their netdevs: reads their state and changes it.

pub(crate) mod capture;
pub(crate) mod create_vfs;
pub(crate) mod diff;
pub(crate) mod driver;
pub(crate) mod error;
pub(crate) mod find_link;
pub(crate) mod free_vfs;
#[cfg(test)]
mod in_a_netns;
pub(crate) mod locate;
pub(crate) mod managed;
pub(crate) mod netdev;
pub(crate) mod pf;
pub(crate) mod pf_promisc;
pub(crate) mod placement;
pub(crate) mod promisc;
pub(crate) mod rearm;
pub(crate) mod udev;
pub(crate) mod vf_config;
pub(crate) mod vfio;
