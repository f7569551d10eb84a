//! Known causes of refuted properties.

use crate::nic::driver::{Driver, PromiscNeeds};
use crate::nic::promisc::Obstacle;

/// Returns the known cause of a refuted property, and the remedy if there is one.
pub(super) fn known_cause(
    property: &str,
    driver: &Driver,
    obstacle: Option<&Obstacle>,
) -> Option<String> {
    let cause = match (property, driver.promisc) {
        ("multicast", PromiscNeeds::PfPromiscOnly) => {
            "igbvf never requests multicast promiscuity: a VF receives only groups that it joined"
        }
        ("others-unicast", PromiscNeeds::PfPromiscOnly) => {
            "igb delivers such a frame only to the VF with that address"
        }
        ("trust-matters", PromiscNeeds::PfPromiscOnly) => {
            "with igb the promiscuity of the PF decides: VFs see it, trusted or not"
        }
        ("multicast" | "unknown-unicast" | "others-unicast", _) => {
            return obstacle.map(|it| format!("{}; {}", it.why, it.remedy));
        }
        _ => return None,
    };
    Some(cause.to_owned())
}
