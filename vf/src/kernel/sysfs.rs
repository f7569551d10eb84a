//! `/sys/bus/pci` and `/sys/class/net`: reads PFs and VFs, and changes them.

pub(crate) mod pf_netdev;

use std::cmp::Ordering;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::bounded_write::write_with_retry;
use crate::kernel::error::KernelError;
use crate::kernel::proc_file;
use crate::kernel::process::is_absence;

/// The path of sysfs: `/sys` or, in a test, a folder with the same layout.
#[derive(Debug, Clone)]
pub(crate) struct Sysfs(pub(crate) PathBuf);

impl Sysfs {
    /// The folder of a PCI function.
    pub(crate) fn pci_device(&self, pci: &str) -> PathBuf {
        self.0.join("bus/pci/devices").join(pci)
    }

    /// Returns the PCI address of a netdev. `None` if there is no such netdev or it is not on PCI.
    /// Looks at all parent devices, because the netdev of a virtio NIC is below a virtio device,
    /// which is below the PCI function.
    pub(crate) fn pci_of_netdev(&self, name: &str) -> Option<String> {
        let device = fs::canonicalize(self.0.join("class/net").join(name).join("device")).ok()?;
        let mut names = device.ancestors().filter_map(|folder| folder.file_name()?.to_str());
        names.find(|name| is_pci_address(name)).map(str::to_owned)
    }

    /// As [`Sysfs::netdevs`], but empty on an error.
    pub(crate) fn netdevs_or_empty(&self, pci: &str) -> Vec<(String, u32)> {
        self.netdevs(pci).unwrap_or_default()
    }

    /// Returns name and ifindex of the netdevs of a PCI function. Netdevs in other network
    /// namespaces than that of the sysfs mount are not visible here.
    ///
    /// A netdev that has no ifindex at this moment is being registered, renamed or moved. So the
    /// folder is listed again, for up to [`RELIST_TIMEOUT`]; after that the netdev counts as gone.
    ///
    /// # Errors
    /// [`KernelError::File`] when sysfs cannot be read. A missing device is not an error.
    pub(crate) fn netdevs(&self, pci: &str) -> Result<Vec<(String, u32)>, Error> {
        let folder = self.pci_device(pci).join("net");
        let deadline = Instant::now() + RELIST_TIMEOUT;
        loop {
            let (found, is_complete) = list_netdevs(&folder)?;
            if is_complete || Instant::now() >= deadline {
                return Ok(found);
            }
            thread::sleep(RELIST_INTERVAL);
        }
    }

    /// Whether a PCI function has a netdev, in any network namespace: the kernel creates the folder
    /// with the first netdev and removes it with the last one (`cleanup_glue_dir`,
    /// `drivers/base/core.c`).
    pub(crate) fn has_netdev(&self, pci: &str) -> bool {
        self.pci_device(pci).join("net").exists()
    }

    /// Whether a netdev of a PCI function has an upper netdev (macvlan, ipvlan, VLAN;
    /// `netdev_adjacent_sysfs_add`, `net/core/dev.c`). Sysfs does not show an upper netdev in
    /// another network namespace.
    pub(crate) fn has_upper(&self, pci: &str) -> bool {
        let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let mut netdevs = list(&self.pci_device(pci).join("net"));
        let is_upper = |name: &[u8]| name.starts_with(b"upper_");
        netdevs
            .any(|netdev| list(&netdev.path()).any(|entry| is_upper(entry.file_name().as_bytes())))
    }

    /// Returns the netdev that has this netdev as a port: a bridge or a bond, for example.
    pub(crate) fn master(&self, pci: &str, netdev: &str) -> Option<String> {
        link_name(&self.pci_device(pci).join("net").join(netdev).join("master"))
    }

    /// Whether a netdev is a bond (`bond_prepare_sysfs_group`, `drivers/net/bonding`).
    pub(crate) fn is_bond(&self, netdev: &str) -> bool {
        self.0.join("class/net").join(netdev).join("bonding").is_dir()
    }

