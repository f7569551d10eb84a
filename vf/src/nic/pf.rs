//! A PF as it is now.

use crate::error::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::{Sysfs, is_pci_address};
use crate::nic::error::NicError;
use crate::policy::config::Pool;

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

impl Pf {
    /// Finds the PF that a pool names.
    ///
    /// # Errors
    /// [`NicError::NoPf`], [`NicError::NoSriov`], [`NicError::WrongDriver`]; when the kernel cannot be asked for alternative names.
    pub(crate) fn find(sysfs: &Sysfs, named: &str, pool: &Pool) -> Result<Self, Error> {
        let absent =
            || Error::Nic(NicError::NoPf { pf: named.to_owned(), pool: pool.name.clone() });
        let pci = pci_named(sysfs, named)?.ok_or_else(absent)?;
        if let Some(wanted) = &pool.driver {
            let found = sysfs.driver(&pci).unwrap_or_else(|| NO_DRIVER.to_owned());
            if found != *wanted {
                let (pf, pool, wanted) = (named.to_owned(), pool.name.clone(), wanted.clone());
                return Err(Error::Nic(NicError::WrongDriver { pf, pool, found, wanted }));
            }
        }
        Self::at(sysfs, &pci).ok_or_else(|| {
            match sysfs.exists(&pci) && sysfs.totalvfs(&pci).is_none_or(|total| total == 0) {
                true => Error::Nic(NicError::NoSriov { pf: named.to_owned() }),
                false => absent(),
            }
        })
    }

    /// The PF at a PCI address, if it is one and has its netdev here.
    pub(crate) fn at(sysfs: &Sysfs, pci: &str) -> Option<Self> {
        let total = sysfs.totalvfs(pci).filter(|total| *total > 0)?;
        let (name, ifindex) = sysfs.netdevs_or_empty(pci).into_iter().next()?;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::policy::config::{Carrier, OnLoss, Profile, Promisc, Scrub};

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
            "PF pf0 has driver igb, but pool `p` requires i40e; load that driver, or correct `driver` in /etc/runvf/config.toml"
        );
    }

    #[test]
    fn what_is_no_pf_is_named() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        let line = |named| Pf::find(&sysfs, named, &pool()).unwrap_err().line();
        assert!(line("pf9").starts_with("PF pf9 of pool `p` does not exist; "));
        assert!(line("0000:99:00.0").starts_with("PF 0000:99:00.0 of pool `p` does not exist"));
        assert!(line("v0").starts_with("PF v0 does not support SR-IOV; "));
    }
}
