//! What libcontainer does not do, or does otherwise than runc: a file for each difference.

pub(crate) mod children;
pub(crate) mod cpuset;
pub(crate) mod descriptors;
pub(crate) mod dev_links;
pub(crate) mod devices;
pub(crate) mod errors;
pub(crate) mod exec_leftovers;
pub(crate) mod executor;
pub(crate) mod groups;
pub(crate) mod identity;
pub(crate) mod keyring;
pub(crate) mod poststop;
pub(crate) mod private_mountns;
pub(crate) mod process_defaults;
pub(crate) mod propagation;
pub(crate) mod rlimits;
pub(crate) mod rootfs;
pub(crate) mod seccomp;
pub(crate) mod spec_patch;
pub(crate) mod stdio;
pub(crate) mod symlinks;
pub(crate) mod tmpfs;
pub(crate) mod userns_mounts;
