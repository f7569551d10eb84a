//! Versions of drivers and firmware that public reports name: VFs do not work with them.
//!
//! A PF driver of the kernel reports the kernel's version. A driver with a version of its own was
//! built outside the kernel's source.

/// What is known of a version, and the remedy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KnownBad {
    pub(super) why: &'static str,
    pub(super) remedy: &'static str,
}

/// PCI device id of the VFs of X710, XL710 and XXV710 (`I40E_DEV_ID_VF`). The X722 has the same
/// driver, and other versions of its NVM.
const VF_700: &str = "154c";

const OTHER_DRIVER: &str = "use the driver of the kernel, or a version without that report";

/// Looks up the versions that a PF's driver reports (`ethtool -i`). `None`: there is no report.
/// `vf_device` is the PCI device id of its VFs.
///
/// i40e and ice report the version of the NVM image first, as `9.20 0x8000d8c5 1.3353.0`
/// (`i40e_nvm_version_str`, `ice_get_drvinfo`).
pub(super) fn known_bad(
    driver: &str,
    vf_device: Option<&str>,
    version: &str,
    firmware: &str,
) -> Option<KnownBad> {
    let found = |why, remedy| Some(KnownBad { why, remedy });
    match driver {
        "i40e" if vf_device == Some(VF_700) && has_nvm_before_5_05(firmware) => found(
            "a remote attacker can stop the traffic of a card with an NVM before 5.05 (CVE-2016-8106)",
            "update the NVM of the card",
        ),
        "i40e" if is_in(version, [2, 28, 5], [3, 0, 0]) => found(
            "on kernels with preemption, several VFs at once fail to initialise \
             (intel/ethernet-linux-i40e, issue 26)",
            OTHER_DRIVER,
        ),
        "ice" if is_in(version, [2, 5, 4], [2, 5, 5]) || is_in(version, [2, 6, 4], [2, 6, 5]) => {
            found(
                "VFs are reset again and again (intel/ethernet-linux-ice, issues 57 and 63)",
                OTHER_DRIVER,
            )
        }
        "ice" if is_in(version, [1, 7, 16], [1, 7, 17]) => found(
            "after many changes of its MAC, a VF loses its interface for good \
             (intel/ethernet-linux-ice, issue 31)",
            OTHER_DRIVER,
        ),
        _ => None,
    }
}

/// The second number has two digits. A card without a version reports 0.00.
fn has_nvm_before_5_05(firmware: &str) -> bool {
    numbers(firmware).is_some_and(|nvm| nvm > [0, 0] && nvm < [5, 5])
}

/// Whether a version is at least `from` and before `to`. A driver of an older kernel has a version
/// as `2.8.20-k`, which says nothing about Intel's versions.
fn is_in(version: &str, from: [u32; 3], to: [u32; 3]) -> bool {
    !version.ends_with("-k") && numbers(version).is_some_and(|found| found >= from && found < to)
}

/// The first `N` numbers of a version, up to the first space. A missing number counts as 0.
fn numbers<const N: usize>(version: &str) -> Option<[u32; N]> {
    let mut found = [0; N];
    let text = version.split(' ').next()?;
    for (place, part) in found.iter_mut().zip(text.split('.')) {
        let digits = part.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(part.len());
        *place = part[..digits].parse().ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(driver: &str, version: &str, firmware: &str) -> Option<&'static str> {
        known_bad(driver, Some(VF_700), version, firmware).map(|found| found.why)
    }

    #[test]
    fn the_nvm_of_an_x722_is_not_compared_with_that_of_an_x710() {
        assert_eq!(known_bad("i40e", Some("37cd"), "6.12.43", "4.11 0x80001def 1.1747.0"), None);
        assert_eq!(known_bad("i40e", None, "6.12.43", "4.11"), None);
    }

    #[test]
    fn the_drivers_of_the_kernel_are_not_reported() {
        let kernel = "6.12.43+deb13-amd64";
        for (driver, version, firmware) in [
            ("i40e", kernel, "9.20 0x8000d8c5 1.3353.0"),
            ("i40e", kernel, "5.05 0x8000289d 1.1568.0"),
            ("i40e", "2.8.20-k", "6.01 0x800035da 1.1747.0"),
            ("i40e", "2.28.5-k", "6.01"),
            ("ice", kernel, "4.40 0x8001af97 1.3534.0"),
            ("ice", "2.5.4-k", ""),
            ("igb", "2.5.4", "3.25, 0x800005cc"),
            ("i40e", "", ""),
            ("i40e", kernel, "0.00 0x0 0.0.0"),
            ("i40e", "new", "N/A"),
        ] {
            assert_eq!(why(driver, version, firmware), None, "{driver} {version} {firmware}");
        }
    }

    #[test]
    fn reported_versions_are_found() {
        for (driver, version, firmware, part) in [
            ("i40e", "6.12.43", "4.53 0x80001e5b 1.1747.0", "NVM before 5.05"),
            ("i40e", "6.12.43", "5.04 0x800024d0 0.0.0", "NVM before 5.05"),
            ("i40e", "2.28.5", "9.20 0x8000d8c5 1.3353.0", "fail to initialise"),
            ("i40e", "2.28.13", "9.55", "fail to initialise"),
            ("ice", "2.5.4", "4.40", "again and again"),
            ("ice", "2.6.4", "4.40", "again and again"),
            ("ice", "1.7.16", "4.00", "loses its interface"),
        ] {
            let found = why(driver, version, firmware);
            assert!(found.is_some_and(|why| why.contains(part)), "{driver} {version}: {found:?}");
        }
    }
}
