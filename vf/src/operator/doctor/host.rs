//! Checks of the host: kernel, IOMMU, cgroups, NICs.

use super::finding::Finding;
use super::machine::Machine;

/// The first Linux with `SO_NETNS_COOKIE`, which identifies a network namespace for its whole life.
/// (The trust setting of VFs is older: Linux 4.5.)
const MIN_KERNEL: (u32, u32) = (5, 14);

pub(super) fn kernel(machine: &Machine) -> Finding {
    const CHECK: &str = "kernel";
    let release = machine.read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::unknown(CHECK, "no version in /proc/sys/kernel/osrelease");
    };
    match (major, minor) >= MIN_KERNEL {
        true => Finding::ok(CHECK, format!("Linux {release}")),
        false => Finding::failure(
            CHECK,
            format!("Linux {release} is too old: it has no SO_NETNS_COOKIE"),
            "use Linux 5.14 or newer",
        ),
    }
}

/// Only a warning, because VFs work without an IOMMU. But then a VF's driver can make the VF write
/// to any memory.
pub(super) fn iommu(machine: &Machine) -> Finding {
    const CHECK: &str = "iommu";
    let groups = machine.count("/sys/kernel/iommu_groups");
    if groups > 0 {
        return Finding::ok(CHECK, format!("{groups} groups"));
    }
    let amd = machine.read("/proc/cpuinfo").is_some_and(|text| text.contains("AuthenticAMD"));
    let cmdline = machine.read("/proc/cmdline").unwrap_or_default();
    let enabled = cmdline.split_whitespace().any(|word| word.starts_with("intel_iommu=on"));
    let remedy = match (amd, enabled) {
        (true, _) => "enable the IOMMU (AMD-Vi) in the firmware",
        (_, true) => "enable VT-d in the firmware",
        _ => "enable VT-d in the firmware and boot with `intel_iommu=on iommu=pt`",
    };
    Finding::warning(
        CHECK,
        "off (/sys/kernel/iommu_groups is empty): the DMA of VFs is not restricted",
        remedy,
    )
}

pub(super) fn cgroup(machine: &Machine) -> Finding {
    const CHECK: &str = "cgroup";
    match machine.has("/sys/fs/cgroup/cgroup.controllers") {
        true => Finding::ok(CHECK, "version 2"),
        false => Finding::warning(
            CHECK,
            "version 1 or hybrid: runvf is not tested with it",
            "boot with `systemd.unified_cgroup_hierarchy=1`",
        ),
    }
}

pub(super) fn sriov(machine: &Machine) -> Finding {
    const CHECK: &str = "sriov";
    let pfs: Vec<String> =
        machine.sysfs.sriov_netdevs().into_iter().map(|(_, name)| name).collect();
    match pfs.is_empty() {
        false => Finding::ok(CHECK, pfs.join(", ")),
        true => Finding::failure(
            CHECK,
            "no NIC with SR-IOV, or no such NIC has its driver",
            "enable SR-IOV in the firmware of the host and of the card",
        ),
    }
}
