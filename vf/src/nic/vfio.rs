//! A VF that a program in the container drives itself, by vfio-pci. It has no netdev.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vfio::{DeviceNode, VFIO_PCI, is_group_open};
use crate::ledger::claim::Claim;
use crate::nic::error::NicError;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A VF bound to vfio-pci, as the container gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VfioVf {
    /// PCI address.
    pub vf: String,
    pub pool: String,
    /// The nodes of its IOMMU group, and of VFIO itself.
    pub nodes: [DeviceNode; 2],
}

/// Returns the IOMMU group of a VF that can be given to a container.
///
/// # Errors
/// [`NicError::NoVfio`] when vfio-pci is not loaded; [`NicError::NoIommu`] and
/// [`NicError::SharedGroup`] when a program that drives the VF could reach other memory by DMA.
pub(crate) fn isolated_group(sysfs: &Sysfs, vf: &str) -> Result<u32, Error> {
    if !sysfs.is_driver_loaded(VFIO_PCI) {
        return Err(Error::Nic(NicError::NoVfio { vf: vf.to_owned() }));
    }
    let no_iommu = || Error::Nic(NicError::NoIommu { vf: vf.to_owned() });
    let group = sysfs.iommu_group(vf).ok_or_else(no_iommu)?;
    let others = sysfs.iommu_neighbours(vf)?;
    match others.is_empty() {
        true => Ok(group),
        false => Err(Error::Nic(NicError::SharedGroup { vf: vf.to_owned(), group, others })),
    }
}

/// Binds a VF without a driver to vfio-pci.
///
/// # Errors
/// As [`Sysfs::bind_to`]; [`NicError::VfioNotBound`] when it does not read back.
pub(crate) fn bind(sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    sysfs.bind_to(&claim.vf, VFIO_PCI, claim.before.driver_override.as_deref())?;
    match problem(sysfs, claim) {
        None => Ok(()),
        Some(problem) => Err(Error::Nic(NicError::VfioNotBound { vf: claim.vf.clone(), problem })),
    }
}

/// The nodes that the container needs.
///
/// # Errors
/// [`NicError::VfioNotBound`] when the kernel has no such nodes.
pub(crate) fn nodes(sysfs: &Sysfs, claim: &Claim) -> Result<[DeviceNode; 2], Error> {
    let node = claim.iommu_group.and_then(|group| sysfs.group_node(group));
    match (node, sysfs.vfio_node()) {
        (Some(group), Some(vfio)) => Ok([group, vfio]),
        _ => {
            let problem = "the kernel has no device node for it".to_owned();
            Err(Error::Nic(NicError::VfioNotBound { vf: claim.vf.clone(), problem }))
        }
    }
}

/// Why the container does not have the VF of its claim by vfio-pci. `None`: it has.
pub(crate) fn problem(sysfs: &Sysfs, claim: &Claim) -> Option<String> {
    match sysfs.driver(&claim.vf) {
        _ if !sysfs.exists(&claim.vf) => Some("the VF vanished".to_owned()),
        None => Some(format!("it is not bound to {VFIO_PCI}")),
        Some(driver) if driver != VFIO_PCI => Some(format!("it is bound to the driver {driver}")),
        // A VF that was created again may be in another group. The container lacks its node.
        Some(_) if sysfs.iommu_group(&claim.vf) != claim.iommu_group => {
            Some("it is in another IOMMU group".to_owned())
        }
        Some(_) => None,
    }
}

/// Whether the VF is bound to vfio-pci for its claim.
pub(crate) fn is_bound(sysfs: &Sysfs, claim: &Claim) -> bool {
    claim.iommu_group.is_some() && sysfs.driver(&claim.vf).as_deref() == Some(VFIO_PCI)
}

/// Waits until no program has the claim's IOMMU group open. `false`: one still has it at the
/// deadline.
///
/// # Errors
/// As [`is_group_open`].
pub(crate) fn wait_until_closed(claim: &Claim, deadline: Instant) -> Result<bool, Error> {
    let Some(group) = claim.iommu_group else { return Ok(true) };
    while is_group_open(group)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::kernel::vfio::tests::add_to_group;
    use crate::ledger::claim::tests::claim;

    const VF: &str = "0000:01:10.0";

    fn sysfs_with_vfio(root: &Path) -> Sysfs {
        fs::create_dir_all(root.join("bus/pci/drivers/vfio-pci")).unwrap();
        Sysfs(root.to_owned())
    }

    #[test]
    fn only_a_vf_alone_in_its_group_is_given_away() {
        let root = tempfile::tempdir().unwrap();
        let line = |sysfs: &Sysfs| isolated_group(sysfs, VF).unwrap_err().line();
        let unloaded = line(&Sysfs(root.path().to_owned()));
        assert!(unloaded.contains("`modprobe vfio-pci`"), "{unloaded}");
        let sysfs = sysfs_with_vfio(root.path());
        assert!(line(&sysfs).starts_with("VF 0000:01:10.0 is in no IOMMU group; "));
        add_to_group(&sysfs, VF, 7, &[]);
        assert_eq!(isolated_group(&sysfs, VF).unwrap(), 7);

        let shared = tempfile::tempdir().unwrap();
        let sysfs = sysfs_with_vfio(shared.path());
        add_to_group(&sysfs, VF, 7, &["0000:01:00.0", "0000:01:10.2"]);
        let expected = "VF 0000:01:10.0 shares IOMMU group 7 with 0000:01:00.0, 0000:01:10.2; ";
        assert!(line(&sysfs).starts_with(expected), "{}", line(&sysfs));
    }

    #[test]
    fn another_driver_or_group_is_a_problem() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = sysfs_with_vfio(root.path());
        fs::create_dir_all(sysfs.pci_device(VF)).unwrap();
        let claim = Claim { iommu_group: Some(7), ..claim(VF, "n") };
        assert_eq!(problem(&sysfs, &claim).as_deref(), Some("it is not bound to vfio-pci"));
        let driver = sysfs.pci_device(VF).join("driver");
        symlink("../../drivers/igbvf", &driver).unwrap();
        assert_eq!(problem(&sysfs, &claim).as_deref(), Some("it is bound to the driver igbvf"));
        assert!(!is_bound(&sysfs, &claim));
        fs::remove_file(&driver).unwrap();
        symlink("../../drivers/vfio-pci", &driver).unwrap();
        assert!(is_bound(&sysfs, &claim));
        assert_eq!(problem(&sysfs, &claim).as_deref(), Some("it is in another IOMMU group"));
        add_to_group(&sysfs, VF, 7, &[]);
        assert_eq!(problem(&sysfs, &claim), None);
        fs::remove_dir_all(sysfs.pci_device(VF)).unwrap();
        assert_eq!(problem(&sysfs, &claim).as_deref(), Some("the VF vanished"));
    }
}
