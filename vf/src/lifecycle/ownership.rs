//! Whose a VF is that a claim names: the record may be wrong (restored from a copy, say), the VF may have been made again and taken by
//! somebody else, and its container may have handed its interface on.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::process::{ProcessId, boot_id, is_with};
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, State};
use crate::nic::diff::tampered;
use crate::nic::driver::driver;
use crate::nic::locate::{Location, OtherNetns, locate};
use crate::nic::vf_config::check_pci_address;
use crate::nic::vf_config::{pf_of, read};

/// Between two looks for processes that are leaving a namespace.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Whether another than the claim's container works with the VF, and why that is thought. `exit_timeout` is how long it may take for foreign_netns
/// to leave its namespace.
pub(crate) fn foreign_owner(
    sysfs: &Sysfs,
    claim: &Claim,
    exit_timeout: Duration,
) -> Result<Option<String>, Error> {
    if let Some(why) = claimed_in_host_netns(sysfs, claim)? {
        return Ok(Some(why));
    }
    let deadline = Instant::now() + exit_timeout;
    loop {
        let Location::OtherNetns(other) = locate(sysfs, &claim.vf, claim.netns.id)? else {
            return Ok(None);
        };
        match foreign_netns(sysfs, claim, &other)? {
            None => return Ok(None),
            Some(why) if Instant::now() >= deadline => return Ok(Some(why)),
            Some(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Whether a claim's VF is in a network namespace of others than its container. That is so neither in the namespace into which it was
/// moved, nor in one that the container has moved it on to. Where nobody lives, as in one that `ip netns` has made, the PF's word
/// decides: nobody has taken a VF that still is on its claim's VLAN.
///
/// # Errors
/// When the PF cannot be asked.
pub(crate) fn foreign_netns(
    sysfs: &Sysfs,
    claim: &Claim,
    other: &OtherNetns,
) -> Result<Option<String>, Error> {
    if other.cookie == claim.netns.cookie && claim.boot_id == boot_id()? {
        return Ok(None);
    }
    let init = claim.init;
    let mut keepers = other.processes.iter().chain(&other.holders);
    if init.is_alive() && keepers.any(|pid| is_with(init.pid, *pid)) {
        return Ok(None);
    }
    let name = &other.name;
    if let Some(pid) = other.processes.iter().find(|pid| ProcessId::of(**pid).is_some()) {
        return Ok(Some(format!(
            "its interface `{name}` is in the network namespace of process {pid}, which is not its container's"
        )));
    }
    check_pci_address(sysfs, claim)?;
    let have = read(&Netlink::open()?, &pf_of(sysfs, claim)?, claim)?;
    Ok(tampered(&have, &claim.want).map(|what| {
        format!(
            "its interface `{name}` is in a network namespace that is not its container's, and its PF has {what}"
        )
    }))
}

/// A driver that runvf would not have bound (vfio), or an interface that somebody in the host's namespace made part of something or uses
/// on another VLAN. One that is merely up or has an address says nothing: a network manager does that to whatever comes home. Nor does a
/// master, as long as the PF has what the claim wants: nobody has taken this VF but in the way in which things that come home are taken.
fn claimed_in_host_netns(sysfs: &Sysfs, claim: &Claim) -> Result<Option<String>, Error> {
    if let Some(bound) = sysfs.driver(&claim.vf) {
        let usual = driver(sysfs.driver(&claim.pf).as_deref()).vf;
        let ours = usual == Some(bound.as_str()) || claim.before.driver.as_ref() == Some(&bound);
        // Where nobody knows the usual one, whatever an attach has bound is.
        if !ours && (usual.is_some() || claim.before.driver.is_some()) {
            return Ok(Some(format!("it has the driver {bound} now")));
        }
    }
    let Some((name, ifindex)) = sysfs.netdevs_or_empty(&claim.vf).into_iter().next() else {
        return Ok(None);
    };
    let netlink = Netlink::open()?;
    let Some(link) = netlink.link(ifindex)?.filter(|link| link.master || link.flags.up) else {
        return Ok(None);
    };
    let have = check_pci_address(sysfs, claim)
        .and_then(|()| read(&netlink, &pf_of(sysfs, claim)?, claim))
        .ok();
    // Neither the claim's nor what a cleaning leaves.
    let others = have.filter(|have| have.vlan != 0 && have.vlan != claim.want.vlan);
    if let (true, Some(have)) = (link.flags.up, others) {
        let vlan = have.vlan;
        return Ok(Some(format!("its interface `{name}` is up in the host, on VLAN {vlan}")));
    }
    let armed = have.is_some_and(|have| tampered(&have, &claim.want).is_none());
    let ours = !link.master || armed && !matches!(claim.state, State::Lost { .. });
    Ok((!ours).then(|| format!("its interface `{name}` has a master in the host")))
}
