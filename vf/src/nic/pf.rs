//! Finds PFs.

use crate::error::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::pf_netdev::NoPfNetdev;
use crate::kernel::sysfs::{Sysfs, is_pci_address};
use crate::nic::error::NicError;
use crate::policy::config::Pool;

/// The driver name in messages about a device without a driver.
pub(crate) const NO_DRIVER: &str = "none";

#[derive(Debug, Clone)]
pub(crate) struct Pf {
    pub(crate) pci: String,
    pub(crate) name: String,
    pub(crate) ifindex: u32,
    /// The number of VFs that the PF supports.
    pub(crate) total: usize,
}

impl Pf {
    /// Finds the PF that a pool names.
    ///
    /// # Errors
    /// [`NicError::NoPf`], [`NicError::NoSriov`], [`NicError::WrongDriver`],
    /// [`NicError::PfInOtherNetns`], [`NicError::SeveralNetdevs`], [`NicError::NotPfNetdev`]; an
    /// error of netlink when the kernel does not list alternative names.
    pub(crate) fn find(sysfs: &Sysfs, named: &str, pool: &Pool) -> Result<Self, Error> {
        let absent =
            || Error::Nic(NicError::NoPf { pf: named.to_owned(), pool: pool.name.clone() });
        let Some(Named { pci, netdev }) = function_named(sysfs, named)? else {
            // The name cannot be searched for in other namespaces, but a PF that is there tells why
            // there is no such name here.
            return Err(match sysfs.pfs_in_other_netns() {
                pcis if pcis.is_empty() => absent(),
                pcis => Error::Nic(NicError::PfInOtherNetns { pf: named.to_owned(), pcis }),
            });
        };
        if let Some(wanted) = &pool.driver {
            let found = sysfs.driver(&pci).unwrap_or_else(|| NO_DRIVER.to_owned());
            if found != *wanted {
                let (pf, pool, wanted) = (named.to_owned(), pool.name.clone(), wanted.clone());
                return Err(Error::Nic(NicError::WrongDriver { pf, pool, found, wanted }));
            }
        }
        let pf = Self::at(sysfs, &pci).map_err(|problem| {
            let is_pf = sysfs.totalvfs(&pci).is_some_and(|total| total > 0);
            match netdev_error(problem, named, &pci) {
                Some(error) => error,
                None if is_pf || !sysfs.exists(&pci) => absent(),
                None => Error::Nic(NicError::NoSriov { pf: named.to_owned() }),
            }
        })?;
        match netdev {
            Some(netdev) if netdev != pf.name => {
                let netdev = named.to_owned();
                Err(Error::Nic(NicError::NotPfNetdev { netdev, pf: pf.name }))
            }
            _ => Ok(pf),
        }
    }

    /// Returns the PF at a PCI address.
    ///
    /// # Errors
    /// [`NoPfNetdev::Missing`] also when the device is no PF.
    pub(crate) fn at(sysfs: &Sysfs, pci: &str) -> Result<Self, NoPfNetdev> {
        let total = sysfs.totalvfs(pci).filter(|total| *total > 0).ok_or(NoPfNetdev::Missing)?;
        let (name, ifindex) = sysfs.pf_netdev(pci)?;
        Ok(Self { pci: pci.to_owned(), name, ifindex, total })
    }
}

/// Returns the error for a PF with a netdev that cannot be used. `None`: it has no netdev. `pf`: the
/// PF in the message.
pub(crate) fn netdev_error(problem: NoPfNetdev, pf: &str, pci: &str) -> Option<Error> {
    let (pf, pcis) = (pf.to_owned(), vec![pci.to_owned()]);
    match problem {
        NoPfNetdev::Missing => None,
        NoPfNetdev::OtherNetns => Some(Error::Nic(NicError::PfInOtherNetns { pf, pcis })),
        NoPfNetdev::Several(netdevs) => Some(Error::Nic(NicError::SeveralNetdevs { pf, netdevs })),
    }
}

/// A PCI function that was found by a name.
struct Named {
    pci: String,
    /// The netdev with this name or alternative name. `None`: the name is the PCI address.
    netdev: Option<String>,
}

/// Finds the PCI address of a function by its PCI address, its netdev's name or an alternative name
/// of its netdev.
pub(crate) fn pci_named(sysfs: &Sysfs, named: &str) -> Result<Option<String>, Error> {
    Ok(function_named(sysfs, named)?.map(|found| found.pci))
}

