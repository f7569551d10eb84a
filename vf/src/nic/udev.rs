//! udev's word on VFs. The rules that keep network managers off them (`packaging/udev/70-runvf.rules`) are gone through when an interface
//! shows up, so a VF that was there before the rules, or before its PF was in the configuration, is still theirs to take: udev is asked
//! about it once more.

use std::fs;
use std::path::Path;

use crate::kernel::sysfs::Sysfs;

/// What the rules set (`udev_device_get_properties_list_entry`, kept in udev's database).
const PROPERTY: &str = "E:RUNVF_VF=1";
/// A file in a later folder counts only if none in an earlier one has its name (udev(7)).
const FOLDERS: [&str; 5] = [
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/local/lib/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
];
pub(crate) const RULES: &str = "70-runvf.rules";

/// A VF's interface, by its PCI address, name and index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Untold {
    pub(crate) vf: String,
    pub(crate) name: String,
    pub(crate) ifindex: u32,
}

/// Whether the rules are there, and not masked by an empty file or `/dev/null` (udev(7)).
pub(crate) fn has_rules(root: &Path) -> bool {
    let first = FOLDERS.iter().map(|folder| root.join(folder).join(RULES));
    let mut first = first.filter(|path| path.symlink_metadata().is_ok());
    first.next().is_some_and(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0))
}

/// Those VFs of a PF with an interface here of which udev knows, and not that they are runvf's.
pub(crate) fn untold(root: &Path, sysfs: &Sysfs, pf: &str) -> Vec<Untold> {
    let vfs = sysfs.virtfns(pf).into_iter();
    vfs.filter_map(|(_, vf)| {
        let (name, ifindex) = sysfs.netdevs_or_empty(&vf).into_iter().next()?;
        (is_told(root, ifindex) == Some(false)).then_some(Untold { vf, name, ifindex })
    })
    .collect()
}

/// `None`: udev has not heard of it, or is not through with it.
pub(crate) fn is_told(root: &Path, ifindex: u32) -> Option<bool> {
    let text = fs::read_to_string(root.join(format!("run/udev/data/n{ifindex}"))).ok()?;
    Some(text.lines().any(|line| line == PROPERTY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_rules_are_none() {
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
    fn a_property_is_udevs_and_not_a_part_of_one() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/udev/data")).unwrap();
        for (text, expected) in [
            ("I:1\nE:ID_NET_DRIVER=igbvf\n", false),
            ("E:RUNVF_VF=1\n", true),
            ("E:RUNVF_VF=10\n", false),
        ] {
            fs::write(root.path().join("run/udev/data/n7"), text).unwrap();
            assert_eq!(is_told(root.path(), 7), Some(expected), "{text}");
        }
        assert_eq!(is_told(root.path(), 8), None);
    }
}
