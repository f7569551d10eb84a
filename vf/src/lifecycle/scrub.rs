//! A VF made clean, and proven so.
//!
//! The VF driver is unbound first. That unregisters the netdev in whatever namespace, under whatever name, with whatever
//! program on it (`unregister_netdevice`, `net/core/dev.c`), so the namespace need not be found; and what is then set on
//! the PF's side meets no driver that would answer with a reset. Binding makes a new netdev, in the host's namespace, DOWN.
//! The alternative, to find the netdev, move it home and take back one by one what a container may have done to it, has
//! to know everything that can be done to a netdev.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::mac::MacAddress;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{Change, LinkState, Settings};
use crate::ledger::claim::{Before, Claim};
use crate::nic::create_vfs::wait_for_netdev;
use crate::nic::diff::changes;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::netdev::{self, UDEV_TIMEOUT};
use crate::nic::pf::Pf;
use crate::nic::vf_config::{await_reset, check_pci_address, converge, pf_of, read, set, unbind};
use crate::policy::config::Scrub;

/// # Errors
/// Whatever kept the VF from being cleaned or from reading back clean. It is in an unknown state then.
pub(crate) fn scrub(sysfs: &Sysfs, claim: &Claim, how: Scrub) -> Result<(), Error> {
    // Without a VF there is nothing set on it: the PF's driver forgets a VF's settings when it makes it anew.
    if !sysfs.exists(&claim.vf) {
        return Ok(());
    }
    check_pci_address(sysfs, claim)?;
    let netlink = Netlink::open()?;
    // Whatever keeps it from being read, the container loses the VF.
    let current_mac = pf_of(sysfs, claim).and_then(|pf| read(&netlink, &pf, claim));
    if let Some(driver) = sysfs.driver(&claim.vf) {
        unbind(sysfs, &claim.pf, &claim.vf, &driver)?;
    }
    let current_mac = current_mac?.mac;
    if claim.before.driver_override.is_none()
        && let Some(usual) = driver(sysfs.driver(&claim.pf).as_deref()).vf
        && sysfs.driver_override(&claim.vf).as_deref() == Some(usual)
    {
        // An attach was cut short while it had named the driver to bind; see `Sysfs::probe`.
        sysfs.name_driver(&claim.vf, "\n")?;
    }
    if how == Scrub::Flr {
        sysfs.flr(&claim.vf)?;
        await_reset(sysfs, &claim.pf);
    }
    let pf = pf_of(sysfs, claim)?;
    take_address_back(&netlink, &pf, claim, current_mac);
    converge(&netlink, &pf, claim, &clean(claim))?;
    let netdev = match claim.before.driver {
        Some(_) => Some(bind(sysfs, &netlink, claim)?),
        // Where the kernel binds VFs by itself, a driver that was not there was only late, or is not installed.
        None if sysfs.autoprobes(&claim.vf) => {
            sysfs.probe(&claim.vf, None)?;
            let bound = sysfs.driver(&claim.vf);
            bound.map(|_| bind(sysfs, &netlink, claim)).transpose()?
        }
        None => None,
    };
    verify(&netlink, &pf, claim)?;
    verify_address(&netlink, &pf, claim, netdev)
}

/// All zeros takes an assigned address back; a driver that refuses gets the one it had. What came of it is [`verify_address`]'s to
/// say. igb takes back only what was assigned, and hands on to the next driver what a VF gave itself: so that is assigned first, or
/// rather another, since the same would be no change.
fn take_address_back(netlink: &Netlink, pf: &Pf, claim: &Claim, current_mac: MacAddress) {
    let before = claim.before.settings.mac;
    if claim.want.mac == MacAddress::default() && current_mac == before {
        return;
    }
    let _ = set(netlink, pf, claim, &[Change::Mac(current_mac.another())]);
    if set(netlink, pf, claim, &[Change::Mac(MacAddress::default())]).is_err() {
        let _ = set(netlink, pf, claim, &[Change::Mac(before)]);
    }
}

/// The index of the new netdev.
fn bind(sysfs: &Sysfs, netlink: &Netlink, claim: &Claim) -> Result<u32, Error> {
    let Claim { vf, before: Before { driver, netdev, .. }, .. } = claim;
    sysfs.probe(vf, driver.as_deref())?;
    let (_, ifindex) = wait_for_netdev(sysfs, vf)?;
    let (_, fresh) = NetdevSettings::read(netlink, vf, ifindex)?;
    // A claim that never saw the netdev has nothing to compare the fresh one with but itself.
    let before = netdev.clone().unwrap_or(fresh);
    netdev::restore(netlink, vf, ifindex, &before)?;
    netdev::verify(netlink, vf, ifindex, &before, &claim.interface)?;
    Ok(ifindex)
}

