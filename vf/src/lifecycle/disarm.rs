//! Disarm: take the VLAN, the trust and the link from a VF that cannot be cleaned.
//!
//! A VF in quarantine must receive no traffic and must not be trusted.

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{Change, LinkState, Settings};
use crate::kernel::vlan::VlanProto;
use crate::ledger::claim::Claim;
use crate::lifecycle::scrub::clean_settings;
use crate::nic::diff::changes;
use crate::nic::vf_config::{apply_changes, check_pci_address, find_pf, read_settings, unbind};

/// Disarms the claim's VF as far as possible. Returns what the VF still has or may still have.
pub(crate) fn disarm(sysfs: &Sysfs, claim: &Claim) -> Option<String> {
    // A VF that does not exist receives nothing.
    check_pci_address(sysfs, claim).ok()?;
    let may_have = |why: &str| Some(format!("it may still have its VLAN and trust: {why}"));
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), find_pf(sysfs, claim)) else {
        return may_have("its PF cannot be reached");
    };
    let remove_vlan = Change::Vlan { vlan: 0, qos: 0, proto: VlanProto::Dot1Q };
    let is_out_of_use = match sysfs.driver(&claim.vf) {
        // The VF has a driver but no netdev in the host netns, so its netdev may be up in the
        // network namespace of a container.
        Some(driver) if sysfs.netdevs_or_empty(&claim.vf).is_empty() => {
            match unbind(sysfs, &claim.pf, &claim.vf, &driver) {
                Err(Error::Kernel(KernelError::Timeout { .. })) => {
                    return may_have("its driver hangs");
                }
                unbound => unbound.is_ok(),
            }
        }
        _ => true,
    };
    // A VF that could not be unbound keeps its VLAN, because without it the container would
    // receive the untagged LAN.
    for change in [Change::LinkState(LinkState::Disable), Change::Trust(false)]
        .into_iter()
        .chain(is_out_of_use.then_some(remove_vlan))
    {
        // One message for each change, because the kernel stops at the first change that fails.
        let _ = apply_changes(&netlink, &pf, claim, &[change]);
    }
    let Ok(have) = read_settings(&netlink, &pf, claim) else {
        return may_have("its PF does not report its settings");
    };
    let disarmed = Settings { link_state: have.link_state, ..clean_settings(claim) };
    let remaining: Vec<_> = changes(&have, &disarmed)
        .iter()
        .filter(|change| !change.is_optional())
        .map(|change| change.value_in(&have).to_string())
        .collect();
    (!remaining.is_empty()).then(|| format!("it still has {}", remaining.join(", ")))
}

/// Disarms a VF in quarantine that has a VLAN or trust. Another tool may have set them since, or
/// [`disarm`] was not called because a write to the kernel had hung. That write is over now: the
/// writer inherits the PF's lock, and the caller has this lock.
pub(crate) fn disarm_if_armed(sysfs: &Sysfs, claim: &Claim) {
    // `read_settings` below would wait for a VF that does not exist.
    if check_pci_address(sysfs, claim).is_err() {
        return;
    }
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), find_pf(sysfs, claim)) else { return };
    if read_settings(&netlink, &pf, claim).is_ok_and(|have| have.vlan != 0 || have.trust) {
        let _ = disarm(sysfs, claim);
    }
}
