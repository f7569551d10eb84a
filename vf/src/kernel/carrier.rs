//! How often a netdev has gained and lost its carrier.

use serde::{Deserialize, Serialize};

/// The kernel counts from the registration of the netdev. A reset of a VF takes the carrier away
/// (`iavf_reset_task`, `drivers/net/ethernet/intel/iavf`), so other counts than before tell of a
/// reset that no process has watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierCounts {
    /// `IFLA_CARRIER_CHANGES`
    pub changes: u32,
    /// `IFLA_CARRIER_DOWN_COUNT`
    pub downs: u32,
}
