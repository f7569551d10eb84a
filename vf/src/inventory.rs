//! PFs and VFs as they are now.

use std::collections::VecDeque;

use crate::Error;
use crate::claim::Claims;
use crate::config::Pool;
use crate::kernel::netlink::{Flags, Link, Netlink, VfSettings};
use crate::kernel::sysfs::{Sysfs, is_pci_address};
use crate::plan::Settings;

/// What stands for the driver of a device that has none.
pub(crate) const NO_DRIVER: &str = "none";

#[derive(Debug, Clone)]
pub(crate) struct Pf {
    pub(crate) pci: String,
    pub(crate) name: String,
    pub(crate) ifindex: u32,
    /// How many VFs it can have.
    pub(crate) total: usize,
}

/// A VF that nobody holds.
#[derive(Debug, Clone)]
pub(crate) struct FreeVf {
    pub(crate) pci: String,
    pub(crate) index: u32,
    /// `None`: it has no driver yet.
    pub(crate) link: Option<Link>,
    pub(crate) driver: Option<String>,
    pub(crate) settings: Settings,
}

/// What stands between a PF's VFs and a claim, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) claimed: usize,
    pub(crate) foreign: usize,
}

impl Pf {
    /// Finds the PF that a pool names.
    ///
    /// # Errors
    /// [`Error::NoPf`], [`Error::NoSriov`], [`Error::OtherDriver`]; when the kernel cannot be asked for alternative names.
    pub(crate) fn find(sysfs: &Sysfs, named: &str, pool: &Pool) -> Result<Self, Error> {
        let absent = || Error::NoPf { pf: named.to_owned(), pool: pool.name.clone() };
        let pci = pci_named(sysfs, named)?.ok_or_else(absent)?;
        if let Some(wanted) = &pool.driver {
            let found = sysfs.driver(&pci).unwrap_or_else(|| NO_DRIVER.to_owned());
            if found != *wanted {
                let (pf, pool, wanted) = (named.to_owned(), pool.name.clone(), wanted.clone());
                return Err(Error::OtherDriver { pf, pool, found, wanted });
            }
        }
        Self::at(sysfs, &pci).ok_or_else(|| {
            match sysfs.exists(&pci) && sysfs.totalvfs(&pci).is_none_or(|total| total == 0) {
                true => Error::NoSriov { pf: named.to_owned() },
                false => absent(),
            }
        })
    }

    /// The PF at a PCI address, if it is one and has its netdev here.
    pub(crate) fn at(sysfs: &Sysfs, pci: &str) -> Option<Self> {
        let total = sysfs.totalvfs(pci).filter(|total| *total > 0)?;
        let (name, ifindex) = sysfs.netdevs(pci).into_iter().next()?;
        Some(Self { pci: pci.to_owned(), name, ifindex, total })
    }
}

/// The PCI function that goes by this name: its own address, its netdev's name, or an alternative name of that one. `/sys` does
/// not know the latter, so the kernel is asked for all of them, and only if nothing else fits.
pub(crate) fn pci_named(sysfs: &Sysfs, named: &str) -> Result<Option<String>, Error> {
    if is_pci_address(named) {
        return Ok(Some(named.to_owned()));
    }
    if let Some(pci) = sysfs.pci_of_netdev(named) {
        return Ok(Some(pci));
    }
    let links = Netlink::open()?.links()?;
    let link = links.iter().find(|link| link.altnames.iter().any(|name| name == named));
    Ok(link.and_then(|link| sysfs.pci_of_netdev(&link.name)))
}

/// The VFs of a PF that may be claimed, the best first: those with nothing in their claim's place, that nobody else seems to use.
///
/// Each is looked at only when it is asked for: a PF may have hundreds, and one is wanted.
pub(crate) struct FreeVfs<'a> {
    sysfs: &'a Sysfs,
    netlink: &'a Netlink,
    claims: &'a Claims,
    pf: &'a Pf,
    settings: VfSettings,
    /// Indices, those not looked at yet.
    left: VecDeque<u32>,
    /// Free, but without a driver.
    bare: VecDeque<FreeVf>,
    taken: Taken,
}

