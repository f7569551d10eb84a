//! What is known of PF drivers. Facts from the drivers' sources, Linux 6.12.

/// What a PF's driver does with its VFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Driver {
    /// The driver of its VFs, as it is named in `/sys/bus/pci/drivers`.
    pub(crate) vf: Option<&'static str>,
    /// Setting VLAN or trust of a VF leaves its driver undisturbed. Elsewhere it means a reset of the VF, asynchronously to
    /// both drivers, after which iavf believes in a promiscuity that the PF has forgotten.
    pub(crate) quiet: bool,
}

pub(crate) fn driver(pf_driver: Option<&str>) -> Driver {
    let known = |vf, quiet| Driver { vf: Some(vf), quiet };
    match pf_driver {
        Some("igb") => known("igbvf", true),
        Some("ixgbe") => known("ixgbevf", false),
        Some("i40e" | "ice") => known("iavf", false),
        Some("mlx5_core") => known("mlx5_core", true),
        Some("bnxt_en") => known("bnxt_en", true),
        // Nobody knows: the careful way is right for all.
        _ => Driver { vf: None, quiet: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_is_taken_for_one_that_resets() {
        assert!(!driver(None).quiet && !driver(Some("new")).quiet);
        assert_eq!(driver(Some("i40e")), Driver { vf: Some("iavf"), quiet: false });
        assert!(driver(Some("igb")).quiet);
    }
}
