//! udev's marks on VFs.
//!
//! The rules `packaging/udev/70-runvf.rules` mark the VFs of runvf, so that network managers ignore
//! them. udev applies the rules when a netdev appears. A VF that is older than the rules, or older
//! than its PF's entry in the configuration, has no mark, and a network manager may take it. Then
//! udev must process the netdev again.

use std::fs;
use std::path::Path;

use crate::kernel::sysfs::Sysfs;

/// The property that the rules set, as udev's database stores it
/// (`udev_device_get_properties_list_entry`).
const PROPERTY: &str = "E:RUNVF_VF=1";
/// The folders of udev rules. A file in an earlier folder replaces the files with its name in later
/// folders (udev(7)).
const FOLDERS: [&str; 5] = [
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/local/lib/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
];
pub(crate) const RULES: &str = "70-runvf.rules";

/// A VF with a netdev that udev has processed without marking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnmarkedVf {
    /// PCI address.
    pub(crate) vf: String,
    /// Name of the netdev.
    pub(crate) name: String,
    pub(crate) ifindex: u32,
}

/// Whether the rules are installed, and not masked by an empty file or a link to `/dev/null`
/// (udev(7)).
pub(crate) fn has_rules(root: &Path) -> bool {
    let paths = FOLDERS.iter().map(|folder| root.join(folder).join(RULES));
    let mut existing = paths.filter(|path| path.symlink_metadata().is_ok());
    existing.next().is_some_and(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0))
}

/// Lists the VFs of a PF with a netdev in the host netns that udev has processed but not marked.
pub(crate) fn unmarked_vfs(root: &Path, sysfs: &Sysfs, pf: &str) -> Vec<UnmarkedVf> {
    let vfs = sysfs.virtfns(pf).into_iter();
    vfs.filter_map(|(_, vf)| {
        let (name, ifindex) = sysfs.netdevs_or_empty(&vf).into_iter().next()?;
        (is_marked(root, ifindex) == Some(false)).then_some(UnmarkedVf { vf, name, ifindex })
    })
    .collect()
}

/// Whether udev has marked the netdev. `None`: udev does not know the netdev, or has not finished
/// with it.
pub(crate) fn is_marked(root: &Path, ifindex: u32) -> Option<bool> {
    let text = fs::read_to_string(root.join(format!("run/udev/data/n{ifindex}"))).ok()?;
    Some(text.lines().any(|line| line == PROPERTY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_rules_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str, text: &str| {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join(RULES), text).unwrap();
        };
        assert!(!has_rules(root.path()));
        write("usr/lib/udev/rules.d", "LABEL=\"x\"\n");
        assert!(has_rules(root.path()));
        write("run/udev/rules.d", "");
        assert!(!has_rules(root.path()));
        write("etc/udev/rules.d", "LABEL=\"x\"\n");
        assert!(has_rules(root.path()));
    }

    #[test]
    fn only_the_exact_property_is_a_mark() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/udev/data")).unwrap();
        for (text, expected) in [
            ("I:1\nE:ID_NET_DRIVER=igbvf\n", false),
            ("E:RUNVF_VF=1\n", true),
            ("E:RUNVF_VF=10\n", false),
        ] {
            fs::write(root.path().join("run/udev/data/n7"), text).unwrap();
            assert_eq!(is_marked(root.path(), 7), Some(expected), "{text}");
        }
        assert_eq!(is_marked(root.path(), 8), None);
    }
}
