//! The edge to the kernel: netlink, sysfs, ethtool, namespaces and processes, and the plain data types that they carry.
//!
//! An errno or a missing file gets its meaning here and nowhere else. This wing imports no other wing.

pub(crate) mod devlink;
pub(crate) mod error;
pub(crate) mod ethtool;
#[cfg(test)]
pub(crate) mod in_a_netns;
pub(crate) mod mac;
pub(crate) mod netdev_settings;
pub(crate) mod netlink;
pub(crate) mod netns;
pub(crate) mod packet;
pub(crate) mod proc_file;
pub(crate) mod process;
pub(crate) mod retry;
pub(crate) mod sysfs;
pub(crate) mod time;
pub(crate) mod vf_settings;
pub(crate) mod vlan;
