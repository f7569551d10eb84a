//! Scrub: bring a VF back to its clean state and verify it.
//!
//! The VF driver is unbound first, because this unregisters the netdev in any network namespace,
//! under any name and with any program attached (`unregister_netdevice`, `net/core/dev.c`). So
//! scrub need not find the namespace, and no bound VF driver answers the changes on the PF's side
//! with a reset. Binding the driver creates a new netdev in the host netns, which is down. A VF
//! that rests parked is not bound.
//!
//! The alternative is to find the netdev, move it to the host netns and revert each change. It
//! would have to know every change that a container can make to a netdev.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::mac::MacAddress;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{Change, LinkState, Settings};
use crate::ledger::claim::{Claim, State, VfSnapshot};
use crate::lifecycle::claim_lock::ClaimLock;
use crate::nic::create_vfs::wait_for_netdev;
use crate::nic::diff::changes;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::find_link::wait_for_link;
use crate::nic::netdev::{self, UDEV_TIMEOUT};
use crate::nic::pf::Pf;
use crate::nic::vf_config::{
    apply_changes, check_pci_address, converge, find_pf, read_settings, wait_for_reset,
};
use crate::policy::config::Scrub;

/// Between two reads of the VF's MAC.
const MAC_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Cleans the claim's VF and verifies that it reads back clean. `from` is the claim's state before
/// this release.
///
/// # Errors
/// The step that failed, or the setting that does not read back clean. The state of the VF is then
/// unknown.
pub(crate) fn scrub(
    sysfs: &Sysfs,
    claim: &Claim,
    from: &State,
    method: Scrub,
    lock: &mut ClaimLock<'_>,
) -> Result<(), Error> {
    // A VF that does not exist has no settings: the PF driver discards a VF's settings when it
    // destroys the VF, and creates the next one without them.
    if !sysfs.exists(&claim.vf) {
        return Ok(());
    }
    check_pci_address(sysfs, claim)?;
    let netlink = Netlink::open()?;
    // An error of this read is returned only after the unbind: the container must lose the VF
    // even if the PF cannot be read.
    let settings = find_pf(sysfs, claim).and_then(|pf| read_settings(&netlink, &pf, claim));
    unbind_locked(sysfs, claim, lock)?;
    let bound_mac = settings?.mac;
    let pf_driver = driver(sysfs.driver(&claim.pf).as_deref());
    remove_stale_override(sysfs, claim, from)?;
    if method == Scrub::Flr {
        sysfs.flr(&claim.vf)?;
        wait_for_reset(sysfs, &claim.pf);
    }
    let pf = find_pf(sysfs, claim)?;
    // udev or the container may have changed the netdev's MAC right before the unbind, and iavf
    // tells its PF later.
    let current_mac = read_settings(&netlink, &pf, claim)?.mac;
    let old_mac = if pf_driver.has_only_reported_mac() { current_mac } else { bound_mac };
    reset_mac(&netlink, &pf, claim, [old_mac, current_mac], pf_driver.has_only_reported_mac());
    converge(&netlink, &pf, claim, &clean_settings(claim))?;
    let netdev = match claim.before.driver {
        // The next attach binds it. Without `setup`, or after `setup --undo`, VFs are bound.
        _ if claim.park && !sysfs.autoprobes(&claim.vf) => None,
        Some(_) => Some(bind(sysfs, &netlink, claim)?),
        // The kernel binds VFs of this PF by itself. So if the VF had no driver when it was
        // claimed, the driver was still loading, or it is not installed.
        None if sysfs.autoprobes(&claim.vf) => {
            sysfs.probe(&claim.vf, None)?;
            let bound = sysfs.driver(&claim.vf);
            bound.map(|_| bind(sysfs, &netlink, claim)).transpose()?
        }
        None => None,
    };
    verify_clean_settings(&netlink, &pf, claim)?;
    verify_mac(&netlink, &pf, claim, netdev)
}

/// Unbinds the VF's driver, if it has one. Where the PF resets the VF after that, this and the wait
/// for the reset take most of a release, so the PF can serve other VFs meanwhile.
fn unbind_locked(sysfs: &Sysfs, claim: &Claim, lock: &mut ClaimLock<'_>) -> Result<(), Error> {
    let vf_driver = sysfs.driver(&claim.vf);
    let unbind = || vf_driver.as_deref().map_or(Ok(()), |it| sysfs.unbind(&claim.vf, it));
    if driver(sysfs.driver(&claim.pf).as_deref()).reset_time().is_zero() {
        return unbind();
    }
    lock.without_pf(|lock| {
        if vf_driver.is_some() {
            let _unbinding = lock.lock_unbind()?;
            unbind()?;
        }
        // Also without a driver, because a process that was killed may have unbound it right before.
        wait_for_reset(sysfs, &claim.pf);
        Ok(())
    })
}

