//! The settings of a free VF's netdev.

use serde::{Deserialize, Serialize};

/// What is kept of a free VF's netdev, to be found so again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetdevSettings {
    pub name: String,
    pub altnames: Vec<String>,
    /// Empty: none.
    pub alias: String,
    pub mtu: u32,
    /// Packets.
    pub txqueuelen: u32,
    pub qdisc: String,
    /// The offloads that are asked for, `ETHTOOL_GFEATURES`. Empty: there are none to ask for.
    pub features: Vec<u32>,
}
