//! `IFLA_VFINFO_LIST`: the settings and counters of a VF, as its PF reports them, and changes to
//! the settings.

use netlink_packet_route::link::{
    LinkVfInfo, VfInfo, VfInfoLinkState, VfInfoMac, VfInfoRate, VfInfoSpoofCheck, VfInfoTrust,
    VfInfoVlan, VfLinkState, VfStats, VfVlan, VfVlanInfo, VlanProtocol,
};

use crate::kernel::mac::MacAddress;
use crate::kernel::vf_settings::{Change, LinkState, Settings};
use crate::kernel::vlan::VlanProto;

/// The counters of `struct ifla_vf_stats` that runvf needs, in frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct VfCounters {
    pub(crate) received: u64,
    pub(crate) dropped: u64,
}

/// Returns the VF index and the counters. `None` if all counters are zero, because the kernel sends
/// zeros for a driver that does not count (`rtnl_fill_vfinfo`, `net/core/rtnetlink.c`).
pub(super) fn parse_counters(info: &LinkVfInfo) -> Option<(u32, VfCounters)> {
    let mut counters = VfCounters::default();
    let mut index = None;
    let mut nonzero = false;
    for attribute in &info.0 {
        match attribute {
            VfInfo::Vlan(vlan) => index = Some(vlan.vf_id),
            VfInfo::Stats(stats) => {
                for counter in stats {
                    match *counter {
                        VfStats::RxPackets(count) => counters.received = count,
                        VfStats::RxDropped(count) => counters.dropped = count,
                        VfStats::TxPackets(count) => nonzero |= count > 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    nonzero |= counters != VfCounters::default();
    Some((index?, counters)).filter(|_| nonzero)
}

/// Returns the VF index and the settings.
pub(super) fn parse_settings(info: &LinkVfInfo) -> Option<(u32, Settings)> {
    let mut settings = Settings::default();
    let mut index = None;
    for attribute in &info.0 {
        match attribute {
            VfInfo::Mac(mac) => {
                // The kernel's field has 32 bytes, for InfiniBand addresses.
                settings.mac = mac.mac.first_chunk().copied().map(MacAddress).unwrap_or_default();
            }
            VfInfo::Vlan(vlan) => {
                index = Some(vlan.vf_id);
                settings.vlan = vlan.vlan_id;
                settings.qos = vlan.qos;
            }
            VfInfo::VlanList(list) => {
                if let Some(VfVlan::Info(VfVlanInfo {
                    protocol: VlanProtocol::Ieee8021Ad, ..
                })) = list.first()
                {
                    settings.proto = VlanProto::Dot1Ad;
                }
            }
            VfInfo::Trust(trust) => settings.trust = trust.enabled,
            VfInfo::SpoofCheck(check) => settings.spoof_check = check.enabled,
            VfInfo::LinkState(link) => {
                settings.link_state = match link.state {
                    VfLinkState::Enable => LinkState::Enable,
                    VfLinkState::Disable => LinkState::Disable,
                    _ => LinkState::Auto,
                }
            }
            VfInfo::Rate(rate) => {
                settings.min_rate = rate.min_tx_rate;
                settings.max_rate = rate.max_tx_rate;
            }
            _ => {}
        }
    }
    Some((index?, settings))
}

/// Builds the attribute for one change.
pub(super) fn vf_info(vf: u32, change: &Change) -> VfInfo {
    match *change {
        Change::Mac(mac) => VfInfo::Mac(VfInfoMac::new(vf, &mac.0)),
        // Older attribute: a driver that supports only 802.1Q may ignore the protocol in the newer
        // attribute.
        Change::Vlan { vlan, qos, proto: VlanProto::Dot1Q } => {
            VfInfo::Vlan(VfInfoVlan::new(vf, vlan, qos))
        }
        Change::Vlan { vlan, qos, proto: VlanProto::Dot1Ad } => {
            VfInfo::VlanList(vec![VfVlan::Info(VfVlanInfo::new(
                vf,
                vlan,
                qos,
                VlanProtocol::Ieee8021Ad,
            ))])
        }
        Change::Trust(on) => VfInfo::Trust(VfInfoTrust::new(vf, on)),
        Change::SpoofCheck(on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(vf, on)),
        Change::LinkState(state) => VfInfo::LinkState(VfInfoLinkState::new(
            vf,
            match state {
                LinkState::Auto => VfLinkState::Auto,
                LinkState::Enable => VfLinkState::Enable,
                LinkState::Disable => VfLinkState::Disable,
            },
        )),
        Change::Rates { min, max } => VfInfo::Rate(VfInfoRate::new(vf, min, max)),
    }
}