impl<'a> FreeVfs<'a> {
    /// `settings` are what the PF says of its VFs. One that is trusted already needs one change less, and on i40e and ice every
    /// change is a reset; binding a driver takes longer than anything else.
    pub(crate) fn new(
        sysfs: &'a Sysfs,
        netlink: &'a Netlink,
        claims: &'a Claims,
        pf: &'a Pf,
        settings: VfSettings,
    ) -> Self {
        let mut left: Vec<u32> = settings.keys().copied().collect();
        left.sort_by_key(|index| (!settings[index].trust, *index));
        let (left, bare, taken) = (left.into(), VecDeque::new(), Taken::default());
        Self { sysfs, netlink, claims, pf, settings, left, bare, taken }
    }

    pub(crate) fn next(&mut self) -> Result<Option<FreeVf>, Error> {
        while let Some(index) = self.left.pop_front() {
            let Some(pci) = self.sysfs.virtfn(&self.pf.pci, index) else { continue };
            if self.claims.is_taken(&pci) {
                self.taken.claimed += 1;
                continue;
            }
            let settings = self.settings[&index];
            let (why, link) = look_at(self.sysfs, self.netlink, &pci, Some(&settings))?;
            if why.is_some() {
                self.taken.foreign += 1;
                continue;
            }
            let driver = self.sysfs.driver(&pci);
            let vf = FreeVf { pci, index, link, driver, settings };
            if vf.driver.is_some() {
                return Ok(Some(vf));
            }
            self.bare.push_back(vf);
        }
        Ok(self.bare.pop_front())
    }

    /// Why there was none, once there is none any more.
    pub(crate) fn taken(mut self) -> Taken {
        for (index, pci) in self.sysfs.virtfns(&self.pf.pci) {
            // Its PF tells nothing of it.
            match self.settings.contains_key(&index) {
                true => {}
                false if self.claims.is_taken(&pci) => self.taken.claimed += 1,
                false => self.taken.foreign += 1,
            }
        }
        self.taken
    }
}

/// All of them.
pub(crate) fn free_vfs(
    sysfs: &Sysfs,
    netlink: &Netlink,
    claims: &Claims,
    pf: &Pf,
) -> Result<(Vec<FreeVf>, Taken), Error> {
    let settings = netlink.vf_settings(&pf.name, pf.ifindex)?;
    let mut left = FreeVfs::new(sysfs, netlink, claims, pf, settings);
    let mut free = Vec::new();
    while let Some(vf) = left.next()? {
        free.push(vf);
    }
    Ok((free, left.taken()))
}

/// Why a VF on which there is no claim is not free either: somebody uses it, or somebody left it dirty.
pub(crate) fn foreign(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
    settings: Option<&Settings>,
) -> Result<Option<String>, Error> {
    look_at(sysfs, netlink, vf, settings).map(|(why, _)| why)
}

/// The same, and the VF's link if it is free and has one.
fn look_at(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
    settings: Option<&Settings>,
) -> Result<(Option<String>, Option<Link>), Error> {
    let because = |what: String| Ok((Some(what), None));
    match settings {
        None => because("its PF tells nothing of it".to_owned()),
        Some(settings) if settings.vlan != 0 => {
            because(format!("it is on VLAN {} and no claim says why", settings.vlan))
        }
        Some(_) => Ok(match use_of(sysfs, netlink, vf)? {
            (None, Some(link)) => (left_dirty(&link).map(str::to_owned), Some(link)),
            unused_or_not => unused_or_not,
        }),
    }
}

/// What tells that somebody else works with a VF.
pub(crate) fn in_use(sysfs: &Sysfs, netlink: &Netlink, vf: &str) -> Result<Option<String>, Error> {
    use_of(sysfs, netlink, vf).map(|(why, _)| why)
}

/// The same, and the VF's link if nobody does and it has one.
fn use_of(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
) -> Result<(Option<String>, Option<Link>), Error> {
    let because = |what: &str| Ok((Some(what.to_owned()), None));
    match (sysfs.netdevs(vf).into_iter().next(), sysfs.driver(vf)) {
        (Some((name, _)), _) if sysfs.has_upper(vf, &name) => {
            because("another interface stands on its own")
        }
        (Some((_, ifindex)), _) => match netlink.link(ifindex)? {
            None => because("its interface is on the move"),
            Some(link) if link.flags.up => because("its interface is up"),
            Some(link) if link.master => because("its interface has a master"),
            Some(_) if netlink.has_address(ifindex)? => because("its interface has an address"),
            link => Ok((None, link)),
        },
        (None, None) => Ok(match sysfs.driver_override(vf) {
            Some(driver) => (Some(format!("it is set aside for the driver {driver}")), None),
            None => (None, None),
        }),
        (None, Some(driver)) => {
            because(&format!("its interface is elsewhere, or its driver {driver} makes none"))
        }
    }
}

