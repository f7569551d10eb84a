//! `IFLA_VFINFO_LIST`: a VF's settings as its PF tells and takes them, and what it counts.

use netlink_packet_route::link::{
    LinkVfInfo, VfInfo, VfInfoLinkState, VfInfoMac, VfInfoRate, VfInfoSpoofCheck, VfInfoTrust,
    VfInfoVlan, VfLinkState, VfStats, VfVlan, VfVlanInfo, VlanProtocol,
};

use crate::kernel::mac::MacAddress;
use crate::kernel::vf_settings::{Change, LinkState, Settings};
use crate::kernel::vlan::VlanProto;

/// `struct ifla_vf_stats`, as far as runvf looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct VfCounts {
    pub(crate) received: u64,
    pub(crate) dropped: u64,
}

/// `None` where all is zero: so the kernel answers for a driver that does not count (`rtnl_fill_vfinfo`, `net/core/rtnetlink.c`).
pub(super) fn counts(info: &LinkVfInfo) -> Option<(u32, VfCounts)> {
    let mut counts = VfCounts::default();
    let mut index = None;
    let mut any = false;
    for attribute in &info.0 {
        match attribute {
            VfInfo::Vlan(vlan) => index = Some(vlan.vf_id),
            VfInfo::Stats(stats) => {
                for one in stats {
                    match *one {
                        VfStats::RxPackets(count) => counts.received = count,
                        VfStats::RxDropped(count) => counts.dropped = count,
                        VfStats::TxPackets(count) => any |= count > 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    any |= counts != VfCounts::default();
    Some((index?, counts)).filter(|_| any)
}

pub(super) fn settings(info: &LinkVfInfo) -> Option<(u32, Settings)> {
    let mut settings = Settings::default();
    let mut index = None;
    for attribute in &info.0 {
        match attribute {
            VfInfo::Mac(mac) => {
                // The kernel's field has room for InfiniBand's 32 octets.
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

pub(super) fn vf_info(vf: u32, change: &Change) -> VfInfo {
    match *change {
        Change::Mac(mac) => VfInfo::Mac(VfInfoMac::new(vf, &mac.0)),
        // A driver that knows only 802.1Q may not look at the newer attribute's protocol at all.
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