    /// Makes the kernel send a `change` uevent for a netdev, so that udev applies its rules again
    /// (`uevent_store`, `drivers/base/core.c`).
    ///
    /// # Errors
    /// [`KernelError::File`] when the netdev does not exist.
    pub(crate) fn send_change_uevent(&self, pci: &str, netdev: &str) -> Result<(), Error> {
        let path = self.pci_device(pci).join("net").join(netdev).join("uevent");
        write_with_retry("uevent", &path, "change", DRIVER_TIMEOUT, || false)
    }

    /// Returns index and PCI address of each VF of a PF. Reads the `virtfn` links and not
    /// `sriov_numvfs`, because reading that takes the PF's device lock and would wait for a driver
    /// that hangs.
    pub(crate) fn virtfns(&self, pf: &str) -> Vec<(u32, String)> {
        let Ok(entries) = fs::read_dir(self.pci_device(pf)) else { return Vec::new() };
        let mut found: Vec<(u32, String)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let index = entry.file_name().to_str()?.strip_prefix("virtfn")?.parse().ok()?;
                Some((index, link_name(&entry.path())?))
            })
            .collect();
        found.sort();
        found
    }

    /// Returns the PCI address of one VF, by its index.
    pub(crate) fn virtfn(&self, pf: &str, index: u32) -> Option<String> {
        link_name(&self.pci_device(pf).join(format!("virtfn{index}")))
    }

    /// Returns the PF of a VF and the VF's index on it. `None` if `vf` is not a VF.
    pub(crate) fn pf_of(&self, vf: &str) -> Option<(String, u32)> {
        let pf = link_name(&self.pci_device(vf).join("physfn"))?;
        let (index, _) = self.virtfns(&pf).into_iter().find(|(_, pci)| pci == vf)?;
        Some((pf, index))
    }

    /// Returns the maximum number of VFs. `None`: the device does not support SR-IOV.
    pub(crate) fn totalvfs(&self, pf: &str) -> Option<usize> {
        read_number(&self.pci_device(pf).join("sriov_totalvfs")).and_then(|n| n.try_into().ok())
    }

    /// Returns the name of the driver that a PCI function is bound to.
    pub(crate) fn driver(&self, pci: &str) -> Option<String> {
        link_name(&self.pci_device(pci).join("driver"))
    }

    /// Whether a PCI function is bound to a driver.
    ///
    /// # Errors
    /// [`KernelError::File`] when sysfs cannot be read.
    pub(crate) fn has_driver(&self, pci: &str) -> Result<bool, Error> {
        let link = self.pci_device(pci).join("driver");
        match fs::read_link(&link) {
            Err(error) if is_absence(&error) => Ok(false),
            driver => driver.map(|_| true).map_err(Error::file("read", link)),
        }
    }

    /// Returns the PCI device id of a PF's VFs, in hexadecimal (`sriov_vf_device_show`,
    /// `drivers/pci/iov.c`).
    pub(crate) fn vf_device(&self, pf: &str) -> Option<String> {
        let text = proc_file::read(&self.pci_device(pf).join("sriov_vf_device")).ok()?;
        Some(text.trim().trim_start_matches("0x").to_owned())
    }

    /// Returns the driver in `driver_override`, or `None` if it is not set. Administrators set it
    /// to give a device to vfio, for example.
    pub(crate) fn driver_override(&self, pci: &str) -> Option<String> {
        let text = proc_file::read(&self.pci_device(pci).join("driver_override")).ok()?;
        let name = text.trim();
        (!name.is_empty() && name != "(null)").then(|| name.to_owned())
    }

    /// Whether a PCI function exists. Returns `true` also when sysfs cannot be read, because
    /// callers treat a missing VF as lost.
    pub(crate) fn exists(&self, pci: &str) -> bool {
        match fs::metadata(self.pci_device(pci)) {
            Ok(_) => true,
            // If the folder of all devices is missing, sysfs says nothing about this device.
            Err(error) => {
                !is_absence(&error) || fs::metadata(self.0.join("bus/pci/devices")).is_err()
            }
        }
    }

    /// Unbinds a PCI function from its driver.
    ///
    /// # Errors
    /// [`KernelError::File`] and [`KernelError::Timeout`] when the write fails;
    /// [`KernelError::Dirty`] when the driver is still bound.
    pub(crate) fn unbind(&self, pci: &str, driver: &str) -> Result<(), Error> {
        let path = self.0.join("bus/pci/drivers").join(driver).join("unbind");
        write_with_retry("unbind", &path, pci, DRIVER_TIMEOUT, || self.driver(pci).is_none())?;
        match self.driver(pci) {
            None => Ok(()),
            Some(_) => Err(Error::Kernel(KernelError::Dirty {
                vf: pci.to_owned(),
                what: "is still bound to its driver",
            })),
        }
    }

    /// Makes the kernel probe drivers for a PCI function. If `sriov_drivers_autoprobe` is 0, the
    /// kernel binds a VF only to the driver in `driver_override` (`pci_device_can_probe`,
    /// `drivers/pci/pci-driver.c`) and reports no error otherwise. In that case this function sets
    /// the override to `driver` for the duration of the probe.
    pub(crate) fn probe(&self, pci: &str, driver: Option<&str>) -> Result<(), Error> {
        let overridden =
            driver.filter(|_| !self.autoprobes(pci) && self.driver_override(pci).is_none());
        overridden.map_or(Ok(()), |driver| self.set_driver_override(pci, driver))?;
        let probed = self.probe_until_bound(pci, overridden.is_some());
        if overridden.is_some() {
            self.set_driver_override(pci, "\n")?;
            // Otherwise the VF would be reserved for this driver, as if by the operator.
            if self.driver_override(pci).is_some() {
                let what = "still has a driver_override, although the kernel accepted its removal";
                return Err(Error::Kernel(KernelError::Dirty { vf: pci.to_owned(), what }));
            }
        }
        probed
    }

    /// Binds a PCI function without a driver to this driver, which is loaded. `after`: its
    /// `driver_override` afterwards.
    ///
    /// # Errors
    /// [`KernelError::File`] and [`KernelError::Timeout`] when a write fails. The caller reads back
    /// which driver is bound.
    pub(crate) fn bind_to(
        &self,
        pci: &str,
        driver: &str,
        after: Option<&str>,
    ) -> Result<(), Error> {
        self.set_driver_override(pci, driver)?;
        let probed = self.probe_until_bound(pci, false);
        self.set_driver_override(pci, after.unwrap_or("\n"))?;
        probed
    }

    /// Restricts a PCI function to one driver. A `driver` of `"\n"` removes the restriction.
    pub(crate) fn set_driver_override(&self, pci: &str, driver: &str) -> Result<(), Error> {
        let path = self.pci_device(pci).join("driver_override");
        write_with_retry("driver-override", &path, driver, DRIVER_TIMEOUT, || false)
    }

    /// Probes once, or with `wait` until a driver is bound or [`MODULE_LOAD_TIMEOUT`] is over.
    /// Repeated probes are necessary because the kernel reports no error while udev still loads the
    /// driver's module, and because a loaded driver does not bind a VF by itself if
    /// `sriov_drivers_autoprobe` is 0.
    fn probe_until_bound(&self, pci: &str, wait: bool) -> Result<(), Error> {
        let path = self.0.join("bus/pci/drivers_probe");
        let deadline = Instant::now() + MODULE_LOAD_TIMEOUT;
        loop {
            write_with_retry("probe", &path, pci, DRIVER_TIMEOUT, || self.driver(pci).is_some())?;
            if !wait || self.driver(pci).is_some() || Instant::now() >= deadline {
                return Ok(());
            }
            thread::sleep(PROBE_INTERVAL);
        }
    }

    /// Whether the kernel binds drivers to VFs by itself (`sriov_drivers_autoprobe` of the VF's
    /// PF).
    pub(crate) fn autoprobes(&self, vf: &str) -> bool {
        read_number(&self.pci_device(vf).join("physfn/sriov_drivers_autoprobe")) != Some(0)
    }

    /// As [`Sysfs::autoprobes`], for the VFs of a PF, which need not exist.
    pub(crate) fn pf_autoprobes(&self, pf: &str) -> bool {
        read_number(&self.pci_device(pf).join("sriov_drivers_autoprobe")) != Some(0)
    }

    /// Lets the kernel bind drivers to the VFs of a PF by itself, or not. VFs that have a driver
    /// keep it. The setting lasts until the next boot.
    pub(crate) fn set_autoprobe(&self, pf: &str, on: bool) -> Result<(), Error> {
        let path = self.pci_device(pf).join("sriov_drivers_autoprobe");
        let text = if on { "1" } else { "0" };
        write_with_retry("autoprobe", &path, text, DRIVER_TIMEOUT, || false)
    }

    /// Whether the VF supports FLR (PCI Express base specification 6.6.2), which resets this
    /// function alone. A bus reset would reset its neighbours too.
    pub(crate) fn has_flr(&self, pci: &str) -> bool {
        let methods = proc_file::read(&self.pci_device(pci).join("reset_method"));
        methods.is_ok_and(|methods| methods.split_whitespace().any(|method| method.contains("flr")))
    }

    /// Resets a VF (FLR). The VF must not be bound to a driver, because a driver does not expect
    /// this reset.
    pub(crate) fn flr(&self, pci: &str) -> Result<(), Error> {
        let path = self.pci_device(pci).join("reset");
        write_with_retry("flr", &path, "1", DRIVER_TIMEOUT, || false)
    }

    /// Creates VFs on a PF that has none. The kernel refuses to change a nonzero count
    /// (`sriov_numvfs_store`, `drivers/pci/pci-sysfs.c`), so this cannot destroy VFs that another
    /// process has just created.
    pub(crate) fn set_numvfs(&self, pf: &str, count: usize) -> Result<(), Error> {
        let path = self.pci_device(pf).join("sriov_numvfs");
        // A retry is harmless: the kernel accepts the current count as no change.
        write_with_retry("numvfs", &path, &count.to_string(), NUMVFS_TIMEOUT, || false)
    }
}

