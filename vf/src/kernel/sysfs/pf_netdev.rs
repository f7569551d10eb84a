//! The netdev of a PF among the netdevs below its PCI function.
//!
//! In switchdev mode, the representors of the PF's VFs and subfunctions are below it, too
//! (`SET_NETDEV_DEV` in `mlx5e_build_rep_netdev` and `ice_repr_reg_netdev`). The name of the
//! physical port tells them apart (`__devlink_port_phys_port_name_get`, `net/devlink/port.c`): `p0`
//! or `p0s1` for a port of the card, `pf0`, `pf0vf1` or `pf0sf88` for a representor, each also with
//! a controller in front (`c1pf0vf1`). A driver without port names has no representors.

use std::fs;

use super::{Sysfs, compare_pci};
use crate::kernel::proc_file;

/// Why a PCI function has no netdev that can be used as that of a PF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPfNetdev {
    /// It does not exist, or its driver has not created one.
    Missing,
    /// It is in another network namespace than that of the sysfs mount.
    OtherNetns,
    /// The function has several ports, and each has a netdev with one of these names.
    Several(Vec<String>),
}

impl Sysfs {
    /// Returns name and ifindex of a PF's netdev.
    pub(crate) fn pf_netdev(&self, pci: &str) -> Result<(String, u32), NoPfNetdev> {
        let all = self.netdevs(pci).map_err(|_| NoPfNetdev::Missing)?;
        let mut own: Vec<(String, u32)> =
            all.into_iter().filter(|(name, _)| !self.is_representor(pci, name)).collect();
        match own.len() {
            0 if self.has_hidden_netdev(pci) => Err(NoPfNetdev::OtherNetns),
            0 => Err(NoPfNetdev::Missing),
            1 => Ok(own.remove(0)),
            _ => {
                own.sort();
                Err(NoPfNetdev::Several(own.into_iter().map(|(name, _)| name).collect()))
            }
        }
    }

    /// The folder `net` of a function exists as long as the function has a netdev in any namespace
    /// (`cleanup_glue_dir`, `drivers/base/core.c`), but shows only netdevs of the mount's namespace.
    fn has_hidden_netdev(&self, pci: &str) -> bool {
        let entries = fs::read_dir(self.pci_device(pci).join("net"));
        entries.is_ok_and(|mut entries| entries.next().is_none())
    }

    fn is_representor(&self, pci: &str, netdev: &str) -> bool {
        let path = self.pci_device(pci).join("net").join(netdev).join("phys_port_name");
        // The read fails with EOPNOTSUPP if the driver has no port names.
        proc_file::read(&path).is_ok_and(|name| name.contains("pf"))
    }

    /// Returns PCI address and netdev name of each PCI function that supports SR-IOV and has a
    /// netdev in the host netns.
    pub(crate) fn sriov_netdevs(&self) -> Vec<(String, String)> {
        let functions = self.sriov_functions().into_iter();
        functions.filter_map(|pci| self.pf_netdev(&pci).ok().map(|(name, _)| (pci, name))).collect()
    }

    /// Returns the PFs with a netdev in another network namespace than that of the sysfs mount.
    pub(crate) fn pfs_in_other_netns(&self) -> Vec<String> {
        let mut functions = self.sriov_functions();
        functions.retain(|pci| self.pf_netdev(pci) == Err(NoPfNetdev::OtherNetns));
        functions
    }

    /// The PCI addresses of all functions that support SR-IOV, in their order.
    fn sriov_functions(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join("bus/pci/devices")) else { return Vec::new() };
        let mut found: Vec<String> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|pci| self.totalvfs(pci).is_some_and(|total| total > 0))
            .collect();
        found.sort_by(|one, other| compare_pci(one, other));
        found
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PF: &str = "10000:e1:00.0";

    /// Adds a netdev below a PF. `port`: its `phys_port_name`.
    fn add_netdev(root: &Path, pci: &str, name: &str, port: Option<&str>) {
        let device = root.join("bus/pci/devices").join(pci);
        let netdev = device.join("net").join(name);
        fs::create_dir_all(&netdev).unwrap();
        fs::write(device.join("sriov_totalvfs"), "8\n").unwrap();
        fs::write(netdev.join("ifindex"), "7\n").unwrap();
        if let Some(port) = port {
            fs::write(netdev.join("phys_port_name"), format!("{port}\n")).unwrap();
        }
    }

    #[test]
    fn representors_are_not_the_netdev_of_a_pf() {
        for own in [None, Some("p0"), Some("p1s0")] {
            let root = tempfile::tempdir().unwrap();
            for (name, port) in
                [("a_rep", "pf0vf0"), ("b_rep", "pf0"), ("z_rep", "c1pf0vf1"), ("s_rep", "pf0sf88")]
            {
                add_netdev(root.path(), PF, name, Some(port));
            }
            add_netdev(root.path(), PF, "port0", own);
            let sysfs = Sysfs(root.path().to_owned());
            assert_eq!(sysfs.pf_netdev(PF), Ok(("port0".to_owned(), 7)), "{own:?}");
            assert_eq!(sysfs.sriov_netdevs(), [(PF.to_owned(), "port0".to_owned())]);
        }
    }

    #[test]
    fn two_ports_of_one_function_are_never_guessed() {
        let root = tempfile::tempdir().unwrap();
        add_netdev(root.path(), PF, "port1", None);
        add_netdev(root.path(), PF, "port0", None);
        let sysfs = Sysfs(root.path().to_owned());
        let both = ["port0", "port1"].map(str::to_owned).to_vec();
        assert_eq!(sysfs.pf_netdev(PF), Err(NoPfNetdev::Several(both)));
        assert!(sysfs.sriov_netdevs().is_empty());
    }

    #[test]
    fn an_empty_folder_means_a_netdev_in_another_netns() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        for pci in ["2000:01:00.0", PF, "0000:01:00.0"] {
            add_netdev(root.path(), pci, "port0", None);
        }
        let netdev = |pci| root.path().join("bus/pci/devices").join(pci).join("net/port0");
        fs::remove_dir_all(netdev(PF)).unwrap();
        fs::remove_dir_all(netdev("2000:01:00.0")).unwrap();
        assert_eq!(sysfs.pf_netdev(PF), Err(NoPfNetdev::OtherNetns));
        assert_eq!(sysfs.pfs_in_other_netns(), ["2000:01:00.0", PF]);
        fs::remove_dir(root.path().join("bus/pci/devices").join(PF).join("net")).unwrap();
        assert_eq!(sysfs.pf_netdev(PF), Err(NoPfNetdev::Missing));
        assert_eq!(sysfs.sriov_netdevs(), [("0000:01:00.0".to_owned(), "port0".to_owned())]);
    }
}
