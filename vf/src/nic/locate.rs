//! Finds the network namespace of a VF's netdev: the host netns, or any netns that a process, a
//! mount or a descriptor keeps alive.
//!
//! The search compares PCI addresses (`IFLA_PARENT_DEV_NAME`), because a container may have renamed
//! the netdev or moved it on.

mod mountinfo;
mod search;

pub(crate) use self::search::OtherNetns;
use self::search::Search;
use crate::error::Error;
use crate::kernel::netns::NetnsId;
use crate::kernel::sysfs::Sysfs;

/// The network namespace of a VF's netdev.
#[derive(Debug)]
pub(crate) enum Location {
    HostNetns,
    OtherNetns(OtherNetns),
    /// The VF has no netdev, or its netdev is in a namespace that the kernel is tearing down, so
    /// that nothing refers to the namespace any more.
    Missing,
}

/// Finds the netdev of a VF. Searches the namespace `likely` first.
///
/// # Errors
/// When the netdev was not found, and the search could not examine a namespace or a file that may
/// refer to one. The answer [`Location::Missing`] may stop a container, so it must not come from an
/// error.
pub(crate) fn locate(sysfs: &Sysfs, vf: &str, likely: NetnsId) -> Result<Location, Error> {
    if !sysfs.netdevs(vf)?.is_empty() {
        return Ok(Location::HostNetns);
    }
    if !sysfs.has_driver(vf)? {
        return Ok(Location::Missing);
    }
    let mut search = Search::new(vf, likely)?;
    // Each step reads more files than the one before, so the next step runs only if the VF was not
    // found.
    for list_namespaces in
        [Search::by_process, Search::by_mount, Search::by_descriptor, Search::by_thread]
    {
        let namespaces = list_namespaces(&mut search);
        if let Some(other) = search.find_in(namespaces) {
            return Ok(Location::OtherNetns(other));
        }
    }
    search.failure.map_or(Ok(Location::Missing), Err)
}
