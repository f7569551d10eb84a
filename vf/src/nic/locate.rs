//! Finds the network namespace of a VF's netdev: the host netns, or any netns that a process, a
//! mount or a descriptor keeps alive.
//!
//! Each namespace is asked for the netdev of the VF's PCI address, because a container may have
//! renamed the netdev or moved it on.
//!
//! The caller holds the lock of a PF. So the work in a namespace does not depend on the number of
//! its links, and the whole search has a timeout: a container may have any number of processes and
//! descriptors.

#[cfg(test)]
mod in_a_netns;
mod search;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) use self::search::OtherNetns;
use self::search::{Search, netdev_here};
use crate::error::Error;
use crate::kernel::netns::{Netns, cookie};
use crate::kernel::netns_keepers::KeeperList;
use crate::kernel::netns_life::{Effort, find_netns};
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;
use crate::nic::error::NicError;

/// The longest search. Nearly all of it is for the descriptors of all processes.
const LOCATE_TIMEOUT: Duration = Duration::from_secs(5);

/// The network namespace of a VF's netdev.
#[derive(Debug)]
pub(crate) enum Location {
    HostNetns,
    OtherNetns(OtherNetns),
    /// The VF has no netdev, or its netdev is in a namespace that the kernel is tearing down, so
    /// that nothing refers to the namespace any more.
    Missing,
}

/// Finds the netdev of the claim's VF. Searches the claim's own namespace first.
///
/// # Errors
/// When the netdev was not found, and the search could not examine a namespace or a file that may
/// refer to one; [`NicError::NotLocated`] after [`LOCATE_TIMEOUT`]. The answer
/// [`Location::Missing`] may stop a container, so it must not come from an error.
pub(crate) fn locate(sysfs: &Sysfs, claim: &Claim) -> Result<Location, Error> {
    locate_within(sysfs, claim, LOCATE_TIMEOUT)
}

fn locate_within(sysfs: &Sysfs, claim: &Claim, timeout: Duration) -> Result<Location, Error> {
    let vf = &claim.vf;
    if !sysfs.netdevs(vf)?.is_empty() {
        return Ok(Location::HostNetns);
    }
    if !sysfs.has_driver(vf)? {
        return Ok(Location::Missing);
    }
    if let Some(own) = in_own_netns(claim) {
        return Ok(Location::OtherNetns(own));
    }
    let mut search = Search::new(sysfs, claim, Instant::now() + timeout)?;
    // Each step reads more files than the one before, so the next step runs only if the VF was not
    // found.
    for list_namespaces in [
        KeeperList::by_process,
        KeeperList::by_mount,
        KeeperList::by_descriptor,
        KeeperList::by_thread,
    ] {
        let namespaces = list_namespaces(&mut search.list);
        if let Some(other) = search.find_in(namespaces) {
            return Ok(Location::OtherNetns(other));
        }
        // The namespace of an exited container ends in these moments. Its netdev then returns to
        // the host netns, and no further step is needed.
        if !sysfs.netdevs(vf)?.is_empty() {
            return Ok(Location::HostNetns);
        }
    }
    if search.list.is_incomplete() {
        let (vf, seconds) = (vf.clone(), timeout.as_secs());
        return Err(Error::Nic(NicError::NotLocated { vf, seconds }));
    }
    search.list.failure.map_or(Ok(Location::Missing), Err)
}

/// Looks into the claim's own namespace, without a search for the netdev. `None`: the namespace has
/// ended or does not hold the netdev; an error is left to the search.
fn in_own_netns(claim: &Claim) -> Option<OtherNetns> {
    let (own, processes) = match claim.init {
        Some(init) => (netns_of(init.pid, claim)?, vec![init.pid]),
        // No pid leads to the namespace, so mounts and processes are searched for it.
        None => (find_netns(claim.netns, Effort::Quick).ok().flatten()?, Vec::new()),
    };
    let name = own.inside(|| netdev_here(&claim.vf)).ok().flatten()?;
    let cookie = claim.netns.cookie;
    Some(OtherNetns { cookie, netns: own, name, processes, holders: Vec::new() })
}

/// The network namespace of a process, if it is that of the claim. Only the cookie identifies the
/// namespace, so it does not matter whether the pid is still that of the container.
fn netns_of(pid: i32, claim: &Claim) -> Option<Netns> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    let own = Netns::open(&path).ok().filter(|netns| netns.id == claim.netns.id)?;
    let found = own.inside(cookie).ok()?;
    (found == claim.netns.cookie).then_some(own)
}
