//! The interface to the kernel: netlink, sysfs, ethtool, network namespaces and processes, and the
//! data types of their answers.
//!
//! Only this wing interprets an errno or a missing file. It imports no other wing.

pub(crate) mod bounded_append;
mod bounded_child;
pub(crate) mod bounded_write;
pub(crate) mod carrier;
pub(crate) mod cpu_set;
pub(crate) mod devlink;
pub(crate) mod error;
pub(crate) mod ethtool;
pub(crate) mod held_locks;
#[cfg(test)]
pub(crate) mod in_a_netns;
pub(crate) mod interrupts;
pub(crate) mod kernel_log;
pub(crate) mod mac;
pub mod mountinfo;
pub(crate) mod netdev_settings;
pub(crate) mod netlink;
pub(crate) mod netns;
pub(crate) mod netns_keepers;
pub(crate) mod netns_life;
pub(crate) mod netns_sysfs;
pub(crate) mod nftables;
pub(crate) mod packet;
pub(crate) mod pid_stat;
pub(crate) mod proc_file;
pub(crate) mod process;
pub(crate) mod retry;
pub(crate) mod sysfs;
pub(crate) mod time;
pub(crate) mod vf_settings;
pub(crate) mod vfio;
pub(crate) mod vlan;
