//! The settings of a free VF's netdev.

use serde::{Deserialize, Serialize};

/// The settings of a free VF's netdev. The claim records them, and the release restores them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetdevSettings {
    /// Empty: udev had not named the netdev yet, so its name was the kernel's for the moment.
    pub name: String,
    pub altnames: Vec<String>,
    /// Empty: no alias.
    pub alias: String,
    pub mtu: u32,
    /// In packets.
    pub txqueuelen: u32,
    pub qdisc: String,
    /// The requested offloads (`ETHTOOL_GFEATURES`). Empty: the driver offers none.
    pub features: Vec<u32>,
}
