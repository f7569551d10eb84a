//! Facts about PFs that no file contains: they come from netlink, ethtool and devlink.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::{devlink, ethtool};
use crate::nic::driver::{PromiscNeeds, driver};
use crate::nic::pf::Pf;
use crate::nic::promisc::{TrueFlag, read_true_flag};

/// Keyed by the name of the PF's netdev.
pub(super) type Facts = BTreeMap<String, PfFacts>;

/// A value that the kernel does not report is `None` or the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PfFacts {
    pub(super) up: bool,
    pub(super) carrier: bool,
    pub(super) promisc: bool,
    pub(super) mtu: u32,
    pub(super) version: String,
    pub(super) firmware: String,
    /// Large receive offload.
    pub(super) lro: Option<bool>,
    pub(super) true_flag: Option<TrueFlag>,
    /// The number of its VFs that read back as trusted.
    pub(super) trusted: usize,
    /// The mode of the card's embedded switch.
    pub(super) eswitch: Option<String>,
}

pub(super) fn gather(sysfs: &Sysfs) -> Facts {
    let Ok(netlink) = Netlink::open() else { return Facts::new() };
    let pfs = sysfs.sriov_netdevs().into_iter().filter_map(|(pci, _)| Pf::at(sysfs, &pci).ok());
    pfs.filter_map(|pf| Some((pf.name.clone(), facts_of(sysfs, &netlink, &pf)?))).collect()
}

fn facts_of(sysfs: &Sysfs, netlink: &Netlink, pf: &Pf) -> Option<PfFacts> {
    let link = netlink.link(pf.ifindex).ok()??;
    let vfs = netlink.vf_settings(&pf.name, pf.ifindex).unwrap_or_default();
    let info = ethtool::driver_info(&pf.name).ok();
    let promisc_needs = driver(sysfs.driver(&pf.pci).as_deref()).promisc;
    Some(PfFacts {
        up: link.flags.up,
        carrier: link.carrier,
        promisc: link.flags.promisc,
        mtu: link.mtu,
        version: info.as_ref().map(|info| info.version.clone()).unwrap_or_default(),
        firmware: info.map(|info| info.firmware).unwrap_or_default(),
        lro: ethtool::lro(&pf.name),
        true_flag: match promisc_needs {
            PromiscNeeds::TrueFlag => read_true_flag(sysfs, &pf.pci).ok().flatten(),
            _ => None,
        },
        trusted: vfs.values().filter(|settings| settings.trust).count(),
        eswitch: devlink::eswitch_mode(&pf.pci).ok(),
    })
}
