//! The edge to the kernel. errno and missing files get their meaning in here and nowhere else.

pub(crate) mod devlink;
pub(crate) mod ethtool;
pub(crate) mod netlink;
pub(crate) mod netns;
pub(crate) mod packet;
pub(crate) mod small;
pub(crate) mod sysfs;

#[cfg(test)]
mod in_a_netns;