fn left_dirty(link: &Link) -> Option<&'static str> {
    match link {
        link if link.flags != Flags::default() => Some("its interface is promiscuous"),
        link if link.xdp => Some("its interface carries an XDP program"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::config::{Carrier, OnLoss, Profile, Promisc, Scrub};

    /// A folder shaped like /sys with one PF, `pf0`, of two VFs; the second has no driver.
    fn sysfs(root: &Path) -> Sysfs {
        let devices = root.join("bus/pci/devices");
        for (pci, netdev) in
            [("0000:01:00.0", Some("pf0")), ("0000:01:10.0", Some("v0")), ("0000:01:10.2", None)]
        {
            let device = devices.join(pci);
            fs::create_dir_all(&device).unwrap();
            if let Some(name) = netdev {
                fs::create_dir_all(device.join("net").join(name)).unwrap();
                fs::write(device.join("net").join(name).join("ifindex"), "7\n").unwrap();
                fs::create_dir_all(root.join("class/net").join(name)).unwrap();
                symlink(&device, root.join("class/net").join(name).join("device")).unwrap();
            }
        }
        let pf = devices.join("0000:01:00.0");
        fs::write(pf.join("sriov_totalvfs"), "7\n").unwrap();
        symlink("../0000:01:10.0", pf.join("virtfn0")).unwrap();
        symlink("../0000:01:10.2", pf.join("virtfn1")).unwrap();
        Sysfs(root.to_owned())
    }

    fn pool() -> Pool {
        Pool {
            name: "p".into(),
            pfs: vec![],
            driver: None,
            vfs: None,
            carrier: Carrier::Require,
            scrub: Scrub::Rebind,
            on_loss: OnLoss::Stop,
            promisc: Promisc::Require,
            pf_promisc: false,
            profile: Profile::Sensor,
            mtu: None,
        }
    }

    #[test]
    fn a_pf_is_found_by_name_and_by_address() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        for named in ["pf0", "0000:01:00.0"] {
            let pf = Pf::find(&sysfs, named, &pool()).unwrap();
            assert_eq!((pf.pci.as_str(), pf.name.as_str()), ("0000:01:00.0", "pf0"));
            assert_eq!((pf.ifindex, pf.total), (7, 7));
        }
        let virtfns = sysfs.virtfns("0000:01:00.0");
        assert_eq!(virtfns, [(0, "0000:01:10.0".to_owned()), (1, "0000:01:10.2".to_owned())]);
    }

    #[test]
    fn a_pf_with_another_driver_than_its_pool_is_for_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        let drivers = root.path().join("bus/pci/drivers/igb");
        fs::create_dir_all(&drivers).unwrap();
        symlink(&drivers, root.path().join("bus/pci/devices/0000:01:00.0/driver")).unwrap();
        let find = |driver: &str| {
            let pool = Pool { driver: Some(driver.to_owned()), ..pool() };
            Pf::find(&sysfs, "pf0", &pool).map(drop).map_err(|error| error.line())
        };
        assert_eq!(find("igb"), Ok(()));
        assert_eq!(
            find("i40e").unwrap_err(),
            "PF pf0 has the driver igb, and pool `p` is for i40e; load that driver, or correct `driver` in /etc/runvf/config.toml"
        );
    }

    #[test]
    fn what_is_no_pf_is_named() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        let line = |named| Pf::find(&sysfs, named, &pool()).unwrap_err().line();
        assert!(line("pf9").starts_with("PF pf9 of pool `p` is not on this machine; "));
        assert!(line("0000:99:00.0").starts_with("PF 0000:99:00.0 of pool `p` is not on"));
        assert!(line("v0").starts_with("PF v0 has no SR-IOV; "));
    }
}
