//! VFIO lets a program in a container drive a PCI function itself: IOMMU groups, and the device nodes
//! that the program opens (`Documentation/driver-api/vfio.rst`).

use std::fs::{self, OpenOptions};
use std::path::Path;

use nix::errno::Errno;

use crate::error::Error;
use crate::fault;
use crate::kernel::error::errno_of;
use crate::kernel::proc_file;
use crate::kernel::sysfs::{Sysfs, compare_pci};

/// The driver that gives a PCI function to a program.
pub(crate) const VFIO_PCI: &str = "vfio-pci";

/// Where devtmpfs has the nodes of the groups.
const NODES: &str = "/dev/vfio";

/// A device node that a container needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    pub path: String,
    pub major: u32,
    pub minor: u32,
}

impl Sysfs {
    /// The number of the IOMMU group of a PCI function. `None`: no IOMMU keeps its DMA from other
    /// memory than its program's.
    pub(crate) fn iommu_group(&self, pci: &str) -> Option<u32> {
        let group = self.pci_device(pci).join("iommu_group");
        // vfio-pci makes such a group without an IOMMU, if an administrator allows it
        // (`enable_unsafe_noiommu_mode`, `drivers/vfio/group.c`).
        let name = proc_file::read(&group.join("name")).unwrap_or_default();
        if name.trim() == "vfio-noiommu" {
            return None;
        }
        fs::read_link(group).ok()?.file_name()?.to_str()?.parse().ok()
    }

    /// The other PCI functions of its IOMMU group. A program that drives one of them can reach the
    /// memory of the others by DMA.
    ///
    /// # Errors
    /// [`KernelError::File`](crate::kernel::error::KernelError::File) when the group cannot be read.
    pub(crate) fn iommu_neighbours(&self, pci: &str) -> Result<Vec<String>, Error> {
        let folder = self.pci_device(pci).join("iommu_group/devices");
        let failed = Error::file("list", &folder);
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let names = entries.map_err(failed)?.into_iter();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut others: Vec<String> = names.filter(|name| name != pci).collect();
        others.sort_by(|one, other| compare_pci(one, other));
        Ok(others)
    }

    /// Whether a driver is loaded.
    pub(crate) fn is_driver_loaded(&self, driver: &str) -> bool {
        self.0.join("bus/pci/drivers").join(driver).is_dir()
    }

    /// The node of a group. `None`: no function of the group is bound to [`VFIO_PCI`].
    pub(crate) fn group_node(&self, group: u32) -> Option<DeviceNode> {
        self.device_node(&format!("class/vfio/{group}"), &group.to_string())
    }

    /// The node of VFIO itself: a program makes an IOMMU domain for its groups with it.
    pub(crate) fn vfio_node(&self) -> Option<DeviceNode> {
        self.device_node("class/misc/vfio", "vfio")
    }

    fn device_node(&self, class: &str, name: &str) -> Option<DeviceNode> {
        let text = proc_file::read(&self.0.join(class).join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(DeviceNode { path: format!("{NODES}/{name}"), major, minor })
    }
}

/// Whether a program has a group open. To unbind [`VFIO_PCI`] would then wait for that program.
///
/// The kernel lets only one file have a group open, and refuses others with EBUSY
/// (`vfio_group_fops_open`, `drivers/vfio/group.c`). The file stays open while one of the group's
/// devices is.
///
/// # Errors
/// [`KernelError::File`](crate::kernel::error::KernelError::File) when the node cannot be opened for
/// another reason, such as a unit's `DevicePolicy`. Then nothing is known of the group.
pub(crate) fn is_group_open(group: u32) -> Result<bool, Error> {
    let path = Path::new(NODES).join(group.to_string());
    fault::point("vfio-open").map_err(Error::errno("open", &path))?;
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    match opened.as_ref().map_err(errno_of) {
        Ok(_) => Ok(false),
        // No function of the group is bound to vfio-pci any more.
        Err(Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO)) => Ok(false),
        Err(Some(Errno::EBUSY)) => Ok(true),
        Err(_) => opened.map(|_| false).map_err(Error::file("open", path)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Adds a function in a group with these others.
    pub(crate) fn add_to_group(sysfs: &Sysfs, pci: &str, group: u32, others: &[&str]) {
        let folder = sysfs.0.join(format!("kernel/iommu_groups/{group}"));
        for function in [pci].iter().chain(others) {
            fs::create_dir_all(folder.join("devices").join(function)).unwrap();
        }
        fs::create_dir_all(sysfs.pci_device(pci)).unwrap();
        symlink(&folder, sysfs.pci_device(pci).join("iommu_group")).unwrap();
    }

    const VF: &str = "0000:01:10.0";

    #[test]
    fn a_group_has_a_number_and_members() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        assert_eq!(sysfs.iommu_group(VF), None, "there is no IOMMU");
        add_to_group(&sysfs, VF, 7, &["0000:02:00.0", "0000:01:00.0"]);
        assert_eq!(sysfs.iommu_group(VF), Some(7));
        assert_eq!(sysfs.iommu_neighbours(VF).unwrap(), ["0000:01:00.0", "0000:02:00.0"]);
        fs::write(root.path().join("kernel/iommu_groups/7/name"), "vfio-noiommu\n").unwrap();
        assert_eq!(sysfs.iommu_group(VF), None, "the group is not one of an IOMMU");
        assert!(sysfs.iommu_neighbours("0000:03:00.0").is_err());
    }

    #[test]
    fn a_node_has_the_numbers_of_sysfs() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        assert_eq!(sysfs.group_node(7), None);
        fs::create_dir_all(root.path().join("class/vfio/7")).unwrap();
        fs::write(root.path().join("class/vfio/7/dev"), "243:0\n").unwrap();
        let expected = DeviceNode { path: "/dev/vfio/7".to_owned(), major: 243, minor: 0 };
        assert_eq!(sysfs.group_node(7), Some(expected));
        fs::create_dir_all(root.path().join("class/misc/vfio")).unwrap();
        fs::write(root.path().join("class/misc/vfio/dev"), "10:196\n").unwrap();
        assert_eq!(sysfs.vfio_node().unwrap().path, "/dev/vfio/vfio");
    }

    #[test]
    fn a_group_that_does_not_exist_is_not_open() {
        assert!(!is_group_open(u32::MAX).unwrap());
    }
}
