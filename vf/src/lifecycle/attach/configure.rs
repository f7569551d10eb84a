//! Configuration of a claimed VF: its state before the claim, its wanted settings, and the changes.

use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{LinkState, Settings};
use crate::ledger::claim::{Claim, VfSnapshot};
use crate::nic::diff::changes;
use crate::nic::driver::driver;
use crate::nic::free_vfs::FreeVf;
use crate::nic::pf::Pf;
use crate::nic::vf_config::{converge_from, read_settings, unbind};
use crate::policy::request::Interface;

/// Reads the state of a free VF. The release restores this state.
pub(crate) fn take_snapshot(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &FreeVf,
) -> Result<VfSnapshot, Error> {
    let netdev = match &vf.link {
        Some(link) => Some(NetdevSettings::read_once_named(netlink, &vf.pci, link)?),
        None => None,
    };
    Ok(VfSnapshot {
        driver: vf.driver.clone(),
        driver_override: sysfs.driver_override(&vf.pci),
        settings: vf.settings,
        netdev,
    })
}

/// Configures a VF on the PF's side as its new claim wants it. The caller still has the PF's lock
/// under which the VF was found free.
pub(crate) fn configure(
    sysfs: &Sysfs,
    netlink: &Netlink,
    pf: &Pf,
    vf: &FreeVf,
    claim: &Claim,
) -> Result<(), Error> {
    let pf_driver = driver(sysfs.driver(&pf.pci).as_deref());
    let is_unchanged = changes(&vf.settings, &claim.want).is_empty();
    let assigns_mac = claim.want.mac != MacAddress::default();
    // The driver is unbound first where a change resets a bound VF. Then `unbind` waits for the
    // reset that follows, because i40e would not apply a new trust during it. A parked VF needs
    // neither. The driver is also unbound for an assigned MAC, because the VF driver reads the MAC
    // when it binds (igb: "Reload the VF driver").
    let have = match &vf.driver {
        Some(driver) if assigns_mac || pf_driver.config_resets_vf && !is_unchanged => {
            unbind(sysfs, &pf.pci, &vf.pci, driver)?;
            read_settings(netlink, pf, claim)?
        }
        // These settings were read a moment ago, under the same lock.
        _ => vf.settings,
    };
    converge_from(netlink, pf, claim, &have, &claim.want)
}

/// Binds the driver of a configured VF, unless it has one. The driver may create the netdev later.
/// The caller has the VF's lock, because a release may free the VF at the same time.
pub(crate) fn bind_driver(sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    if sysfs.driver(&claim.vf).is_some() {
        return Ok(());
    }
    let usual = driver(sysfs.driver(&claim.pf).as_deref()).vf;
    sysfs.probe(&claim.vf, claim.before.driver.as_deref().or(usual))
}

/// The settings on the PF's side for this interface. `have` are the settings of the free VF.
pub(crate) fn wanted_settings(have: &Settings, interface: &Interface) -> Settings {
    let mac = interface.mac.unwrap_or_default();
    Settings {
        vlan: interface.vlan.into(),
        qos: interface.qos.into(),
        proto: interface.proto,
        trust: true,
        // A sensor has no reason to send from another MAC, so the spoof check is on. For a VF
        // without a MAC the spoof check is not changed: mlx5 would have no MAC to compare with, and
        // would drop every frame that the VF sends.
        spoof_check: have.spoof_check || mac.is_unicast() || have.mac.is_unicast(),
        link_state: match have.link_state {
            LinkState::Disable => LinkState::Auto,
            other => other,
        },
        mac,
        // The operator may have set the rates.
        min_rate: have.min_rate,
        max_rate: have.max_rate,
    }
}
