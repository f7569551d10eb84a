//! The keys and values of the configuration file.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::capture::{Interrupts, Offloads, Placement};
use super::figure::Figure;
use super::vlans::VlanRange;
use crate::kernel::vlan::VlanProto;
use crate::policy::transmit::Transmit;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(rename = "pool", default)]
    pub pools: Vec<Pool>,
    /// Empty: any container may have any VLAN.
    #[serde(rename = "tenant", default)]
    pub tenants: Vec<Tenant>,
    /// Present only so that serde accepts the key: `config/defaults.rs` has copied the values into
    /// the pools already.
    #[serde(rename = "defaults", default, skip_serializing)]
    _defaults: BTreeMap<String, IgnoredAny>,
}

/// A tenant and its VLANs. A VLAN belongs to at most one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub name: String,
    pub vlans: Vec<VlanRange>,
    /// The protocol of the VLAN tags: VLAN 100 of 802.1Q and VLAN 100 of 802.1ad are different
    /// networks.
    #[serde(default)]
    pub proto: VlanProto,
    /// The names of the pools that this tenant may use. `None`: all pools.
    pub pools: Option<Vec<String>>,
    /// The maximum number of VFs that this tenant may have at once. `None`: no limit.
    pub max: Option<usize>,
    /// The Kubernetes namespaces that may have this tenant's VLANs. Empty: its VLANs go to no pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

impl Tenant {
    pub(crate) fn owns(&self, vlan: u16) -> bool {
        self.vlans.iter().any(|range| range.contains(vlan))
    }

    pub(crate) fn may_use(&self, pool: &str) -> bool {
        self.pools.as_ref().is_none_or(|pools| pools.iter().any(|name| name == pool))
    }
}

/// PFs that see the same traffic, so that a VF of any of them serves a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Netdev names, alternative netdev names or PCI addresses. An attach tries the PFs in this
    /// order.
    pub pfs: Vec<String>,
    /// The required driver of the PFs, as named in `/sys/bus/pci/drivers`. `None`: any driver.
    pub driver: Option<String>,
    /// The number of VFs to create on a PF that has none. `None`: the maximum of the PF.
    pub vfs: Option<usize>,
    /// The reaction to a VF without carrier.
    #[serde(default)]
    pub carrier: Carrier,
    /// The method of the scrub.
    #[serde(default)]
    pub scrub: Scrub,
    /// The reaction to the loss of a container's VF.
    #[serde(default)]
    pub on_loss: OnLoss,
    /// The reaction to a container that turns the promiscuity of its VF off.
    #[serde(default)]
    pub on_promisc_off: OnPromiscOff,
    /// The reaction to a driver that does not make the VF promiscuous.
    #[serde(default)]
    pub promisc: Promisc,
    /// Whether `runvfctl setup` makes the PFs promiscuous also if the promiscuity of the driver's
    /// VFs does not depend on it.
    #[serde(default)]
    pub pf_promisc: bool,
    /// The state of free VFs. `None`: as the PF driver needs it.
    pub rest: Option<Rest>,
    /// The configuration of the VF's netdev in the container.
    #[serde(default)]
    pub profile: Profile,
    /// The MTU for containers that request none, as [`crate::policy::request::Interface::mtu`].
    /// `None`: the driver's MTU.
    pub mtu: Option<u32>,
    /// Whether containers may send. `None`, here and below: as the profile sets it.
    pub transmit: Option<Transmit>,
    /// The number of channels that receive.
    pub channels: Option<Figure>,
    /// The size of each receive ring, in descriptors.
    pub rx_ring: Option<Figure>,
    /// The shortest time between two receive interrupts, in microseconds.
    pub rx_usecs: Option<Figure>,
    pub offloads: Option<Offloads>,
    pub interrupts: Option<Interrupts>,
    #[serde(default)]
    pub placement: Placement,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The netdev receives only: no ARP, no IPv6, and no offload that merges frames into frames that
    /// were never on the wire. `config/profile.rs` has its other defaults.
    #[default]
    Sensor,
    /// A normal network interface: runvf does not change ARP, IPv6 and offloads. It is still
    /// promiscuous.
    Plain,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// The attach fails, because a sensor would see nothing.
    #[default]
    Require,
    /// The attach succeeds without carrier.
    Ignore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// Parked: without a driver, so that an attach need not unbind it. For cards that reset a bound
    /// VF with each change of its settings.
    Unbound,
    /// With its driver, so that an attach need not bind it.
    Bound,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promisc {
    /// The attach fails. Several drivers report a VF as promiscuous although it does not receive
    /// frames for other MAC addresses.
    #[default]
    Require,
    /// The attach succeeds with the mode that the driver allows.
    BestEffort,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scrub {
    /// Rebind the VF, which creates a new netdev, and restore the PF's settings for it.
    #[default]
    Rebind,
    /// As `Rebind`, with a function-level reset of the VF while it is unbound.
    Flr,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnPromiscOff {
    /// Turn it on again, and write an audit entry.
    #[default]
    Restore,
    /// Write only an audit entry, because the sensor itself may have turned it off.
    Report,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Kill the container, so that its engine reports an error and can restart it. A sensor without
    /// a VF would keep running and report nothing.
    #[default]
    Stop,
    /// Leave the container running.
    Keep,
}
