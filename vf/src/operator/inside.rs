//! What is read in the network namespaces of the containers: the netdev of each VF, and the sockets
//! that capture its frames.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::kernel::netlink::{Link, Netlink, packet_sockets};
use crate::kernel::netns::{Netns, Visitor, visit};
use crate::ledger::claim::{Claim, State};
use crate::operator::capture::CaptureSockets;

/// A VF in its container.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) link: Link,
    /// `None`: the kernel does not list packet sockets.
    pub(crate) sockets: Option<CaptureSockets>,
}

/// Looks into the namespace of each attached claim's init process. `None`: the VF is not there, or
/// its namespace cannot be read. The result is keyed by the VF's PCI address.
pub(crate) fn look_inside<'a>(
    claims: impl Iterator<Item = &'a Claim> + Send,
) -> BTreeMap<String, Option<Inside>> {
    let looked = visit(|visitor| {
        let look = |claim: &Claim| (claim.vf.clone(), look(visitor, claim).ok().flatten());
        Ok(claims.filter(|claim| claim.state == State::Attached).map(look).collect())
    });
    looked.unwrap_or_default()
}

fn look(visitor: &Visitor, claim: &Claim) -> Result<Option<Inside>, Error> {
    let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", claim.init.pid)))?;
    // The namespace is opened before the check: if the init process is alive now, the pid was not
    // reused before, and this is its namespace.
    if netns.id != claim.netns.id || !claim.init.is_alive() {
        return Ok(None);
    }
    visitor.enter(&netns)?;
    let found = Netlink::open()?.link_by_name_or_pci(&claim.interface, &claim.vf)?;
    Ok(found.map(|link| {
        let sockets = packet_sockets().ok();
        let sockets = sockets.map(|sockets| CaptureSockets::on_link(&sockets, link.ifindex));
        Inside { link, sockets }
    }))
}