/// Returns the netdevs in a folder `net` of sysfs, and whether all of them have an ifindex.
fn list_netdevs(folder: &Path) -> Result<(Vec<(String, u32)>, bool), Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absence(&error) => return Ok((Vec::new(), true)),
        entries => entries.map_err(Error::file("list", folder))?,
    };
    let (mut found, mut is_complete) = (Vec::new(), true);
    for entry in entries {
        let entry = entry.map_err(Error::file("list", folder))?;
        // The name need not be UTF-8, because a container may have renamed the netdev.
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path().join("ifindex");
        match proc_file::read(&path) {
            // `device_add` creates the folder before its files (`drivers/base/core.c`). Or the
            // netdev was moved or renamed after the folder was listed.
            Err(error) if is_absence(&error) => is_complete = false,
            text => {
                let text = text.map_err(Error::file("read", path))?;
                found.extend(text.trim().parse().ok().map(|ifindex| (name, ifindex)));
            }
        }
    }
    Ok((found, is_complete))
}

/// How long the files of a netdev may be missing in sysfs while its folder exists. The kernel needs
/// microseconds.
const RELIST_TIMEOUT: Duration = Duration::from_secs(1);
const RELIST_INTERVAL: Duration = Duration::from_millis(1);

/// For writes that call a driver (bind, unbind, reset) and other short writes. Binding takes 0.1 s
/// on igb; iavf waits seconds for a busy PF. Docker gives a `delete` 30 s (moby
/// `daemon/monitor.go`), and within those runvf must also write the result to the audit log.
const DRIVER_TIMEOUT: Duration = Duration::from_secs(25);
/// How long udev may take to load a driver's module.
const MODULE_LOAD_TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// For the creation of VFs. 64 VFs take 22 s on i40e; i40e has also been observed to hang forever.
const NUMVFS_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether a text has the form `domain:bus:device.function` that sysfs uses
/// (`pci_setup_device`, `drivers/pci/probe.c`). A domain has four digits or more: Intel VMD
/// uses domains from 10000 on (`vmd_find_free_domain`, `drivers/pci/controller/vmd.c`).
pub fn is_pci_address(text: &str) -> bool {
    let Some((domain, rest)) = text.split_once(':') else { return false };
    let shape = "xx:xx.x";
    let is_domain = match domain.len() {
        4 => true,
        5..=8 => !domain.starts_with('0'),
        _ => false,
    };
    is_domain
        && domain.bytes().all(|byte| byte.is_ascii_hexdigit())
        && rest.len() == shape.len()
        && rest.bytes().zip(shape.bytes()).all(|(byte, expected)| match expected {
            b'x' => byte.is_ascii_hexdigit(),
            _ => byte == expected,
        })
}