/// Removes the `driver_override` of an attach or a release that was killed while [`Sysfs::probe`]
/// had it set. Every other value is the operator's and stays.
fn remove_stale_override(sysfs: &Sysfs, claim: &Claim, from: &State) -> Result<(), Error> {
    if may_have_set_override(from)
        && claim.before.driver_override.is_none()
        && !sysfs.autoprobes(&claim.vf)
        && let Some(vf_driver) = driver(sysfs.driver(&claim.pf).as_deref()).vf
        && sysfs.driver_override(&claim.vf).as_deref() == Some(vf_driver)
    {
        sysfs.set_driver_override(&claim.vf, "\n")?;
    }
    Ok(())
}

/// Whether runvf may have been killed, or have failed, while it was binding the VF driver.
fn may_have_set_override(state: &State) -> bool {
    matches!(state, State::Claiming | State::Releasing | State::Quarantined { .. })
}

/// Removes the container's MAC from the VF. [`verify_mac`] checks the result.
///
/// Assigning all zeros removes an assigned MAC. If the driver refuses zeros, the VF gets the MAC
/// that it had before the claim.
///
/// igb removes only a MAC that was assigned; it passes a MAC that the VF set by itself on to the
/// next VF driver. So a MAC is assigned first. It differs from the current MAC, because assigning
/// the current MAC changes nothing.
///
/// `macs`: what the PF reported before and after the unbind. `zeros_suffice`: the PF removes any
/// MAC if zeros are assigned. On i40e each change resets the VF, so only one is made there.
fn reset_mac(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    macs: [MacAddress; 2],
    zeros_suffice: bool,
) {
    let mac_before = claim.before.settings.mac;
    if !needs_mac_reset(claim, macs) {
        return;
    }
    let [_, current_mac] = macs;
    let none = MacAddress::default();
    let remove = || apply_changes(netlink, pf, claim, &[Change::Mac(none)]);
    let reads_none = || read_settings(netlink, pf, claim).is_ok_and(|have| have.mac == none);
    if zeros_suffice && remove().is_ok() && reads_none() {
        return;
    }
    let _ = apply_changes(netlink, pf, claim, &[Change::Mac(current_mac.different_local())]);
    if remove().is_err() {
        let _ = apply_changes(netlink, pf, claim, &[Change::Mac(mac_before)]);
    }
}

/// Whether the VF may have another MAC than before the claim.
fn needs_mac_reset(claim: &Claim, macs: [MacAddress; 2]) -> bool {
    let is_assigned = claim.want.mac != MacAddress::default();
    is_assigned || macs.iter().any(|mac| *mac != claim.before.settings.mac)
}

/// Binds the VF driver, and restores and verifies the new netdev. Returns its interface index.
fn bind(sysfs: &Sysfs, netlink: &Netlink, claim: &Claim) -> Result<u32, Error> {
    let Claim { vf, before: VfSnapshot { driver, netdev, .. }, .. } = claim;
    sysfs.probe(vf, driver.as_deref())?;
    let Link { ifindex, .. } = wait_for_netdev(sysfs, netlink, vf)?;
    let (_, fresh) = NetdevSettings::read(netlink, vf, ifindex)?;
    // A claim without a record of the netdev compares the new netdev with itself.
    let before = netdev.clone().unwrap_or(fresh);
    netdev::restore(netlink, vf, ifindex, &before)?;
    netdev::verify(netlink, vf, ifindex, &before, &claim.interface)?;
    Ok(ifindex)
}

/// The settings of a free VF: no VLAN, no trust, and the operator's spoof check and rates. They
/// contain no MAC, because the driver chooses it.
///
/// The link state `enable` is kept: the operator set it. `disable` becomes `auto`, because a
/// quarantine may have set it.
pub(super) fn clean_settings(claim: &Claim) -> Settings {
    let Settings { spoof_check, min_rate, max_rate, link_state, .. } = claim.before.settings;
    let link_state = match link_state {
        LinkState::Enable => LinkState::Enable,
        _ => LinkState::Auto,
    };
    Settings { spoof_check, min_rate, max_rate, link_state, ..Settings::default() }
}

