//! Whether a sensor may send.

use serde::{Deserialize, Serialize};

/// Whether a container may send frames by its VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transmit {
    /// The kernel drops each frame that the container sends.
    Drop,
    Allow,
}
