//! What is read in the network namespaces of the containers: the netdev of each VF, and the sockets
//! that capture its frames.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::kernel::netlink::{Link, Netlink, packet_sockets};
use crate::kernel::netns::{Netns, Visitor, visit};
use crate::kernel::netns_life::{Effort, find_netns};
use crate::kernel::process::ProcessId;
use crate::ledger::claim::{Claim, Keeper, State};
use crate::operator::capture::CaptureSockets;

/// A VF in its container.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) link: Link,
    /// `None`: the kernel does not list packet sockets.
    pub(crate) sockets: Option<CaptureSockets>,
}

/// Looks into the namespace of each attached claim's container. `None`: the VF is not there, or its
/// namespace cannot be read. The result is keyed by the VF's PCI address.
pub(crate) fn look_inside<'a>(
    claims: impl Iterator<Item = &'a Claim> + Send,
) -> BTreeMap<String, Option<Inside>> {
    let looked = visit(|visitor| {
        let look = |claim: &Claim| {
            let Some(netns) = netns_of(claim) else {
                // A quick search does not find each namespace.
                return (claim.keeper() != Some(Keeper::Netns)).then(|| (claim.vf.clone(), None));
            };
            Some((claim.vf.clone(), look(visitor, &netns, claim).ok().flatten()))
        };
        Ok(claims.filter(|claim| has_netdev(claim)).filter_map(look).collect())
    });
    looked.unwrap_or_default()
}

/// The network namespace of a claim. `None`: its owner has ended. The containers of a pod may outlive
/// the pod's init process.
pub(crate) fn netns_of(claim: &Claim) -> Option<Netns> {
    let of_init = |init: ProcessId| {
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", init.pid))).ok()?;
        // The namespace is opened before the check: if the init process is alive now, the pid was not
        // reused before, and this is its namespace.
        (netns.id == claim.netns.id && init.is_alive()).then_some(netns)
    };
    let found = claim.init.and_then(of_init);
    match claim.init {
        Some(_) if claim.pod.is_none() => found,
        _ => found.or_else(|| find_netns(claim.netns, Effort::Quick).ok().flatten()),
    }
}

/// A VF that a program drives by vfio-pci has no netdev.
fn has_netdev(claim: &Claim) -> bool {
    claim.state == State::Attached && claim.iommu_group.is_none()
}

fn look(visitor: &Visitor, netns: &Netns, claim: &Claim) -> Result<Option<Inside>, Error> {
    visitor.enter(netns)?;
    let found = Netlink::open()?.link_by_name_or_pci(&claim.interface, &claim.vf)?;
    Ok(found.map(|link| {
        let sockets = packet_sockets().ok();
        let sockets = sockets.map(|sockets| CaptureSockets::on_link(&sockets, link.ifindex));
        Inside { link, sockets }
    }))
}

/// These tests need root.
#[cfg(test)]
mod in_a_netns {
    use super::*;
    use crate::kernel::netns_life::in_a_netns::process_in_new_netns;
    use crate::ledger::claim::tests::netns_claim;
    use crate::policy::pod::Pod;

    #[test]
    fn the_netns_of_a_pod_and_of_a_claim_without_init_process_is_found() {
        let (mut process, record) = process_in_new_netns();
        let by_netns = netns_claim("0000:01:10.0", record);
        let [namespace, name, sandbox] = ["acme", "sensor", "5a"].map(str::to_owned);
        let ended = Some(ProcessId { pid: i32::MAX, start_time: 1 });
        let of_container = Claim { init: ended, ..by_netns.clone() };
        let pod = Some(Pod { namespace, name, sandbox });
        let of_pod = Claim { pod, ..of_container.clone() };
        let running = ProcessId::of(process.id() as i32);
        let found = |claim: &Claim| netns_of(claim).map(|netns| netns.id);
        assert_eq!(found(&by_netns), Some(record.id));
        assert_eq!(found(&of_pod), Some(record.id), "a container of the pod runs");
        assert_eq!(found(&of_container), None);
        assert_eq!(found(&Claim { init: running, ..of_container }), Some(record.id));
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!((found(&by_netns), found(&of_pod)), (None, None));
    }
}
