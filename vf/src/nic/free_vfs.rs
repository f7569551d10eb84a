//! Finds the free VFs of a PF: no claim, no foreign use.

use std::collections::VecDeque;

use crate::error::Error;
use crate::kernel::netlink::{Flags, Link, Netlink, VfSettings};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::Settings;
use crate::ledger::claims::Claims;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::find_link::find_link;
use crate::nic::pf::Pf;
use crate::policy::config::Rest;

/// A free VF.
#[derive(Debug, Clone)]
pub(crate) struct FreeVf {
    pub(crate) pci: String,
    pub(crate) index: u32,
    /// `None`: the VF has no driver, so it has no netdev.
    pub(crate) link: Option<Link>,
    pub(crate) driver: Option<String>,
    pub(crate) settings: Settings,
}

/// The number of VFs of a PF that are not free, by reason.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UnavailableVfs {
    pub(crate) claimed: usize,
    /// Used by something other than runvf, or left dirty by it.
    pub(crate) foreign: usize,
}

/// Yields the free VFs of a PF, cheapest to attach first.
///
/// [`FreeVfs::next`] inspects VFs only until it finds a free one, because a PF may have hundreds
/// and an attach needs one.
pub(crate) struct FreeVfs<'a> {
    sysfs: &'a Sysfs,
    netlink: &'a Netlink,
    claims: &'a Claims,
    pf: &'a Pf,
    settings: VfSettings,
    /// Indices of the VFs that were not inspected yet.
    remaining: VecDeque<u32>,
    rest: Rest,
    /// Free VFs that do not rest as they should. [`FreeVfs::next`] returns them last.
    others: VecDeque<FreeVf>,
    unavailable: UnavailableVfs,
}

impl<'a> FreeVfs<'a> {
    /// `settings` are the settings that the PF reports for its VFs.
    ///
    /// Trusted VFs come first: they need one change less, and on i40e and ice every change resets
    /// the VF. VFs that do not rest as they should come last: binding a driver is the slowest step
    /// of an attach, or, where VFs rest unbound, unbinding it.
    pub(crate) fn new(
        sysfs: &'a Sysfs,
        netlink: &'a Netlink,
        claims: &'a Claims,
        pf: &'a Pf,
        settings: VfSettings,
        rest: Rest,
    ) -> Self {
        let mut remaining: Vec<u32> = settings.keys().copied().collect();
        remaining.sort_by_key(|index| (!settings[index].trust, *index));
        let (remaining, others) = (remaining.into(), VecDeque::new());
        let unavailable = UnavailableVfs::default();
        Self { sysfs, netlink, claims, pf, settings, remaining, rest, others, unavailable }
    }

    /// Returns the next free VF.
    pub(crate) fn next(&mut self) -> Result<Option<FreeVf>, Error> {
        while let Some(index) = self.remaining.pop_front() {
            let Some(pci) = self.sysfs.virtfn(&self.pf.pci, index) else { continue };
            if self.claims.is_claimed(&pci) {
                self.unavailable.claimed += 1;
                continue;
            }
            let settings = self.settings[&index];
            let (why, link) = inspect(self.sysfs, self.netlink, &pci, Some(&settings))?;
            if why.is_some() {
                self.unavailable.foreign += 1;
                continue;
            }
            let driver = self.sysfs.driver(&pci);
            let vf = FreeVf { pci, index, link, driver, settings };
            if vf.driver.is_some() == (self.rest == Rest::Bound) {
                return Ok(Some(vf));
            }
            self.others.push_back(vf);
        }
        Ok(self.others.pop_front())
    }

    /// Counts the VFs that are not free. Call it after [`FreeVfs::next`] has returned `None`.
    pub(crate) fn unavailable(mut self) -> UnavailableVfs {
        for (index, pci) in self.sysfs.virtfns(&self.pf.pci) {
            // `next` never sees a VF that the PF does not report.
            match self.settings.contains_key(&index) {
                true => {}
                false if self.claims.is_claimed(&pci) => self.unavailable.claimed += 1,
                false => self.unavailable.foreign += 1,
            }
        }
        self.unavailable
    }
}

/// Lists all free VFs of a PF, and counts the others.
pub(crate) fn free_vfs(
    sysfs: &Sysfs,
    netlink: &Netlink,
    claims: &Claims,
    pf: &Pf,
    rest: Rest,
) -> Result<(Vec<FreeVf>, UnavailableVfs), Error> {
    let settings = netlink.vf_settings(&pf.name, pf.ifindex)?;
    let mut search = FreeVfs::new(sysfs, netlink, claims, pf, settings, rest);
    let mut free = Vec::new();
    while let Some(vf) = search.next()? {
        free.push(vf);
    }
    Ok((free, search.unavailable()))
}

/// Returns why an unclaimed VF is not free: something other than runvf uses it or left it dirty.
/// `None`: the VF is free.
pub(crate) fn foreign_use(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
    settings: Option<&Settings>,
) -> Result<Option<String>, Error> {
    inspect(sysfs, netlink, vf, settings).map(|(why, _)| why)
}