/// What a free VF looks like, whoever had it. Its address is the driver's business. A link that an operator keeps up whatever the wire
/// does stays so; one that is down may be what a quarantine has left.
fn clean(claim: &Claim) -> Settings {
    let Settings { spoof_check, min_rate, max_rate, link_state, .. } = claim.before.settings;
    let link_state = match link_state {
        LinkState::Enable => LinkState::Enable,
        _ => LinkState::Auto,
    };
    Settings { spoof_check, min_rate, max_rate, link_state, ..Settings::default() }
}

/// Every setting of the PF's side, those included that some drivers do not have: such a one has not changed.
fn verify(netlink: &Netlink, pf: &Pf, claim: &Claim) -> Result<(), Error> {
    let have = read(netlink, pf, claim)?;
    let before = &claim.before.settings;
    for wanted in changes(&have, &clean(claim)) {
        let found = wanted.as_in(&have);
        if !wanted.is_optional() || found != wanted.as_in(before) {
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

/// Unassigned, assigned by the operator, or the new netdev's own: any other address is a container's. So is the netdev's if its
/// driver found it with the PF. It may change under our eyes to one that this VF had before, by udev (`MACAddressPolicy=persistent`,
/// `systemd.link(5)`), and the PF's follows it a moment later.
fn verify_address(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    netdev: Option<u32>,
) -> Result<(), Error> {
    let deadline = Instant::now() + UDEV_TIMEOUT;
    let known = [MacAddress::default(), claim.before.settings.mac];
    loop {
        let have = read(netlink, pf, claim)?.mac;
        let link = match netdev {
            Some(ifindex) => netlink.link(ifindex)?,
            None => None,
        };
        let found = link.as_ref().map_or(have, |link| link.permanent);
        let theirs = found.is_unicast() && found == claim.want.mac;
        let own = link.map(|link| link.mac);
        if !theirs && (known.contains(&have) || own == Some(have)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(dirty(claim, "still has a container's MAC"));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn dirty(claim: &Claim, what: &'static str) -> Error {
    Error::Kernel(KernelError::Dirty { vf: claim.vf.clone(), what })
}

/// As [`disarm`], for a VF in quarantine that may have been armed since, or was not disarmed because the kernel hung. By now it does
/// not: whoever hangs in it has the PF's lock, too.
pub(crate) fn disarm_again(sysfs: &Sysfs, claim: &Claim) {
    // Nobody waits for the settings of one that vanished.
    if check_pci_address(sysfs, claim).is_err() {
        return;
    }
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), pf_of(sysfs, claim)) else { return };
    if read(&netlink, &pf, claim).is_ok_and(|have| have.vlan != 0 || have.trust) {
        let _ = disarm(sysfs, claim);
    }
}

/// The most that can be done for a VF that cannot be cleaned: it shall see nothing and be believed nothing. What it has all the
/// same, if anything.
pub(crate) fn disarm(sysfs: &Sysfs, claim: &Claim) -> Option<String> {
    // A VF that is not there sees nothing.
    check_pci_address(sysfs, claim).ok()?;
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), pf_of(sysfs, claim)) else {
        return Some("what it had, for its PF is gone".to_owned());
    };
    let vlan = Change::Vlan { vlan: 0, qos: 0, proto: crate::kernel::vlan::VlanProto::Dot1Q };
    let taken = match sysfs.driver(&claim.vf) {
        // It may be up in a namespace that lives on.
        Some(driver) if sysfs.netdevs_or_empty(&claim.vf).is_empty() => {
            match unbind(sysfs, &claim.pf, &claim.vf, &driver) {
                Err(Error::Kernel(KernelError::Timeout { .. })) => {
                    return Some("what it had, for its driver hangs".to_owned());
                }
                unbound => unbound.is_ok(),
            }
        }
        _ => true,
    };
    // Without its VLAN, one that could not be taken away would see the untagged LAN.
    for change in [Change::LinkState(LinkState::Disable), Change::Trust(false)]
        .into_iter()
        .chain(taken.then_some(vlan))
    {
        // Each on its own, because one that fails must not keep the next.
        let _ = set(&netlink, &pf, claim, &[change]);
    }
    let Ok(have) = read(&netlink, &pf, claim) else {
        return Some("what it had, for all its PF says".to_owned());
    };
    let left: Vec<_> = changes(&have, &Settings { link_state: have.link_state, ..clean(claim) })
        .iter()
        .filter(|change| !change.is_optional())
        .map(|change| change.as_in(&have).to_string())
        .collect();
    (!left.is_empty()).then(|| left.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::claim::tests::claim;

    #[test]
    fn a_clean_vf_has_what_its_operator_set_and_nothing_of_a_quarantine() {
        let clean_after = |link_state| {
            let mut claim = claim("0000:01:10.0", "n");
            claim.before.settings =
                Settings { vlan: 7, trust: true, max_rate: 50, link_state, ..claim.want };
            clean(&claim)
        };
        let kept = clean_after(LinkState::Enable);
        assert_eq!((kept.vlan, kept.trust, kept.max_rate), (0, false, 50));
        assert_eq!(kept.link_state, LinkState::Enable);
        assert_eq!(clean_after(LinkState::Disable).link_state, LinkState::Auto);
    }
}