/// Verifies every setting on the PF's side. An optional setting may also have its value from before
/// the claim, because some drivers do not support the setting.
fn verify_clean_settings(netlink: &Netlink, pf: &Pf, claim: &Claim) -> Result<(), Error> {
    let have = read_settings(netlink, pf, claim)?;
    let before = &claim.before.settings;
    for wanted in changes(&have, &clean_settings(claim)) {
        let found = wanted.value_in(&have);
        if !wanted.is_optional() || found != wanted.value_in(before) {
            return Err(Error::Nic(NicError::ReadbackDiffers {
                vf: claim.vf.clone(),
                pf: pf.name.clone(),
                wanted: wanted.to_string(),
                found: found.to_string(),
            }));
        }
    }
    Ok(())
}

/// Verifies that the VF no longer has a container's MAC.
///
/// The PF may report all zeros, the MAC that the VF had before the claim, or the new netdev's
/// current MAC. Every other MAC is a container's. The netdev's permanent MAC may not be the MAC
/// that the container asked for: the VF driver reads it from the PF.
///
/// udev may change the netdev's MAC at the same time (`MACAddressPolicy=persistent`,
/// `systemd.link(5)`), and the PF reports the change a moment later. So the MAC is read again until
/// [`UDEV_TIMEOUT`] is over.
fn verify_mac(netlink: &Netlink, pf: &Pf, claim: &Claim, netdev: Option<u32>) -> Result<(), Error> {
    let deadline = Instant::now() + UDEV_TIMEOUT;
    let clean_macs = [MacAddress::default(), claim.before.settings.mac];
    loop {
        let pf_mac = read_settings(netlink, pf, claim)?.mac;
        let link = match netdev {
            Some(ifindex) => wait_for_link(netlink, ifindex)?,
            None => None,
        };
        let permanent_mac = link.as_ref().map_or(pf_mac, |link| link.permanent_mac);
        let is_containers = permanent_mac.is_unicast() && permanent_mac == claim.want.mac;
        let netdev_mac = link.map(|link| link.mac);
        if !is_containers && (clean_macs.contains(&pf_mac) || netdev_mac == Some(pf_mac)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Kernel(KernelError::Dirty {
                vf: claim.vf.clone(),
                what: "still has a container's MAC",
            }));
        }
        thread::sleep(MAC_POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ledger::claim::tests::claim;

    #[test]
    fn only_an_override_of_an_interrupted_bind_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let claim = claim("0000:01:10.0", "n");
        let sysfs = Sysfs(root.path().to_owned());
        let (pf, vf) = (sysfs.pci_device(&claim.pf), sysfs.pci_device(&claim.vf));
        fs::create_dir_all(&pf).unwrap();
        fs::create_dir_all(&vf).unwrap();
        symlink("../../drivers/igb", pf.join("driver")).unwrap();
        symlink("../0000:01:00.0", vf.join("physfn")).unwrap();
        let is_kept = |autoprobe: &str, from: &State, driver: &str| {
            fs::write(pf.join("sriov_drivers_autoprobe"), autoprobe).unwrap();
            fs::write(vf.join("driver_override"), driver).unwrap();
            remove_stale_override(&sysfs, &claim, from).unwrap();
            fs::read_to_string(vf.join("driver_override")).unwrap() == driver
        };
        assert!(!is_kept("0", &State::Claiming, "igbvf"));
        assert!(!is_kept("0", &State::Releasing, "igbvf"));
        assert!(is_kept("0", &State::Attached, "igbvf"));
        assert!(is_kept("0", &State::Configured, "igbvf"));
        assert!(is_kept("1", &State::Claiming, "igbvf"));
        assert!(is_kept("0", &State::Claiming, "vfio-pci"));
    }

    /// iavf told its PF about udev's MAC after the PF was read.
    #[test]
    fn a_mac_that_shows_after_the_unbind_is_removed_too() {
        let (none, other) = (MacAddress::default(), MacAddress([2, 0, 0, 0, 0, 9]));
        let claim = claim("0000:01:10.0", "n");
        assert!(!needs_mac_reset(&claim, [none, none]));
        assert!(needs_mac_reset(&claim, [none, other]) && needs_mac_reset(&claim, [other, none]));
        let mut assigned = claim;
        assigned.want.mac = other;
        assert!(needs_mac_reset(&assigned, [none, none]));
    }

    #[test]
    fn clean_settings_keep_the_operators_settings_and_drop_those_of_a_quarantine() {
        let clean_after = |link_state| {
            let mut claim = claim("0000:01:10.0", "n");
            claim.before.settings =
                Settings { vlan: 7, trust: true, max_rate: 50, link_state, ..claim.want };
            clean_settings(&claim)
        };
        let kept = clean_after(LinkState::Enable);
        assert_eq!((kept.vlan, kept.trust, kept.max_rate), (0, false, 50));
        assert_eq!(kept.link_state, LinkState::Enable);
        assert_eq!(clean_after(LinkState::Disable).link_state, LinkState::Auto);
    }
}