/// As [`foreign_use`], and also returns the VF's link if the VF is free and has one.
fn inspect(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
    settings: Option<&Settings>,
) -> Result<(Option<String>, Option<Link>), Error> {
    let foreign = |reason: String| Ok((Some(reason), None));
    match settings {
        None => foreign("its PF does not report it".to_owned()),
        Some(settings) if settings.vlan != 0 => {
            foreign(format!("it is on VLAN {} without a claim", settings.vlan))
        }
        Some(_) => Ok(match find_use(sysfs, netlink, vf)? {
            (None, Some(link)) => (leftover(&link).map(str::to_owned), Some(link)),
            used_or_unbound => used_or_unbound,
        }),
    }
}

/// Returns how something other than runvf uses a VF. `None`: no sign of use.
pub(crate) fn current_use(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
) -> Result<Option<String>, Error> {
    find_use(sysfs, netlink, vf).map(|(why, _)| why)
}

/// As [`current_use`], and also returns the VF's link if the VF is unused and has one.
fn find_use(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
) -> Result<(Option<String>, Option<Link>), Error> {
    let used = |reason: &str| Ok((Some(reason.to_owned()), None));
    let unused = |link: Option<Link>| match reserved_for(sysfs, vf) {
        Some(driver) => used(&format!("its driver_override reserves it for the driver {driver}")),
        None => Ok((None, link)),
    };
    let link = match find_link(sysfs, netlink, vf) {
        // The other VFs can still be used.
        Err(Error::Nic(error @ NicError::NetdevUnsettled { .. })) => {
            return used(&error.to_string());
        }
        found => found?,
    };
    match (link, sysfs.driver(vf)) {
        (Some(_), _) if sysfs.has_upper(vf) => used("another interface is stacked on its netdev"),
        (Some(link), _) if link.flags.up => used("its netdev is up"),
        (Some(link), _) if link.master => used("its netdev has a master"),
        (Some(link), _) if netlink.has_address(link.ifindex)? => used("its netdev has an address"),
        (Some(link), _) => unused(Some(link)),
        (None, None) => unused(None),
        (None, Some(driver)) => used(&format!(
            "its netdev is in another network namespace, or its driver {driver} creates none"
        )),
    }
}

/// Returns the driver in the VF's `driver_override`, unless it is the driver that the VF has. For a
/// VF without a driver it is compared with the driver that runvf would bind.
///
/// At the next bind, the kernel would bind only the driver in `driver_override`, or none
/// (`pci_match_device`, `drivers/pci/pci-driver.c`). So an attach or a release would leave the VF
/// without its netdev.
pub(crate) fn reserved_for(sysfs: &Sysfs, vf: &str) -> Option<String> {
    let reserved = sysfs.driver_override(vf)?;
    let usual = || {
        let (pf, _) = sysfs.pf_of(vf)?;
        driver(sysfs.driver(&pf).as_deref()).vf.map(str::to_owned)
    };
    let netdev_driver = sysfs.driver(vf).or_else(usual);
    (netdev_driver.as_ref() != Some(&reserved)).then_some(reserved)
}

/// Returns what an earlier user left on the netdev.
fn leftover(link: &Link) -> Option<&'static str> {
    match link {
        link if link.flags != Flags::default() => Some("its netdev is promiscuous"),
        link if link.xdp => Some("its netdev carries an XDP program"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    const VF: &str = "10000:e1:02.0";

    /// A folder shaped like /sys with an igb PF and one VF.
    fn sysfs(root: &Path, vf_driver: Option<&str>, driver_override: &str) -> Sysfs {
        let devices = root.join("bus/pci/devices");
        let (pf, vf) = (devices.join("10000:e1:00.0"), devices.join(VF));
        fs::create_dir_all(&pf).unwrap();
        fs::create_dir_all(&vf).unwrap();
        symlink("../10000:e1:02.0", pf.join("virtfn0")).unwrap();
        symlink("../10000:e1:00.0", vf.join("physfn")).unwrap();
        symlink("../../drivers/igb", pf.join("driver")).unwrap();
        if let Some(driver) = vf_driver {
            symlink(format!("../../drivers/{driver}"), vf.join("driver")).unwrap();
        }
        fs::write(vf.join("driver_override"), format!("{driver_override}\n")).unwrap();
        Sysfs(root.to_owned())
    }

    #[test]
    fn an_override_reserves_a_vf_unless_it_names_the_driver_of_its_netdev() {
        let reserved = |vf_driver, driver_override| {
            let root = tempfile::tempdir().unwrap();
            reserved_for(&sysfs(root.path(), vf_driver, driver_override), VF)
        };
        for bound in [Some("igbvf"), None] {
            assert_eq!(reserved(bound, "(null)"), None);
            assert_eq!(reserved(bound, "igbvf"), None);
            for other in ["vfio-pci", "none"] {
                assert_eq!(reserved(bound, other).as_deref(), Some(other), "{bound:?}");
            }
        }
    }

    #[test]
    fn a_reserved_vf_is_foreign() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path(), None, "vfio-pci");
        let why = foreign_use(&sysfs, &Netlink::open().unwrap(), VF, Some(&Settings::default()));
        assert_eq!(
            why.unwrap().as_deref(),
            Some("its driver_override reserves it for the driver vfio-pci")
        );
    }
}