/// As [`pci_named`], with the netdev.
///
/// `/sys` has no alternative names, so the last case needs a netlink dump of all links. It is the
/// last to be tried.
fn function_named(sysfs: &Sysfs, named: &str) -> Result<Option<Named>, Error> {
    if is_pci_address(named) {
        return Ok(Some(Named { pci: named.to_owned(), netdev: None }));
    }
    if let Some(pci) = sysfs.pci_of_netdev(named) {
        return Ok(Some(Named { pci, netdev: Some(named.to_owned()) }));
    }
    let links = Netlink::open()?.links()?;
    let link = links.into_iter().find(|link| link.altnames.iter().any(|name| name == named));
    Ok(link.and_then(|link| {
        let pci = sysfs.pci_of_netdev(&link.name)?;
        Some(Named { pci, netdev: Some(link.name) })
    }))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::policy::config::{
        Carrier, OnLoss, OnPromiscOff, Placement, Profile, Promisc, Scrub,
    };

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

    pub(crate) fn pool() -> Pool {
        Pool {
            name: "p".into(),
            pfs: vec![],
            driver: None,
            vfs: None,
            carrier: Carrier::Require,
            scrub: Scrub::Rebind,
            on_loss: OnLoss::Stop,
            on_promisc_off: OnPromiscOff::Restore,
            promisc: Promisc::Require,
            pf_promisc: false,
            rest: None,
            profile: Profile::Sensor,
            mtu: None,
            transmit: None,
            channels: None,
            rx_ring: None,
            rx_usecs: None,
            offloads: None,
            interrupts: None,
            placement: Placement::Spread,
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
    fn a_pf_with_the_wrong_driver_is_refused() {
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
            "PF pf0 has driver igb, but pool `p` requires i40e; load that driver, or correct \
             `driver` in /etc/runvf/config.toml"
        );
    }

    #[test]
    fn a_representor_is_not_a_pf_and_its_pf_is_found() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        let device = sysfs.pci_device("0000:01:00.0");
        let netdev = device.join("net/a_rep");
        fs::create_dir_all(&netdev).unwrap();
        fs::write(netdev.join("ifindex"), "8\n").unwrap();
        fs::write(netdev.join("phys_port_name"), "pf0vf0\n").unwrap();
        let class = root.path().join("class/net/a_rep");
        fs::create_dir_all(&class).unwrap();
        symlink(&device, class.join("device")).unwrap();
        for named in ["pf0", "0000:01:00.0"] {
            assert_eq!(Pf::find(&sysfs, named, &pool()).unwrap().name, "pf0");
        }
        assert_eq!(
            Pf::find(&sysfs, "a_rep", &pool()).unwrap_err().line(),
            "a_rep is not the netdev of a PF: it is a representor or a subfunction of pf0; \
             name pf0 in /etc/runvf/config.toml"
        );

        fs::remove_file(netdev.join("phys_port_name")).unwrap();
        assert_eq!(
            Pf::find(&sysfs, "pf0", &pool()).unwrap_err().line(),
            "PF pf0 has several netdevs: a_rep, pf0; use a NIC with one PCI function for each port"
        );
    }

    #[test]
    fn a_pf_in_another_netns_is_named_as_such() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        fs::remove_dir_all(sysfs.pci_device("0000:01:00.0").join("net/pf0")).unwrap();
        fs::remove_dir_all(root.path().join("class/net/pf0")).unwrap();
        for named in ["pf0", "0000:01:00.0"] {
            assert_eq!(
                Pf::find(&sysfs, named, &pool()).unwrap_err().line(),
                format!(
                    "PF {named} is not in the host's network namespace; the netdev of \
                     0000:01:00.0 is in another network namespace; move it back with \
                     `ip -n <netns> link set <netdev> netns 1` and run `runvfctl setup`"
                )
            );
        }
    }

    #[test]
    fn an_error_names_what_is_not_a_pf() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs(root.path());
        let line = |named| Pf::find(&sysfs, named, &pool()).unwrap_err().line();
        assert!(line("pf9").starts_with("PF pf9 of pool `p` does not exist; "));
        assert!(line("0000:99:00.0").starts_with("PF 0000:99:00.0 of pool `p` does not exist"));
        assert!(line("v0").starts_with("PF v0 does not support SR-IOV; "));
    }
}
