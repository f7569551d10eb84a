//! Ownership check: is the claim's VF still used by its container, or is it foreign?
//!
//! The claim alone does not prove ownership. It may be wrong (for example restored from a backup),
//! the VF may have been destroyed, created again and taken by another tool, or the container may
//! have moved the netdev to another network namespace.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::process::{ProcessId, boot_id, is_in_cgroup_of};
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, State};
use crate::nic::diff::changed_outside_runvf;
use crate::nic::driver::driver;
use crate::nic::find_link::find_link;
use crate::nic::locate::{Location, OtherNetns, locate};
use crate::nic::vf_config::{check_pci_address, find_pf, read_settings};
use crate::nic::vfio;

/// Between two checks whether the processes have left a network namespace.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Returns why the VF is foreign, or `None` if it still belongs to the claim's container.
///
/// Processes in the VF's network namespace may be exiting, so the check is repeated until
/// `exit_timeout` is over.
///
/// # Errors
/// When the PF or the VF's network namespace cannot be inspected.
pub(crate) fn foreign_owner(
    sysfs: &Sysfs,
    claim: &Claim,
    exit_timeout: Duration,
) -> Result<Option<String>, Error> {
    if vfio::is_bound(sysfs, claim) {
        // The program may be that of another tool, if the claim is wrong.
        let is_closed = vfio::wait_until_closed(claim, Instant::now() + exit_timeout)?;
        let reason = || "a program has the device node of its IOMMU group open".to_owned();
        return Ok((!is_closed).then(reason));
    }
    if let Some(reason) = claimed_in_host_netns(sysfs, claim)? {
        return Ok(Some(reason));
    }
    let deadline = Instant::now() + exit_timeout;
    loop {
        let Location::OtherNetns(other) = locate(sysfs, claim)? else {
            return Ok(None);
        };
        match foreign_netns(sysfs, claim, &other)? {
            None => return Ok(None),
            Some(reason) if Instant::now() >= deadline => return Ok(Some(reason)),
            Some(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Returns why the VF's network namespace is foreign, or `None` if the VF still belongs to the
/// claim's container.
///
/// The namespace belongs to the container if the attach moved the VF there, or if a process in the
/// container's cgroup uses it, because the container may have moved the VF on. (Where the owner is a
/// namespace, runvf knows no cgroup of the container.) A namespace without
/// processes (`ip netns` creates such a namespace) says nothing about the owner. There the PF
/// decides: while it reports the claim's VLAN and trust, no other tool has taken the VF.
///
/// # Errors
/// When the PF cannot be read.
pub(crate) fn foreign_netns(
    sysfs: &Sysfs,
    claim: &Claim,
    other: &OtherNetns,
) -> Result<Option<String>, Error> {
    if other.cookie == claim.netns.cookie && claim.boot_id == boot_id()? {
        return Ok(None);
    }
    let mut keepers = other.processes.iter().chain(&other.holders);
    if let Some(init) = claim.init.filter(|init| init.is_alive())
        && keepers.any(|pid| is_in_cgroup_of(init.pid, *pid))
    {
        return Ok(None);
    }
    let name = &other.name;
    if let Some(pid) = other.processes.iter().find(|pid| ProcessId::of(**pid).is_some()) {
        return Ok(Some(format!(
            "its interface `{name}` is in the network namespace of process {pid}, \
             which does not belong to its container"
        )));
    }
    check_pci_address(sysfs, claim)?;
    let have = read_settings(&Netlink::open()?, &find_pf(sysfs, claim)?, claim)?;
    Ok(changed_outside_runvf(&have, &claim.want).map(|difference| {
        format!(
            "its interface `{name}` is in a network namespace that does not belong to its \
             container, and the VF's settings have changed: {difference}"
        )
    }))
}

/// Returns why a VF with its netdev in the host netns is foreign. It is foreign if
///
/// - it is bound to a driver that runvf would not bind (vfio-pci), or
/// - its netdev is up on a VLAN that is neither the claim's nor 0 (0 is left by a scrub), or
/// - its netdev has a master, and the PF no longer reports the claim's VLAN and trust, or the VF is
///   lost.
///
/// A netdev that is only up or has an address is not foreign, because a network manager does this
/// to every netdev that returns to the host netns. It may also enslave the netdev, so a master does
/// not count while the PF still reports the claim's VLAN and trust.
fn claimed_in_host_netns(sysfs: &Sysfs, claim: &Claim) -> Result<Option<String>, Error> {
    if let Some(bound) = sysfs.driver(&claim.vf)
        && is_foreign_driver(sysfs, claim, &bound)
    {
        return Ok(Some(format!("it is bound to the driver {bound}")));
    }
    let netlink = Netlink::open()?;
    let found = find_link(sysfs, &netlink, &claim.vf)?;
    let Some(link) = found.filter(|link| link.master || link.flags.up) else {
        return Ok(None);
    };
    let name = &link.name;
    let have = check_pci_address(sysfs, claim)
        .and_then(|()| read_settings(&netlink, &find_pf(sysfs, claim)?, claim))
        .ok();
    let foreign_vlan =
        have.map(|have| have.vlan).filter(|vlan| *vlan != 0 && *vlan != claim.want.vlan);
    if let (true, Some(vlan)) = (link.flags.up, foreign_vlan) {
        return Ok(Some(format!(
            "its interface `{name}` is up in the host network namespace on VLAN {vlan}"
        )));
    }
    let is_unchanged = have.is_some_and(|have| changed_outside_runvf(&have, &claim.want).is_none());
    let is_lost = matches!(claim.state, State::Lost { .. });
    let is_foreign = link.master && (!is_unchanged || is_lost);
    Ok(is_foreign
        .then(|| format!("its interface `{name}` has a master in the host network namespace")))
}

/// Whether runvf would not have bound this driver. If neither the PF's usual VF driver nor the
/// driver before the claim is known, runvf bound the driver that the kernel chose, so every driver
/// counts as runvf's.
fn is_foreign_driver(sysfs: &Sysfs, claim: &Claim, bound: &str) -> bool {
    let usual = driver(sysfs.driver(&claim.pf).as_deref()).vf;
    let before = claim.before.driver.as_deref();
    let is_expected = usual == Some(bound) || before == Some(bound);
    !is_expected && (usual.is_some() || before.is_some())
}
