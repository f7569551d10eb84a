//! The search for a VF's netdev in the network namespaces that processes, mounts and descriptors
//! keep alive.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::error::Error;
use crate::kernel::netns::{Netns, NetnsId, cookie};
use crate::kernel::netns_keepers::{KeeperList, Keepers, Namespaces};
use crate::kernel::netns_sysfs::NetnsSysfs;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;

/// A netdev in a network namespace other than the host netns.
#[derive(Debug)]
pub(crate) struct OtherNetns {
    /// Cookie of the namespace: see [`crate::kernel::netns::cookie`].
    pub(crate) cookie: u64,
    pub(crate) netns: Netns,
    /// Name of the netdev inside the namespace.
    pub(crate) name: String,
    /// Processes that run in the namespace. May be empty for the claim's own namespace.
    pub(crate) processes: Vec<i32>,
    /// Processes that keep the namespace open by a descriptor. Empty if the search did not need
    /// descriptors.
    pub(crate) holders: Vec<i32>,
}

/// A search for one VF: `list` lists network namespaces, and [`find_in`](Self::find_in) searches
/// them.
pub(super) struct Search<'a> {
    claim: &'a Claim,
    pub(super) list: KeeperList<'a>,
    /// The namespaces that do not hold the netdev.
    searched: BTreeSet<NetnsId>,
}

/// The name of a VF's netdev in the network namespace of the calling thread.
pub(super) fn netdev_here(vf: &str) -> Result<Option<String>, Error> {
    let netdevs = NetnsSysfs::mount()?.sysfs.netdevs(vf)?;
    Ok(netdevs.into_iter().next().map(|(name, _)| name))
}

impl<'a> Search<'a> {
    /// The search ends early if the netdev has returned to the host netns.
    pub(super) fn new(
        sysfs: &'a Sysfs,
        claim: &'a Claim,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let has_returned = || !sysfs.netdevs_or_empty(&claim.vf).is_empty();
        let list = KeeperList::new(deadline, has_returned);
        Ok(Self { claim, list, searched: BTreeSet::from([Netns::own()?.id]) })
    }

    /// Searches the namespaces that were not searched yet for the netdev.
    pub(super) fn find_in(&mut self, namespaces: Namespaces) -> Option<OtherNetns> {
        let mut candidates: Vec<_> = namespaces.into_iter().collect();
        candidates.sort_by_key(|(id, _)| *id != self.claim.netns.id);
        for (id, keepers) in candidates {
            if self.searched.contains(&id) {
                continue;
            }
            if self.list.is_over() {
                return None;
            }
            let Some(netns) = self.list.open(&keepers, id) else { continue };
            self.searched.insert(id);
            let vf = &self.claim.vf;
            match netns.inside(|| Ok((netdev_here(vf)?, cookie()?))) {
                Ok((Some(name), cookie)) => {
                    let Keepers { processes, holders, .. } = keepers;
                    return Some(OtherNetns { cookie, netns, name, processes, holders });
                }
                Ok((None, _)) => {}
                Err(error) => self.list.note_failure(error),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::ledger::claim::tests::claim;

    #[test]
    fn the_search_ends_when_the_netdev_returns_to_the_host_netns() {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, claim) = (Sysfs(root.path().to_owned()), claim("0000:01:10.0", "n"));
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut search = Search::new(&sysfs, &claim, deadline).unwrap();
        assert!(!search.list.is_over());
        let netdev = sysfs.pci_device("0000:01:10.0").join("net/v0");
        fs::create_dir_all(&netdev).unwrap();
        fs::write(netdev.join("ifindex"), "7\n").unwrap();
        while !search.list.is_over() {
            assert!(Instant::now() < deadline, "the search goes on");
            thread::yield_now();
        }
        assert!(search.list.is_incomplete());
    }
}