/// The order of two PCI addresses: by the number of the domain, then by the rest. The text alone
/// would put domain 10000 before domain 2000.
pub(crate) fn compare_pci(one: &str, other: &str) -> Ordering {
    (one.len(), one).cmp(&(other.len(), other))
}

fn link_name(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.file_name()?.to_str().map(str::to_owned)
}

fn read_number(path: &Path) -> Option<u64> {
    proc_file::read(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_pci_addresses_are_accepted() {
        for right in ["0000:01:10.0", "abcd:EF:1f.7", "10000:e1:00.0", "7fffffff:00:00.0"] {
            assert!(is_pci_address(right), "{right}");
        }
        for wrong in [
            "",
            "01:10.0",
            "000:01:10.0",
            "00000:01:10.0",
            "123456789:01:10.0",
            "1000g:01:10.0",
            "0000:01:10.00",
            "0000-01:10.0",
            "../../../etc",
            "0000:01:1g.0",
        ] {
            assert!(!is_pci_address(wrong), "{wrong}");
        }
    }

    #[test]
    fn pci_addresses_are_ordered_by_the_number_of_the_domain() {
        let mut all = ["10000:e1:00.0", "2000:01:00.0", "0000:41:00.1", "0000:41:00.0"];
        all.sort_by(|one, other| compare_pci(one, other));
        assert_eq!(all, ["0000:41:00.0", "0000:41:00.1", "2000:01:00.0", "10000:e1:00.0"]);
    }

    /// `device_add` creates the folder of a netdev before its files.
    #[test]
    fn a_netdev_without_an_index_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        let netdev = sysfs.pci_device("0000:01:10.0").join("net/v0");
        fs::create_dir_all(&netdev).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                let text = root.path().join("text");
                fs::write(&text, "7\n").unwrap();
                fs::rename(text, netdev.join("ifindex")).unwrap();
            });
            assert_eq!(sysfs.netdevs("0000:01:10.0").unwrap(), [("v0".to_owned(), 7)]);
        });
        fs::remove_file(netdev.join("ifindex")).unwrap();
        assert_eq!(sysfs.netdevs("0000:01:10.0").unwrap(), [], "after the timeout");
    }

    /// A function behind VMD is below a function in a domain of four digits.
    #[test]
    fn a_netdev_behind_vmd_has_the_address_of_its_own_function() {
        let root = tempfile::tempdir().unwrap();
        let function = root.path().join(
            "devices/pci0000:e0/0000:e0:05.5/pci10000:e0/10000:e0:02.0/10000:e1:00.0/net/pf0",
        );
        fs::create_dir_all(&function).unwrap();
        let class = root.path().join("class/net/pf0");
        fs::create_dir_all(&class).unwrap();
        let device = function.join("../..");
        std::os::unix::fs::symlink(device, class.join("device")).unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        assert_eq!(sysfs.pci_of_netdev("pf0").as_deref(), Some("10000:e1:00.0"));
    }
}
