//! What the configuration file can say.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::vlans::VlanRange;
use crate::kernel::vlan::VlanProto;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(rename = "pool", default)]
    pub pools: Vec<Pool>,
    /// None: whoever may annotate a container may have any VLAN.
    #[serde(rename = "tenant", default)]
    pub tenants: Vec<Tenant>,
    /// They are in the pools already, see `config/defaults.rs`; here so that the key is known.
    #[serde(rename = "defaults", default, skip_serializing)]
    _defaults: BTreeMap<String, IgnoredAny>,
}

/// Who may have VFs on which VLANs. A VLAN has one tenant at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub name: String,
    pub vlans: Vec<VlanRange>,
    /// What tags them: 100 of the one is another network than 100 of the other.
    #[serde(default)]
    pub proto: VlanProto,
    /// The names of the pools whose VFs it may have. `None`: of all.
    pub pools: Option<Vec<String>>,
    /// The most VFs that it may have at once. `None`: as many as there are.
    pub max: Option<usize>,
}

impl Tenant {
    pub(crate) fn owns(&self, vlan: u16) -> bool {
        self.vlans.iter().any(|range| range.contains(vlan))
    }

    pub(crate) fn may_use(&self, pool: &str) -> bool {
        self.pools.as_ref().is_none_or(|pools| pools.iter().any(|name| name == pool))
    }
}

/// PFs that see the same traffic: a VF of one is as good as a VF of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Netdev names, alternative names of theirs, or PCI addresses. Tried in this order.
    pub pfs: Vec<String>,
    /// The PFs' driver, as it is named in `/sys/bus/pci/drivers`: a PF with another is not taken. `None`: whichever it is.
    pub driver: Option<String>,
    /// How many VFs to create on a PF that has none. `None`: as many as the PF can have.
    pub vfs: Option<usize>,
    /// What a VF without a link is.
    #[serde(default)]
    pub carrier: Carrier,
    /// How a VF is cleaned for its next tenant.
    #[serde(default)]
    pub scrub: Scrub,
    /// What becomes of a container whose VF vanishes.
    #[serde(default)]
    pub on_loss: OnLoss,
    /// What a VF is that its driver would not make promiscuous.
    #[serde(default)]
    pub promisc: Promisc,
    /// Whether `runvfctl setup` makes the PFs promiscuous even where their driver's VFs do not depend on it.
    #[serde(default)]
    pub pf_promisc: bool,
    /// What a VF is set up as inside.
    #[serde(default)]
    pub profile: Profile,
    /// Of containers that ask for none, as [`crate::policy::request::Interface::mtu`]. `None`: the driver's own.
    pub mtu: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// It listens and says nothing of its own: no ARP, no IPv6, and no frames merged into what was never on the wire.
    #[default]
    Sensor,
    /// It takes part: ARP, IPv6 and offloads are as the driver and the namespace have them. Promiscuous all the same.
    Plain,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// An error: a sensor would see nothing.
    #[default]
    Require,
    Ignore,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promisc {
    /// An error: several drivers call a VF promiscuous that sees nothing of others.
    #[default]
    Require,
    /// What the driver makes of it will do.
    BestEffort,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scrub {
    /// A new netdev, and the PF's settings as they were.
    #[default]
    Rebind,
    /// The same, with a function-level reset of the VF in between.
    Flr,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// It is killed, so that its engine sees an error and may start it anew: a sensor that sees nothing looks like peace.
    #[default]
    Stop,
    Keep,
}
